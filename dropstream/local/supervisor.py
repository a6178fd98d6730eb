"""Start everything in order, keep it alive, stop it in reverse."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from dropstream.local import product
from dropstream.local.processes import Child, claim_port, end_leftovers
from dropstream.local.product import StartFailed, tail, wait_for
from dropstream.local.progress import say
from dropstream.local.servers import DatabaseUrls, Postgres, ServerFailed, Valkey
from dropstream.local.state import AlreadyRunning, State, state_folder

WEB_PORT, SANDBOX_PORT = 8000, 8100
LONGEST_PAUSE_S = 30.0
# Alive for this long means that the next death is a new story.
SETTLED_AFTER_S = 60.0
MAIN_JOB_DONE = (
    "main job: {rows:,} rows delivered and read by Inventory Planner, "
    "PO {order} {order_status}"
)


class Stopped(BaseException):
    """Somebody asked us to stop."""


@dataclass
class Watched:
    """A running part, and how often in a row it died."""

    name: str
    part: Child | Postgres | Valkey
    started_at: float
    deaths: int = 0
    restart_at: float | None = None

    @property
    def is_dead(self) -> bool:
        return self.part.process is None or self.part.process.poll() is not None


class Supervisor:
    """One local start: servers, far sides, product."""

    def __init__(self, state: State, *, web_port: int, sandbox_port: int) -> None:
        self.state = state
        self.web_port = web_port
        self.sandbox_port = sandbox_port
        self.parts: list[Watched] = []
        self.facts: dict[str, Any] = {}
        self.people: list[dict[str, str]] = []
        self.address = f"http://127.0.0.1:{web_port}"

    # --- Start

    def start(self) -> None:
        """Bring everything up. Raises StartFailed or ServerFailed."""
        ended = end_leftovers(self.state.pids_file)
        if ended:
            say(f"ended {ended} processes of a start that was killed")
        database = self._start_database()
        redis = self._start_redis()
        owner = {"DATABASE_URL": database.owner, "REDIS_URL": redis}
        sandbox = self._start_sandbox()
        self._prepare(self._environment(owner))
        self.facts = self._wait_for_facts(sandbox)
        say(f"sandbox answers at {self.facts.get('url', '')}")
        env = self._environment({"DATABASE_URL": database.app, "REDIS_URL": redis})
        self.state.write_env({n: env[n] for n in product.ENV_NAMES if env.get(n)})
        self._start_product(env)

    def _environment(self, servers: dict[str, str]) -> dict[str, str]:
        return product.product_environment(
            self.state, servers=servers, facts=self.facts, port=self.web_port
        )

    def _add(self, name: str, part: Child | Postgres | Valkey) -> None:
        self.parts.append(Watched(name, part, time.monotonic()))
        self._record()

    def _record(self) -> None:
        """Note the pids: where no signal tells orphans, the next start ends them."""
        found = {
            str(watched.part.process.pid): _marker(watched.part)
            for watched in self.parts
            if watched.part.process is not None
            and not isinstance(watched.part, Postgres)
        }
        self.state.pids_file.write_text(json.dumps(found))

    def _start_database(self) -> DatabaseUrls:
        if given := os.environ.get("DATABASE_URL"):
            say("database: DATABASE_URL of the environment")
            return DatabaseUrls(owner=given, app=given)
        postgres = Postgres(self.state.folder)
        urls = postgres.start()
        self._add("database", postgres)
        say("PostgreSQL answers")
        return urls

    def _start_redis(self) -> str:
        if given := os.environ.get("REDIS_URL"):
            say("Redis: REDIS_URL of the environment")
            return given
        valkey = Valkey(self.state.folder)
        url = valkey.start()
        self._add("valkey", valkey)
        say("Valkey answers")
        return url

    def _spawn(
        self,
        name: str,
        command: list[str],
        env: dict[str, str],
        *,
        orphan_signal: signal.Signals = signal.SIGKILL,
        patience_s: float = 15,
    ) -> Child:
        child = Child(
            name,
            command,
            env=env,
            log=self.state.log(name),
            orphan_signal=orphan_signal,
            patience_s=patience_s,
        )
        child.start()
        self._add(name, child)
        return child

    def _start_sandbox(self) -> Child:
        # It has no part in the product, so it gets none of its secrets.
        env = dict(os.environ) | {"PYTHONUNBUFFERED": "1"}
        (self.state.folder / "sandbox").mkdir(mode=0o700, exist_ok=True)
        # Facts of an earlier start would be taken for this one's.
        self._facts_file.unlink(missing_ok=True)
        command = product.sandbox_command(self.state, self.sandbox_port)
        return self._spawn("sandbox", command, env)

    @property
    def _facts_file(self) -> Path:
        return self.state.folder / "sandbox" / "facts.json"

    def _wait_for_facts(self, sandbox: Child) -> dict[str, Any]:
        def ready() -> bool:
            self._refuse_death(sandbox)
            return self._facts_file.is_file()

        wait_for("The sandbox", ready, timeout_s=60)
        facts: dict[str, Any] = json.loads(self._facts_file.read_text())
        return facts

    def _refuse_death(self, child: Child) -> None:
        if child.process is not None and child.process.poll() is not None:
            raise StartFailed(
                f"{child.name} stopped while starting; {child.log} ends with:\n"
                f"{tail(child.log)}"
            )

    def _prepare(self, env: dict[str, str]) -> None:
        """Migrate and collect static files, side by side."""
        stamp = self.state.folder / "static.stamp"
        checksum = static_checksum()
        steps = {"migrate": ["migrate", "--noinput", "-v", "0"]}
        if not stamp.is_file() or stamp.read_text() != checksum:
            steps["collectstatic"] = ["collectstatic", "--noinput", "-v", "0"]
        running = [self._manage(name, args, env) for name, args in steps.items()]
        for child in running:
            self._finish(child)
            say(f"{child.name} done")
        stamp.write_text(checksum)

    def _manage(self, name: str, arguments: list[str], env: dict[str, str]) -> Child:
        command = [sys.executable, "manage.py", *arguments]
        log = self.state.log(name)
        log.unlink(missing_ok=True)
        child = Child(name, command, env=env, log=log)
        child.start()
        return child

    def _finish(self, child: Child) -> None:
        assert child.process is not None
        if child.process.wait():
            raise StartFailed(
                f"{child.name} failed; {child.log} ends with:\n{tail(child.log)}"
            )

    def _start_product(self, env: dict[str, str]) -> None:
        web = self._spawn(
            "web",
            product.web_command(self.web_port),
            env,
            # Its worker process outlives a SIGKILL of it by a second or so.
            orphan_signal=signal.SIGTERM,
        )
        self.people = self._seed(env)
        say("demo data is there")
        # A running push may need a while: reliability.md §9 gives it 30 s.
        self._spawn("worker", product.worker_command(), env, patience_s=40)
        self._spawn("beat", product.beat_command(self.state), env)

        def ready() -> bool:
            self._refuse_death(web)
            return product.answers(f"{self.address}/")

        wait_for("The web server", ready, timeout_s=60)
        say("web answers, worker and tick run")
        self.state.announce(self.address)

    def _seed(self, env: dict[str, str]) -> list[dict[str, str]]:
        """Make the demo's people and connection; returns the log-ins."""
        arguments = ["seed_demo", "--facts", str(self._facts_file), "--json"]
        log = self.state.log("seed")
        with log.open("wb") as errors:
            done = subprocess.run(
                [sys.executable, "manage.py", *arguments],
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                check=False,
            )
        if done.returncode:
            raise StartFailed(f"seed_demo failed; {log} ends with:\n{tail(log)}")
        people: list[dict[str, str]] = json.loads(done.stdout)
        return people

    # --- Run

    def revive(self) -> None:
        """Restart what died, each time after a longer pause."""
        now = time.monotonic()
        for watched in self.parts:
            if not watched.is_dead:
                continue
            if watched.restart_at is None:
                if now - watched.started_at > SETTLED_AFTER_S:
                    watched.deaths = 0
                pause = min(2.0**watched.deaths, LONGEST_PAUSE_S)
                watched.deaths += 1
                watched.restart_at = now + pause
                say(f"{watched.name} died; restart in {pause:.0f} s (see {self._logs})")
            elif now >= watched.restart_at:
                self._restart(watched)

    def _restart(self, watched: Watched) -> None:
        watched.restart_at = None
        watched.started_at = time.monotonic()
        try:
            watched.part.start()
        except ServerFailed as error:
            say(f"{watched.name} does not start: {error}")
        else:
            say(f"{watched.name} restarted")
        self._record()

    @property
    def _logs(self) -> str:
        return os.path.relpath(self.state.logs)

    def main_job(self) -> str | None:
        """Return the line that says the demo's whole job is done, once it is."""
        report = product.read_json(f"{self.facts.get('url')}/report.json")
        job = report.get("main_job") or {}
        return MAIN_JOB_DONE.format(**job) if job.get("done") else None

    # --- Stop

    def stop(self) -> None:
        """Stop in reverse: the worker first, for it may be sending; servers last."""
        for watched in self.parts:
            if watched.name == "worker":
                watched.part.stop()
        children = [w.part for w in self.parts if isinstance(w.part, Child)]
        for child in children:
            child.ask_to_stop()
        for child in reversed(children):
            child.stop()
        for watched in reversed(self.parts):
            watched.part.stop()
        self.state.pids_file.unlink(missing_ok=True)

    def remove(self) -> None:
        """Remove a stopped throw-away start's data."""
        for watched in reversed(self.parts):
            if not isinstance(watched.part, Child):
                watched.part.remove()

    def hurry(self) -> None:
        """The second Ctrl-C: no more waiting for anybody but the servers."""
        for watched in self.parts:
            process = watched.part.process
            if isinstance(watched.part, Child) and process is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)


def _marker(part: Child | Postgres | Valkey) -> str:
    if isinstance(part, Child):
        return part.marker
    return str(part.root if isinstance(part, Postgres) else part.socket)


def static_checksum() -> str:
    """Name the state of all static files, ours by time and size, others' by lock."""
    found = hashlib.sha256(Path("requirements-local.txt").read_bytes())
    for folder in sorted([Path("static"), *Path().glob("[!.]*/static")]):
        for path in sorted(folder.rglob("*")):
            status = path.stat()
            found.update(f"{path} {status.st_size} {status.st_mtime_ns}\n".encode())
    return found.hexdigest()


@contextlib.contextmanager
def stopping_on_signals(supervisor: Supervisor) -> Iterator[None]:
    """The first signal raises Stopped; a second one hurries the stop."""
    asked = False

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        if asked:
            supervisor.hurry()
            return
        asked = True
        raise Stopped

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, handle) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def print_welcome(supervisor: Supervisor) -> None:
    """Print where it is, who may log in, and how it ends."""
    print(f"\nDropStream   {supervisor.address}")
    if sandbox := supervisor.facts.get("url"):
        print(f"Sandbox      {sandbox}   (Inventory Planner and a warehouse to try)")
    rows = [(p["who"], p["email"], p["password"]) for p in supervisor.people]
    if rows:
        rows.insert(0, ("Log in as", "e-mail", "password"))
        widths = [max(len(row[column]) for row in rows) for column in range(3)]
        print()
        for row in rows:
            cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
            print("   ".join(cells).rstrip())
    print("\nCtrl-C stops everything\n", flush=True)


def run_product() -> int:
    """Run until a signal; returns the exit code."""
    state = State(state_folder())
    try:
        state.open()
    except AlreadyRunning as error:
        where = str(error) or "an address it will print when it is up"
        print(f"already running at {where}", file=sys.stderr)
        return 1
    web_port = claim_port(WEB_PORT)
    supervisor = Supervisor(
        state, web_port=web_port, sandbox_port=claim_port(SANDBOX_PORT)
    )
    code = 0
    with stopping_on_signals(supervisor):
        try:
            supervisor.start()
            print_welcome(supervisor)
            _watch(supervisor)
        except Stopped:
            print(flush=True)
            say("stopping (the worker finishes what it sends)")
        except (StartFailed, ServerFailed) as error:
            print(f"\n{error}", file=sys.stderr)
            code = 1
        finally:
            supervisor.stop()
            state.close()
            say("all stopped")
    return code


def _watch(supervisor: Supervisor) -> None:
    """Keep it alive for ever; say once that the main job is done."""
    told = product.has_own_planner()
    while True:
        supervisor.revive()
        if not told and (line := supervisor.main_job()):
            print(line, flush=True)
            told = True
        time.sleep(1)
