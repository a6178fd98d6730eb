"""The doctor finds what is wrong and says what to do (O5, K10)."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Self

import pytest
import redis
from allauth.mfa.adapter import get_adapter
from allauth.mfa.models import Authenticator
from django.core.management import call_command
from django.db import connection as database
from django.utils import timezone
from pytest_django import Settings

from connections.models import Channel, Delivery, Heartbeat, StoreLease, SyncRun
from connections.runs import heartbeat
from dropstream import doctor
from dropstream.local.servers import Valkey
from stores.models import SSHKey
from tests import factories

OTHER_KEY = "k1:b3RoZXIta2V5LW90aGVyLWtleS1vdGhlci1rZXktMTI="
PASSWORD = "marker-of-the-password-0123456789"


@pytest.fixture(scope="module")
def durable(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Valkey as production has it; the tests' own keeps nothing."""
    server = Valkey(tmp_path_factory.mktemp("valkey"))
    yield server.start()
    server.stop()
    server.remove()


@pytest.fixture
def channel(db: None, durable: str, settings: Settings) -> Channel:
    """A whole installation: rows with secrets, a tick, a worker."""
    settings.REDIS_URL = durable
    brand = factories.merchant(factories.account())
    string = f"sftp://ship:{PASSWORD}@files.example.com"
    made = factories.connection(
        factories.store(brand, api_key="k-0123456789abcdef", ip_account="1"),
        factories.warehouse(brand, string),
    )
    heartbeat.beat(Heartbeat.Kind.TICK)
    heartbeat.beat(Heartbeat.Kind.WORKER, "celery@one")
    return made.channels.get(type=Channel.Type.INVENTORY)


def ask() -> tuple[int, dict[str, Any]]:
    """Ask for JSON; return the exit code, and the findings that are not well."""
    said, code = io.StringIO(), 0
    try:
        call_command("doctor", "--json", stdout=said)
    except SystemExit as end:
        code = int(str(end.code))
    answer = json.loads(said.getvalue())
    states = {"ok": 0, "degraded": 1, "failing": 2}
    assert states[answer["state"]] == code
    findings = answer["findings"]
    # Each line that is not well says what to do.
    assert all(bool(f["do"]) == (f["state"] != "ok") for f in findings)
    return code, {f["name"]: f for f in findings if f["state"] != "ok"}


def test_a_whole_installation(channel: Channel) -> None:
    """O5: exit 0, every subject told."""
    assert ask() == (0, {})
    said = io.StringIO()
    call_command("doctor", stdout=said)
    told = said.getvalue()
    for name in (
        *("database", "migrations", "sealing_keys", "broker", "tick", "clock"),
        *("version of Django", "version of celery", "version of kombu"),
        *("version of paramiko", "python", "redis maxmemory-policy"),
        *("redis persistence", "time limits", "orphan leases"),
        *("unknown deliveries", "undecryptable secrets", "missing heartbeats"),
        "due rows",
    ):
        assert f"ok       {name}" in told
    assert "→" not in told


def run(channel: Channel, state: str, minutes: float) -> SyncRun:
    at = timezone.now() - timedelta(minutes=minutes)
    return SyncRun.objects.create(
        account=channel.account,
        connection=channel.connection,
        channel=channel,
        store=channel.connection.store,
        job="stock_changes",
        state=state,
        trigger=SyncRun.Trigger.SCHEDULE,
        due_at=at,
        started_at=at,
    )


def lose_a_worker(channel: Channel) -> None:
    lost = run(channel, "running", 10)
    StoreLease.objects.create(
        store=channel.connection.store,
        run=lost,
        expires_at=timezone.now() - timedelta(minutes=9),
    )


def leave_a_file(channel: Channel) -> None:
    Delivery.objects.create(
        account=channel.account,
        connection=channel.connection,
        channel=channel,
        store=channel.connection.store,
        entity=Delivery.Entity.STOCK,
        name="left.csv",
        rows=1,
        size=1,
        sha256="0",
        state="renaming",
        first_attempt_at=timezone.now() - timedelta(minutes=61),
    )


def age(kind: str, minutes: float) -> None:
    at = timezone.now() - timedelta(minutes=minutes)
    Heartbeat.objects.filter(kind=kind).update(at=at)


ILLS: list[tuple[Callable[[Channel], object], int, dict[str, str]]] = [
    (lambda _: age("tick", 2), 1, {"tick": ""}),
    (
        lambda _: age("worker", 2),
        1,
        {"workers": "none takes messages", "missing heartbeats": "celery@one since"},
    ),
    (lose_a_worker, 1, {"orphan leases": "1 expired leases, 1 runs"}),
    (leave_a_file, 1, {"unknown deliveries": "left.csv (renaming)"}),
    (lambda c: run(c, "queued", 7), 1, {"due rows": "1 for over 5 minutes, 0 for"}),
    (lambda c: run(c, "queued", 70), 2, {"due rows": "1 for over an hour"}),
]


@pytest.mark.parametrize(("befall", "code", "ills"), ILLS)
def test_each_ill_is_named(
    channel: Channel,
    befall: Callable[[Channel], object],
    code: int,
    ills: dict[str, str],
) -> None:
    """O5: heartbeats, leases, deliveries, due rows by age; alone of all."""
    befall(channel)
    found_code, found = ask()
    assert (found_code, set(found)) == (code, set(ills))
    for name, words in ills.items():
        assert words in found[name]["says"]


def test_a_lost_key_is_felt_by_these_rows(channel: Channel, settings: Settings) -> None:
    """K10: which stores cannot be decrypted; nothing is overwritten, none is told."""
    person = factories.person("ada@acme.example", channel.account)
    secret = get_adapter().encrypt("a-totp-secret")
    Authenticator.objects.create(user=person, type="totp", data={"secret": secret})
    assert ask()[0] == 0
    sealed = SSHKey.objects.get().sealed_private_key
    settings.SEALING_KEYS = OTHER_KEY
    code, found = ask()
    assert (code, set(found)) == (2, {"sealing_keys", "undecryptable secrets"})
    says = found["undecryptable secrets"]["says"]
    store, warehouse = channel.connection.store, channel.connection.warehouse
    for words in (
        f"private_key of ssh key {store}",
        f"api_key of inventory planner settings {store}",
        f"password of file exchange settings {warehouse}",
        f"of {person}",
    ):
        assert words in says
    assert SSHKey.objects.get().sealed_private_key == sealed


def test_redis_that_may_forget(channel: Channel, durable: str) -> None:
    """O5, Q5: eviction loses messages; without persistence bells are late."""
    with redis.Redis.from_url(durable) as client:
        client.config_set("maxmemory-policy", "allkeys-lru")
        client.config_set("appendonly", "no")
        code, found = ask()
        client.config_set("maxmemory-policy", "noeviction")
        client.config_set("appendonly", "yes")
    assert (code, set(found)) == (
        2,
        {"redis maxmemory-policy", "redis persistence"},
    )
    assert ask() == (0, {})


def test_a_visibility_below_the_time_limit(
    channel: Channel, settings: Settings
) -> None:
    """O5, Q1."""
    options = settings.CELERY_BROKER_TRANSPORT_OPTIONS
    settings.CELERY_BROKER_TRANSPORT_OPTIONS = options | {"visibility_timeout": 500}
    code, found = ask()
    assert (code, set(found)) == (2, {"time limits"})
    assert "visibility 500 s" in found["time limits"]["says"]


def test_a_clock_that_is_wrong(
    channel: Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """O5, Q19."""

    class Late(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Self:
            return cls.fromtimestamp(datetime.now(UTC).timestamp() + 600, tz)

    monkeypatch.setattr(doctor, "datetime", Late)
    code, found = ask()
    assert (code, set(found)) == (1, {"clock"})
    assert "600 s away" in found["clock"]["says"]


def test_without_a_database_it_speaks_all_the_same(
    transactional_db: None, durable: str, settings: Settings
) -> None:
    """O5: exit 2, and what to do first."""
    settings.REDIS_URL = durable
    whole = database.settings_dict["OPTIONS"]
    try:
        database.close()
        database.settings_dict["OPTIONS"] = {"host": "/nowhere"}
        code, found = ask()
    finally:
        database.close()
        database.settings_dict["OPTIONS"] = whole
    assert code == 2
    assert "DATABASE_URL" in found["database"]["do"]
    assert "due rows" not in found
