"""All processes of a soak: servers, far sides, workers, two ticks by mistake."""

from __future__ import annotations

import json
import os
import secrets
import signal
import sys
import time
import urllib.parse
import urllib.request
from base64 import b64encode
from pathlib import Path
from typing import Any

import redis

from dropstream.local.processes import Child
from dropstream.local.servers import Postgres, Valkey
from tests.lab.proxy import Proxy
from tests.soak.pace import Pace

WORKERS = ("worker-1", "worker-2")
# Its one child can be killed without it, as an out-of-memory killer does.
PREFORK = "prefork"
TICKS = ("tick-1", "tick-2")
SKUS = 200
# Work takes long enough to be interrupted: about a second for a file.
DISTANCE_S = 0.05
START_S = 60


class House:
    """Starts and stops the processes; everything lives below one folder."""

    def __init__(self, root: Path, *, merchants: int, pace: Pace, plant: str) -> None:
        self.root = root
        self.pace = pace
        self.merchants = merchants
        self.plant = plant
        self.postgres = Postgres(root)
        self.valkey = Valkey(root)
        self.children: dict[str, Child] = {}
        self.facts: dict[str, Any] = {}
        self.env: dict[str, str] = {}
        self.owner_url = ""
        self.lines: dict[int, Proxy] = {}  # by the port that it leads to

    @property
    def journal(self) -> Path:
        """The file with every event at the far sides."""
        return self.root / "journal.jsonl"

    @property
    def secrets(self) -> list[str]:
        """What must not stand in any log."""
        keys = [p["api_key"] for p in self.facts.values() if isinstance(p, dict)]
        return [*keys, self.env["SECRET_KEY"]]

    def far_state(self, name: str, default: Any = None) -> Any:
        """Return a document that a far side keeps of itself; `default` before its first.

        Raises FileNotFoundError when it should be there.
        """
        path = self.root / "sandbox" / name
        if default is not None and not path.exists():
            return default
        return json.loads(path.read_text())

    def start_servers(self) -> None:
        """Start servers and far sides and settle what the product is told of them."""
        urls = self.postgres.start()
        self.owner_url = urls.owner
        redis = self.valkey.start()
        self._start_far_sides()
        self.env = {
            "PATH": os.environ["PATH"],
            "PYTHONUNBUFFERED": "1",
            "DJANGO_SETTINGS_MODULE": "dropstream.settings",
            "DATABASE_URL": urls.app,
            "REDIS_URL": redis,
            "SECRET_KEY": secrets.token_urlsafe(50),
            "SEALING_KEYS": f"k1:{b64encode(secrets.token_bytes(32)).decode()}",
            "INVENTORY_PLANNER_API_URL": self.facts["api_url"],
            "INVENTORY_PLANNER_REQUESTS_PER_S": "50",
            "OUTBOUND_HOSTS": self.facts["outbound_hosts"],
            "SSH_KEY_TYPE": "ed25519",
            **self.pace.environment(),
        }
        self._migrate()

    def start_product(self) -> None:
        """Start the workers and the ticks."""
        for name in (*WORKERS, PREFORK, *TICKS):
            self.start(name)

    def start(self, name: str) -> None:
        """Start a part of the product, or start it again."""
        child = self.children.get(name)
        if child is None:
            # The database tells by this name which process wrote what.
            env = self.env | {"PGAPPNAME": name, "SOAK_PLANT": self.plant}
            log = self.root / f"{name}.log"
            child = Child(name, self._command(name), env=env, log=log)
            self.children[name] = child
        child.start()

    def kill(self, name: str) -> None:
        """SIGKILL a part with all its children, as a machine that fails does."""
        self.children[name].kill()

    def kill_child(self, name: str) -> None:
        """SIGKILL what a part has started, not the part itself."""
        for pid in self._children_of(name):
            os.kill(pid, signal.SIGKILL)

    def pause(self, name: str, *, on: bool) -> None:
        """Stop a part in the middle of whatever it does, or let it go on."""
        process = self.children[name].process
        assert process is not None
        os.killpg(process.pid, signal.SIGSTOP if on else signal.SIGCONT)

    def revive(self) -> list[str]:
        """Start again what ended by itself, as its supervisor would; say what."""
        ended = []
        for name, child in self.children.items():
            if child.process is not None and child.process.poll() is not None:
                ended.append(f"{name} ended by itself ({child.process.returncode})")
                child.start()
        return ended

    def submit(self, path: str, **fields: str) -> Any:
        """Submit a form of the far sides' pages, as their people do."""
        request = urllib.request.Request(
            self.facts["url"] + path,
            data=urllib.parse.urlencode(fields).encode(),
            headers={"Accept": "application/json"},
        )
        with _opener.open(request, timeout=30) as answer:
            text = answer.read()
            is_json = answer.headers.get_content_type() == "application/json"
        return json.loads(text) if is_json else None

    def far_memory_mb(self) -> float:
        """Return what the far sides hold in memory now."""
        process = self.children["far-sides"].process
        assert process is not None
        pages = Path(f"/proc/{process.pid}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE") / 1e6

    def stop(self) -> None:
        """Stop everything; nothing outlives this."""
        for child in self.children.values():
            child.kill()
        for line in self.lines.values():
            line.__exit__(None, None, None)
        self.valkey.stop()
        self.postgres.stop()

    def remove(self) -> None:
        """Remove the servers' files."""
        self.valkey.remove()
        self.postgres.remove()

    def _start_far_sides(self) -> None:
        command = [
            *(sys.executable, "-m", "dropstream.sandbox"),
            *("--state", str(self.root / "sandbox"), "--journal", str(self.journal)),
            *("--more-merchants", str(self.merchants), "--skus", str(SKUS)),
            # Their stock must not move between the drain and the verdict.
            *("--distance-s", str(DISTANCE_S), "--still"),
        ]
        env = {"PATH": os.environ["PATH"], "PYTHONUNBUFFERED": "1"}
        log = self.root / "far-sides.log"
        child = Child("far-sides", command, env=env, log=log)
        self.children["far-sides"] = child
        child.start()
        facts = self.root / "sandbox" / "facts.json"
        end = time.monotonic() + START_S
        while not facts.is_file():
            assert child.process is not None
            if child.process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"The far sides do not start: {log.read_text()}")
            time.sleep(0.05)
        self.facts = json.loads(facts.read_text())
        self._draw_lines()

    def _draw_lines(self) -> None:
        """Lead every SFTP session through a line that can be made bad."""
        hosts = []
        for entry in self.facts["outbound_hosts"].split(","):
            name, _, address = entry.partition("=")
            port = int(address.rpartition(":")[2])
            if port not in self.lines:
                self.lines[port] = Proxy(port).__enter__()
            hosts.append(f"{name}=127.0.0.1:{self.lines[port].port}")
        self.facts["outbound_hosts"] = ",".join(hosts)

    def _migrate(self) -> None:
        env = self.env | {"DATABASE_URL": self.owner_url}
        command = [sys.executable, "manage.py", "migrate", "--noinput", "-v", "0"]
        log = self.root / "migrate.log"
        child = Child("migrate", command, env=env, log=log)
        child.start()
        assert child.process is not None
        if child.process.wait():
            raise RuntimeError(f"Migrations failed: {log.read_text()}")

    def _command(self, name: str) -> list[str]:
        app = "tests.soak.planted" if self.plant else "dropstream"
        celery = [sys.executable, "-m", "celery", "-A", app]
        if name in TICKS:
            schedule = self.root / f"{name}-schedule"
            return [*celery, "beat", "--schedule", str(schedule)]
        pool = ("prefork", "1") if name == PREFORK else ("threads", "8")
        return [
            *(*celery, "worker", "-Q", "runs,checks,ticks", "-n", f"{name}@soak"),
            *("-P", pool[0], "-c", pool[1], "-l", "INFO"),
            *("--without-gossip", "--without-mingle"),
        ]

    def _children_of(self, name: str) -> list[int]:
        process = self.children[name].process
        assert process is not None
        pid = process.pid
        try:
            text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
        except OSError:
            return []
        return [int(child) for child in text.split()]


# Loopback: an HTTP_PROXY of the environment must not be asked.
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def flush(valkey: Valkey) -> None:
    """FLUSHALL, as somebody does by mistake."""
    with redis.Redis(unix_socket_path=str(valkey.socket)) as client:
        client.flushall()
