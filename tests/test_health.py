"""Addresses for machines tell the truth about each dependency, and nothing else (O1)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from django.db import connection as database
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django import Settings

from connections.models import Heartbeat
from connections.runs import heartbeat
from dropstream.local.servers import Valkey
from stores.models import SSHKey
from tests import factories

ALL_WELL = {
    "database": "ok",
    "migrations": "ok",
    "sealing_keys": "ok",
    "broker": "ok",
    "tick": "ok",
}
OTHER_KEY = "k1:b3RoZXIta2V5LW90aGVyLWtleS1vdGhlci1rZXktMTI="


@pytest.fixture(autouse=True)
def _each_look_is_a_new_one(settings: Settings) -> None:
    settings.READINESS_CACHED_SECONDS = 0


@pytest.fixture
def ready(db: None) -> None:
    """Everything that /readyz asks for, a key pair to open included."""
    factories.key_pair(factories.account())
    heartbeat.beat(Heartbeat.Kind.TICK)


def readyz() -> tuple[int, str, dict[str, str]]:
    """Ask; return the status code, the verdict, and what is not well."""
    response = Client().get("/readyz")
    answer = json.loads(response.content)
    assert list(answer["checks"]) == list(ALL_WELL)
    bad = {name: state for name, state in answer["checks"].items() if state != "ok"}
    return response.status_code, answer["status"], bad


def test_healthz_needs_nothing(client: Client) -> None:
    """O1: no database (this test has none), no Redis; the process answers."""
    response = client.get("/healthz")
    assert (response.status_code, response.content) == (200, b"ok")


@pytest.mark.usefixtures("ready")
def test_all_is_well() -> None:
    """O1; A6: names and states, no version, host or count."""
    response = Client().get("/readyz")
    assert json.loads(response.content) == {"status": "ok", "checks": ALL_WELL}
    assert response.headers["Cache-Control"] == "no-store"
    assert not any(mark in response.content for mark in b"0123456789/.")


@pytest.mark.usefixtures("ready")
def test_probes_need_neither_tls_nor_a_session(settings: Settings) -> None:
    """O1: inside, before the proxy; where pages would be sent to https."""
    settings.SECURE_SSL_REDIRECT = True
    assert Client().get("/healthz").status_code == 200
    assert readyz() == (200, "ok", {})
    assert Client().get("/people/login/").status_code == 301


def test_without_the_database(transactional_db: None) -> None:
    """O1: failing, at once, and well again when it is back."""
    heartbeat.beat(Heartbeat.Kind.TICK)
    whole = database.settings_dict["OPTIONS"]
    try:
        database.close()
        database.settings_dict["OPTIONS"] = {"host": "/nowhere", "connect_timeout": 2}
        code, verdict, bad = readyz()
    finally:
        database.close()
        database.settings_dict["OPTIONS"] = whole
    assert (code, verdict) == (503, "failing")
    # What only the database could tell is not known, so not well.
    assert bad == {
        "database": "failing",
        "migrations": "failing",
        "sealing_keys": "failing",
        "tick": "degraded",
    }
    assert readyz() == (200, "ok", {})


def test_with_a_database_that_takes_no_writes(transactional_db: None) -> None:
    """O1, Q15: a standby, or a disk that is full."""
    heartbeat.beat(Heartbeat.Kind.TICK)
    with database.cursor() as cursor:
        cursor.execute("SET default_transaction_read_only = on")
    code, _verdict, bad = readyz()
    database.close()
    assert (code, bad["database"]) == (503, "failing")
    assert readyz() == (200, "ok", {})


@pytest.mark.usefixtures("ready")
def test_before_the_migrations() -> None:
    """O1, Q15: the new version's rows are not there yet."""
    with database.cursor() as cursor:
        cursor.execute("DELETE FROM django_migrations WHERE name = '0003_alert'")
    assert readyz() == (503, "failing", {"migrations": "failing"})


@pytest.mark.usefixtures("ready")
@pytest.mark.parametrize("keys", ["", "k1:short", OTHER_KEY])
def test_without_the_right_sealing_key(settings: Settings, keys: str) -> None:
    """O1, K10: missing, malformed, another one; what is sealed stays as it is."""
    sealed = SSHKey.objects.get().sealed_private_key
    settings.SEALING_KEYS = keys
    assert readyz() == (503, "failing", {"sealing_keys": "failing"})
    assert SSHKey.objects.get().sealed_private_key == sealed


@pytest.fixture
def own_broker(tmp_path: Path, settings: Settings) -> Iterator[Valkey]:
    """A Valkey that nobody else uses, so that it can be stopped."""
    server = Valkey(tmp_path / "valkey", volatile=True)
    settings.REDIS_URL = server.start()
    yield server
    server.stop()
    server.remove()


@pytest.mark.usefixtures("ready")
def test_without_the_broker(own_broker: Valkey) -> None:
    """O1, Q7: degraded; people go on, what they ask for is a row."""
    assert readyz() == (200, "ok", {})
    own_broker.stop()
    assert readyz() == (200, "degraded", {"broker": "degraded"})
    own_broker.start()
    assert readyz() == (200, "ok", {})


@pytest.mark.usefixtures("ready")
def test_without_the_tick(settings: Settings) -> None:
    """O1: two intervals without one; nothing comes due any more."""
    settings.TICK_SECONDS = 60
    for seconds, state in ((90, {}), (121, {"tick": "degraded"})):
        Heartbeat.objects.filter(kind="tick").update(
            at=timezone.now() - timedelta(seconds=seconds)
        )
        code, _verdict, bad = readyz()
        assert (code, bad) == (200, state)


@pytest.mark.usefixtures("ready")
def test_asking_often_costs_little(settings: Settings) -> None:
    """O1: cached for a few seconds."""
    settings.READINESS_CACHED_SECONDS = 0
    readyz()
    settings.READINESS_CACHED_SECONDS = 60
    with CaptureQueriesContext(database) as queries:
        assert readyz() == (200, "ok", {})
    assert not queries.captured_queries
