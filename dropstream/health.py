"""What /readyz and `doctor` ask: does this process reach what it needs?

Each probe is quick and bounded. Answers name checks and states, nothing else: they are
read by whoever reaches the port (security.md A6).
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import cache

import redis
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import Error, connection, transaction
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder

from connections.models import Heartbeat
from connections.runs import heartbeat
from stores import sealing
from stores.models import SSHKey

PROBE_SECONDS = 2


class State(StrEnum):
    """Degraded: pages work and what is asked for is kept, but nothing is done."""

    OK = "ok"
    DEGRADED = "degraded"
    FAILING = "failing"


@dataclass(frozen=True)
class Probe:
    """One question; `bad` is what a no means."""

    name: str
    ask: Callable[[], bool]
    bad: State
    needs_database: bool = True


@dataclass(frozen=True)
class Readiness:
    """All answers, and the worst of them."""

    checks: dict[str, State]

    @property
    def state(self) -> State:
        return max(self.checks.values(), key=list(State).index)


def can_write() -> bool:
    """Commit a row: a standby, a full disk and lacking rights are found out (Q15)."""
    with _bounded():
        heartbeat.beat(Heartbeat.Kind.PROBE)
    return True


def is_migrated() -> bool:
    """Say whether every migration of this version has been applied."""
    with _bounded():
        return _migrations() <= set(MigrationRecorder(connection).applied_migrations())


def opens_secrets() -> bool:
    """Say whether the sealing keys are sound and open what was sealed last (K5, K10)."""
    try:
        sealing.parse_keys(settings.SEALING_KEYS)
        with _bounded():
            newest = SSHKey.objects.order_by("-pk").first()
        if newest is not None:
            newest.unseal("private_key")
    except (ImproperlyConfigured, sealing.SealError):
        return False
    return True


def reaches_broker() -> bool:
    """Ping Redis."""
    with redis.Redis.from_url(
        settings.REDIS_URL,
        socket_timeout=PROBE_SECONDS,
        socket_connect_timeout=PROBE_SECONDS,
    ) as client:
        return bool(client.ping())


def is_ticking() -> bool:
    """Say whether the tick came round lately."""
    with _bounded():
        return heartbeat.tick_is_alive()


PROBES = (
    Probe("database", can_write, State.FAILING),
    Probe("migrations", is_migrated, State.FAILING),
    Probe("sealing_keys", opens_secrets, State.FAILING),
    # Without these, people work on and nothing is lost (Q7): no reason to send them away.
    Probe("broker", reaches_broker, State.DEGRADED, needs_database=False),
    Probe("tick", is_ticking, State.DEGRADED),
)


def look() -> Readiness:
    """Ask every probe now. Behind a database that failed nobody is asked in vain."""
    states: dict[str, State] = {}
    for probe in PROBES:
        in_vain = probe.needs_database and states.get("database") == State.FAILING
        well = not in_vain and _answer(probe.ask)
        states[probe.name] = State.OK if well else probe.bad
    return Readiness(states)


_lock = threading.Lock()
_seen: tuple[float, Readiness] | None = None


def readiness() -> Readiness:
    """Return what was found in the last few seconds; one thread looks at a time."""
    global _seen
    with _lock:
        now = time.monotonic()
        if _seen is None or now - _seen[0] > settings.READINESS_CACHED_SECONDS:
            _seen = (now, look())
        return _seen[1]


def _answer(ask: Callable[[], bool]) -> bool:
    try:
        return ask()
    except (Error, redis.RedisError, OSError):
        return False


@contextlib.contextmanager
def _bounded() -> Iterator[None]:
    """A transaction whose statements may not take long."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"SET LOCAL statement_timeout = '{PROBE_SECONDS}s'")
        yield


@cache
def _migrations() -> set[tuple[str, str]]:
    """The migrations that this version comes with; reading the files takes a while."""
    return set(MigrationLoader(None).disk_migrations)
