"""What is wrong with this installation, and what to do about it (reliability.md O5)."""

from __future__ import annotations

import platform
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib.metadata import version

import redis
from allauth.mfa.adapter import get_adapter as get_mfa_adapter
from allauth.mfa.models import Authenticator
from django.apps import apps
from django.conf import settings
from django.db import connection
from django.db.models import F, Q
from django.db.models.functions import Now

from connections.models import Delivery, Heartbeat, StoreLease, SyncRun
from connections.runs.heartbeat import BEATS_MISSED
from dropstream import health
from stores import sealing
from stores.models.sealed import SealedMixin

# security.md §10 and reliability.md §9; what else is pinned is in requirements.txt.
FLOORS = {
    "Django": "5.2.17",
    "celery": "5.6",
    "kombu": "5.7",
    "paramiko": "5.1",
}
POSTGRESQL_FLOOR = 15
CLOCK_SECONDS = 5
# Named in full up to here, counted beyond.
NAMED = 20


@dataclass(frozen=True)
class Finding:
    """One line: what was looked at, whether it is well, what was seen, what to do."""

    name: str
    state: health.State
    says: str
    do: str = ""


def examine() -> Iterator[Finding]:
    """Look at everything; behind a database that is away, at what is left."""
    found = health.look()
    for name, state in found.checks.items():
        yield _finding(name, state, "", _WHEN_NOT_READY[name])
    yield from _versions()
    yield _time_limits()
    if found.checks["broker"] == health.State.OK:
        yield from _redis()
    if found.checks["database"] == health.State.OK:
        yield _clock()
        yield _postgresql()
        if found.checks["migrations"] == health.State.OK:
            yield from _rows()


def _rows() -> Iterator[Finding]:
    yield _secrets()
    yield from _workers()
    yield _orphans()
    yield _files()
    yield _late()


_WHEN_NOT_READY = {
    "database": "Start PostgreSQL, free its disk, or correct DATABASE_URL.",
    "migrations": "Run `manage.py migrate` as the owner role.",
    "sealing_keys": "Give SEALING_KEYS the keys that it had; see undecryptable secrets.",
    "broker": "Start Redis, or correct REDIS_URL; nothing is lost meanwhile.",
    "tick": "Start beat and a worker: nothing comes due without them.",
}


def _finding(
    name: str, state: health.State, says: str, do: str, *, well: str = ""
) -> Finding:
    """A finding whose advice is left out when there is nothing to do."""
    if state == health.State.OK:
        return Finding(name, state, well)
    return Finding(name, state, says, do)


def _versions() -> Iterator[Finding]:
    seen = {name: version(name) for name in FLOORS}
    yield Finding("python", health.State.OK, platform.python_version())
    for name, floor in FLOORS.items():
        is_old = _numbers(seen[name]) < _numbers(floor)
        yield _finding(
            f"version of {name}",
            health.State.FAILING if is_old else health.State.OK,
            f"{seen[name]} is older than {floor}",
            "Install what requirements.txt pins.",
            well=seen[name],
        )


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", text))


def _time_limits() -> Finding:
    seconds = settings.CELERY_BROKER_TRANSPORT_OPTIONS["visibility_timeout"]
    limits = settings.CELERY_TASK_SOFT_TIME_LIMIT, settings.CELERY_TASK_TIME_LIMIT
    is_well = limits[0] < limits[1] < seconds
    return _finding(
        "time limits",
        health.State.OK if is_well else health.State.FAILING,
        f"soft {limits[0]} s, hard {limits[1]} s, visibility {seconds} s",
        "Soft must be below hard, and hard below the visibility time-out (Q1).",
        well="soft below hard below visibility",
    )


def _redis() -> Iterator[Finding]:
    with redis.Redis.from_url(
        settings.REDIS_URL,
        socket_timeout=health.PROBE_SECONDS,
        socket_connect_timeout=health.PROBE_SECONDS,
    ) as client:
        try:
            policy = client.config_get("maxmemory-policy")["maxmemory-policy"]
            kept = client.config_get("appendonly")["appendonly"]
            saved = client.config_get("save")["save"]
        except (redis.ResponseError, KeyError):
            yield Finding(
                "redis",
                health.State.DEGRADED,
                "does not tell its settings",
                "Ask its operator: maxmemory-policy noeviction, appendonly yes.",
            )
            return
    yield _finding(
        "redis maxmemory-policy",
        health.State.OK if policy == "noeviction" else health.State.FAILING,
        f"{policy}: messages may be evicted",
        "Set maxmemory-policy noeviction.",
        well=policy,
    )
    is_kept = kept == "yes" or bool(saved)
    yield _finding(
        "redis persistence",
        health.State.OK if is_kept else health.State.DEGRADED,
        "off: a restart forgets bells, which are rung again a little later",
        "Set appendonly yes.",
        well="on",
    )


def _clock() -> Finding:
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        [there] = cursor.fetchone()
    apart = abs((datetime.now(UTC) - there).total_seconds())
    return _finding(
        "clock",
        health.State.OK if apart < CLOCK_SECONDS else health.State.DEGRADED,
        f"{apart:.0f} s away from the database's",
        "Run a time service (NTP) on both machines.",
        well="agrees with the database's",
    )


def _postgresql() -> Finding:
    with connection.cursor() as cursor:
        cursor.execute("SHOW server_version_num")
        [number] = cursor.fetchone()
    major = int(number) // 10_000
    return _finding(
        "version of PostgreSQL",
        health.State.OK if major >= POSTGRESQL_FLOOR else health.State.FAILING,
        f"{major} is older than {POSTGRESQL_FLOOR}",
        f"Upgrade to {POSTGRESQL_FLOOR} or newer.",
        well=str(major),
    )


def _secrets() -> Finding:
    """Try every sealed value: with which rows would a lost key be felt (K10)?"""
    closed = [name for row in _sealed_rows() for name in _closed_fields(row)]
    closed += _closed_second_factors()
    return _finding(
        "undecryptable secrets",
        health.State.FAILING if closed else health.State.OK,
        _names(closed),
        "Put the key that sealed them back into SEALING_KEYS; nothing was overwritten. "
        "If it is lost, enter these secrets anew.",
        well="none",
    )


def _sealed_rows() -> Iterator[SealedMixin]:
    for model in apps.get_models():
        if issubclass(model, SealedMixin):
            # The row says whose it is: a store, a warehouse, a person.
            owners = [
                field.name
                for field in model._meta.fields
                if field.name in ("store", "warehouse")
            ]
            yield from model._default_manager.select_related(*owners).iterator()


def _closed_fields(row: SealedMixin) -> Iterator[str]:
    for column in row._meta.fields:
        what = column.name.removeprefix("sealed_")
        if what == column.name:
            continue
        try:
            row.unseal(what)
        except sealing.SealError:
            owner = getattr(row, "store", None) or getattr(row, "warehouse", None)
            yield f"{what} of {row._meta.verbose_name} {owner or row.public_id}"


def _closed_second_factors() -> Iterator[str]:
    adapter = get_mfa_adapter()
    for row in Authenticator.objects.select_related("user").iterator():
        for text in (row.data.get("secret"), row.data.get("seed")):
            try:
                if text:
                    adapter.decrypt(text)
            except sealing.SealError:
                yield f"{row.get_type_display()} of {row.user}"


def _workers() -> Iterator[Finding]:
    longest = BEATS_MISSED * settings.WORKER_HEARTBEAT_SECONDS
    workers = Heartbeat.objects.filter(kind=Heartbeat.Kind.WORKER)
    alive = workers.within(longest)
    yield _finding(
        "workers",
        health.State.OK if alive.exists() else health.State.DEGRADED,
        "none takes messages",
        "Start one.",
        well=f"{alive.count()} alive",
    )
    missing = workers.exclude(pk__in=alive.values("pk"))
    names = [f"{row.name} since {row.at:%Y-%m-%d %H:%M} UTC" for row in missing]
    yield _finding(
        "missing heartbeats",
        health.State.DEGRADED if names else health.State.OK,
        _names(names),
        "Killed, or up without taking messages: restart it. Forgotten after a day.",
        well="none",
    )


def _orphans() -> Finding:
    """Runs and leases that the reaper, who comes with every tick, should have freed."""
    long_ago = Now() - timedelta(
        seconds=settings.LEASE_SECONDS + 4 * settings.TICK_SECONDS
    )
    leases = StoreLease.objects.filter(run__isnull=False, expires_at__lt=long_ago)
    held = Q(store__lease__run=F("pk"), store__lease__expires_at__gte=Now())
    runs = SyncRun.objects.filter(
        state=SyncRun.State.RUNNING, started_at__lt=long_ago
    ).exclude(held)
    counts = leases.count(), runs.count()
    return _finding(
        "orphan leases",
        health.State.DEGRADED if any(counts) else health.State.OK,
        f"{counts[0]} expired leases, {counts[1]} runs whose worker is gone",
        "The tick frees them: see why it does not come.",
        well="none",
    )


def _files() -> Finding:
    stuck = [f"{row.name} ({row.state})" for row in Delivery.objects.stuck()[:1000]]
    return _finding(
        "unknown deliveries",
        health.State.DEGRADED if stuck else health.State.OK,
        _names(stuck),
        "Begun over an hour ago: their channel's next run looks what arrived. See its "
        "connection's page for what keeps it.",
        well="none",
    )


def _late() -> Finding:
    """Due rows by age: a queue that nobody works off."""
    due = SyncRun.objects.filter(state=SyncRun.State.QUEUED, due_at__lte=Now())
    counts = {
        words: due.filter(due_at__lt=Now() - timedelta(minutes=minutes)).count()
        for words, minutes in (("a minute", 1), ("5 minutes", 5), ("an hour", 60))
    }
    state = health.State.OK
    if counts["5 minutes"]:
        state = health.State.DEGRADED
    if counts["an hour"]:
        state = health.State.FAILING
    says = ", ".join(f"{n} for over {words}" for words, n in counts.items())
    return _finding(
        "due rows", state, says, "Start workers, or more of them.", well=says
    )


def _names(found: list[str]) -> str:
    more = len(found) - NAMED
    return ", ".join(found[:NAMED]) + (f" and {more} more" if more > 0 else "")
