"""What goes wrong during a soak, drawn from a seed."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass

from tests.soak.history import works
from tests.soak.house import PREFORK, TICKS, WORKERS, House, flush

WORKER, CHILD, TICK, PAUSE = "worker killed", "child killed", "tick killed", "paused"
RESET, SILENCE, SLOW = "lines reset", "lines silent", "lines slow"
VALKEY, FLUSH, POSTGRES = "Valkey restarted", "FLUSHALL", "PostgreSQL restarted"

AIM_S = 5


@dataclass(frozen=True)
class Fault:
    """What was done, to whom, and when; `over_at`: whatever was down is up again."""

    kind: str
    victim: str
    at: float
    over_at: float


class Chaos:
    """Breaks one thing after the other; call it from the thread that starts children."""

    def __init__(self, house: House, seed: int) -> None:
        self.house = house
        self.faults: list[Fault] = []
        self.ended: list[str] = []
        self._random = random.Random(f"chaos {seed}")
        self._kinds: dict[str, Callable[[], str]] = {
            WORKER: self._kill_worker,
            CHILD: self._kill_child,
            VALKEY: self._restart_valkey,
            FLUSH: self._flush,
            POSTGRES: self._restart_postgres,
            PAUSE: self._pause_worker,
            TICK: self._kill_tick,
            RESET: self._reset_lines,
            SILENCE: self._silence_lines,
            SLOW: self._slow_lines,
        }
        self._left: list[str] = []
        self._at = 0.0

    def run(self, seconds: float) -> None:
        """Break things for so long; leaves everything running."""
        end = time.monotonic() + seconds
        while True:
            wait_s = self._random.uniform(*self.house.pace.between_faults_s)
            if time.monotonic() + wait_s > end:
                time.sleep(max(end - time.monotonic(), 0))
                return
            time.sleep(wait_s)
            self.ended += self.house.revive()
            self._break(self._next())

    def _next(self) -> str:
        """Every kind once, so that short runs see all; then kills more often."""
        if not self._left:
            more = [WORKER, WORKER, CHILD] if self.faults else []
            self._left = [*self._kinds, *more]
            self._random.shuffle(self._left)
        return self._left.pop()

    def _break(self, kind: str) -> None:
        victim = self._kinds[kind]()
        self.faults.append(Fault(kind, victim, self._at, time.time()))

    def _pause(self, shortest_s: float, longest_s: float) -> None:
        time.sleep(self._random.uniform(shortest_s, longest_s))

    def _aim(self, victim: str) -> None:
        """Wait until it works, for a while; then let it get somewhere."""
        end = time.monotonic() + AIM_S
        while not works(self.house.owner_url, victim) and time.monotonic() < end:
            time.sleep(0.02)
        self._pause(0, 0.2)

    def _kill_worker(self) -> str:
        victim = self._random.choice((*WORKERS, PREFORK))
        self._aim(victim)
        self._at = time.time()
        self.house.kill(victim)
        self._pause(0, 2)
        self.house.start(victim)
        return victim

    def _kill_child(self) -> str:
        self._aim(PREFORK)
        self._at = time.time()
        self.house.kill_child(PREFORK)
        return PREFORK

    def _kill_tick(self) -> str:
        victim = self._random.choice(TICKS)
        self._at = time.time()
        self.house.kill(victim)
        self._pause(0, 2)
        self.house.start(victim)
        return victim

    def _pause_worker(self) -> str:
        """Stop a worker for longer than its leases live, then let it go on."""
        victim = self._random.choice(WORKERS)
        self._aim(victim)
        self._at = time.time()
        self.house.pause(victim, on=True)
        time.sleep(self.house.pace.lease_s + self.house.pace.tick_s * 2)
        self.house.pause(victim, on=False)
        return victim

    def _reset_lines(self) -> str:
        self._at = time.time()
        for line in self.house.lines.values():
            line.reset()
        return "all"

    def _silence_lines(self) -> str:
        """The far sides vanish without a word, and come back."""
        self._at = time.time()
        for line in self.house.lines.values():
            line.fall_silent()
        self._pause(1, self.house.pace.lease_s * 1.5)
        for line in self.house.lines.values():
            line.speak_again()
        return "all"

    def _slow_lines(self) -> str:
        self._at = time.time()
        for line in self.house.lines.values():
            line.rtt_s, line.bytes_per_s = 0.3, 100_000
        self._pause(1, self.house.pace.lease_s)
        for line in self.house.lines.values():
            line.rtt_s, line.bytes_per_s = 0.0, None
        return "all"

    def _restart_valkey(self) -> str:
        self._at = time.time()
        self.house.valkey.stop()
        self._pause(0, 2)
        self.house.valkey.start()
        return "valkey"

    def _flush(self) -> str:
        self._at = time.time()
        flush(self.house.valkey)
        return "valkey"

    def _restart_postgres(self) -> str:
        """Half of the time as an operator does, half of the time as a crash does."""
        process = self.house.postgres.process
        assert process is not None
        self._at = time.time()
        if self._random.random() < 0.5:
            process.send_signal(signal.SIGQUIT)
            process.wait(20)
        else:
            self.house.postgres.stop()
        self._pause(0, 1)
        self.house.postgres.start()
        return "postgres"
