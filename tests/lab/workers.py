"""Real workers: the processes that production runs, on the test's database and bell."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from django.db import connection as database

from dropstream.local.processes import dying_with_parent
from dropstream.sandbox import Sandbox
from tests.lab import failpoints

ROOT = Path(__file__).resolve().parent.parent.parent
# A second here is a minute in production.
CLOCK = {
    "TICK_SECONDS": "0.5",
    "LEASE_SECONDS": "2",
    "RING_AGAIN_SECONDS": "1",
    "RETRY_BASE_SECONDS": "0.5",
    "BREAKER_PROBE_SECONDS": "5",
}
# A machine that runs other tests meanwhile starts a worker in half a minute.
LONGEST_S = 150
POLL_S = 0.05


class Workers:
    """Starts workers and the tick; what still runs at the end is killed."""

    def __init__(self, logs: Path, env: dict[str, str]) -> None:
        self.tree = ROOT  # whose code runs
        self._logs = logs
        self._env = env
        self._running: list[subprocess.Popen[bytes]] = []
        self._log_of: dict[int, Path] = {}

    def start_worker(
        self,
        armed: str = "",
        *,
        queues: str = "runs,checks,ticks",
        pool: str = "threads",
        threads: int = 2,
        **environment: str,
    ) -> subprocess.Popen[bytes]:
        """Start a worker on the threads pool, as design.md §3 says.

        `armed`: fail-points as `failpoints.arm` takes them.
        """
        name = f"w{len(self._running)}@%h"
        return self._start(
            *("worker", "-Q", queues, "-P", pool),
            *("-c", str(threads), "-n", name),
            *("--without-gossip", "--without-mingle", "-l", "INFO"),
            **environment | {failpoints.VARIABLE: armed},
        )

    def start_tick(self, **environment: str) -> subprocess.Popen[bytes]:
        """Start beat, which rings the tick and does nothing else."""
        schedule = self._logs / f"beat-schedule-{len(self._running)}"
        return self._start("beat", "--schedule", str(schedule), **environment)

    def log(self, process: subprocess.Popen[bytes]) -> str:
        """Return what a process has said so far."""
        return self._log_of[process.pid].read_text()

    def kill(self, process: subprocess.Popen[bytes]) -> None:
        """SIGKILL: no goodbye, no clean-up."""
        process.send_signal(signal.SIGKILL)
        process.wait()
        self._running.remove(process)

    def wait_for(self, what: str, happened: Callable[[], bool]) -> None:
        """Poll until it happened; fail with the processes' last words otherwise."""
        end = time.monotonic() + LONGEST_S
        while not happened():
            if time.monotonic() > end:
                logs = sorted(self._logs.glob("*.log"))
                words = [f"{log.name}:\n{log.read_text()[-3000:]}" for log in logs]
                raise AssertionError("\n".join([f"{what}: not in time", *words]))
            time.sleep(POLL_S)

    def stop(self) -> None:
        for process in list(self._running):
            self.kill(process)

    def _start(self, *command: str, **environment: str) -> subprocess.Popen[bytes]:
        name = f"{command[0]}-{len(list(self._logs.glob('*.log')))}.log"
        app = [sys.executable, "-m", "celery", "-A", "tests.lab.worker"]
        with (self._logs / name).open("wb") as log:
            process = subprocess.Popen(
                dying_with_parent([*app, *command], signal.SIGKILL),
                cwd=self.tree,
                env=self._env | environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self._running.append(process)
        self._log_of[process.pid] = self._logs / name
        return process


@contextmanager
def real_workers(logs: Path, sandbox: Sandbox) -> Iterator[Workers]:
    """Give processes that see the test's committed rows and its sandbox."""
    url = urlsplit(os.environ["DATABASE_URL"])
    test_database = url._replace(path=f"/{database.settings_dict['NAME']}")
    env = os.environ | CLOCK
    env |= {
        "DATABASE_URL": test_database.geturl(),
        "DJANGO_SETTINGS_MODULE": "dropstream.settings",
        "INVENTORY_PLANNER_API_URL": sandbox.facts["api_url"],
        "OUTBOUND_HOSTS": sandbox.facts["outbound_hosts"],
        "INVENTORY_PLANNER_REQUESTS_PER_S": "1000",
    }
    logs.mkdir()
    workers = Workers(logs, env)
    try:
        yield workers
    finally:
        workers.stop()
