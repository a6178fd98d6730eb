"""Metrics tell what the rows say, to whoever shows the token (O2, A6)."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
import redis
from django.db import connection as database
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django import Settings

from connections.alerts.ledger import raise_alert
from connections.models import Channel, Delivery, Heartbeat, SyncRun
from connections.runs import heartbeat
from inventory_planner.models import ApiUse
from tests import factories

TOKEN = "a-token-for-metrics"
LINE = re.compile(r'dropstream_(\w+)(?:\{((?:\w+="[^"]*",?)*)\})? (\S+)')


@pytest.fixture
def channel(db: None, settings: Settings) -> Channel:
    """The stock channel of a connection that is on; no far side answers."""
    settings.METRICS_TOKEN = TOKEN
    with redis.Redis.from_url(settings.REDIS_URL) as client:
        client.flushdb()
    brand = factories.merchant(factories.account())
    made = factories.connection(factories.store(brand), factories.warehouse(brand))
    return made.channels.get(type=Channel.Type.INVENTORY)


def scrape() -> dict[str, float]:
    """Read the page as Prometheus does: `name{labels}` and value."""
    response = Client(headers={"authorization": f"Bearer {TOKEN}"}).get("/metrics")
    assert response.status_code == 200
    assert response.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    found, typed = {}, set()
    for line in response.content.decode().splitlines():
        if line.startswith("# TYPE"):
            typed.add(line.split()[2].removeprefix("dropstream_"))
        if line.startswith("#"):
            continue
        sample = LINE.fullmatch(line)
        assert sample, line
        assert sample[1] in typed
        found[sample[1] + (f"[{sample[2]}]" if sample[2] else "")] = float(sample[3])
    return found


def run(channel: Channel, job: str, state: str, minutes: float, code: str = "") -> None:
    """A run that came due, or ended, so many minutes ago."""
    at = timezone.now() - timedelta(minutes=minutes)
    SyncRun.objects.create(
        account=channel.account,
        connection=channel.connection,
        channel=channel,
        store=channel.connection.store,
        job=job,
        state=state,
        trigger=SyncRun.Trigger.SCHEDULE,
        due_at=at,
        finished_at=None if state in SyncRun.UNFINISHED else at,
        error_code=code,
    )


def test_the_rows_are_told(channel: Channel, settings: Settings) -> None:
    """O2: due rows by age, running, outcomes by class, alerts, files, signs of life."""
    for number, minutes in enumerate((-5, 0.5, 2, 20, 90)):
        run(channel, f"job{number}", "queued", minutes)
    run(channel, "at-work", "running", 3)
    for minutes in (10, 20, 70):
        run(channel, "done", "failed", minutes, "network_lost")
    run(channel, "well", "succeeded", 1)
    SyncRun.objects.filter(job="well").update(counts={"duplicates_prevented": 2})
    ApiUse.objects.create(
        ip_account="123456",
        next_at=timezone.now(),
        calls=40,
        told_to_wait=1,
        waited_s=12.5,
    )
    raise_alert("disk_full", channel=channel)
    raise_alert("disk_full", channel=channel)
    for n, state in enumerate(("sending", "unknown", "delivered")):
        Delivery.objects.create(
            account=channel.account,
            connection=channel.connection,
            channel=channel,
            store=channel.connection.store,
            entity=Delivery.Entity.STOCK,
            name=f"{n}.csv",
            rows=1,
            size=1,
            sha256="0",
            state=state,
            first_attempt_at=timezone.now() - timedelta(hours=2),
        )
    Delivery.objects.filter(name="2.csv").update(
        proof=Delivery.Proof.CONFIRMED, proved_at=timezone.now()
    )
    Channel.objects.filter(pk=channel.pk).update(gate_until=timezone.now())
    heartbeat.beat(Heartbeat.Kind.WORKER, "celery@one")
    heartbeat.beat(Heartbeat.Kind.TICK)
    with redis.Redis.from_url(settings.REDIS_URL) as client:
        client.lpush("runs", "a", "b")
        found = scrape()
        client.flushdb()
    late = [found.pop(f'runs_due[older_than_s="{s}"]') for s in (0, 60, 300, 900, 3600)]
    assert late == [4, 3, 2, 2, 1]
    assert 5400 <= found.pop("oldest_due_seconds") < 5460
    assert found.pop("tick_age_seconds") < 60
    assert found == {
        "runs_queued": 5,
        "runs_running": 1,
        "gates_closed": 1,
        'runs_ended_last_hour[state="failed",class="transient"]': 2,
        'runs_ended_last_hour[state="succeeded",class="none"]': 1,
        'alerts_open[code="disk_full"]': 1,
        "deliveries_stuck": 1,
        "deliveries_unknown_total": 1,
        'deliveries_proved_last_day[proof="confirmed"]': 1,
        "workers_alive": 1,
        "broker_up": 1,
        'queue_messages[queue="runs"]': 2,
        'queue_messages[queue="checks"]': 0,
        'queue_messages[queue="ticks"]': 0,
        "lease_steals_total": 0,
        "duplicates_prevented_last_hour": 2,
        "api_calls_total": 40,
        "api_told_to_wait_total": 1,
        "api_wait_seconds_total": 12.5,
    }


def test_more_rows_cost_no_more_queries(channel: Channel) -> None:
    """O2: a constant number."""
    counts = []
    for _ in range(2):
        with CaptureQueriesContext(database) as queries:
            scrape()
        counts.append(len(queries.captured_queries))
        factories.many_connections(channel.account, 20)
    assert counts[0] == counts[1]


def test_without_redis_the_rest_is_told(channel: Channel, settings: Settings) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    found = scrape()
    assert found["broker_up"] == 0
    assert not [name for name in found if name.startswith("queue_messages")]
    assert "runs_queued" in found


@pytest.mark.parametrize("sent", [None, "Bearer wrong", "Bearer ", "Basic é"])
def test_nobody_reads_without_the_token(channel: Channel, sent: str | None) -> None:
    """A6."""
    headers = {} if sent is None else {"authorization": sent}
    response = Client(headers=headers).get("/metrics")
    assert (response.status_code, response.content) == (401, b"")


@pytest.mark.parametrize("sent", ["Bearer ", f"Bearer {TOKEN}"])
def test_without_a_token_set_there_is_no_such_page(
    db: None, settings: Settings, sent: str
) -> None:
    """A6: off by default; an empty token opens nothing."""
    assert settings.METRICS_TOKEN == ""
    client = Client(headers={"authorization": sent})
    assert client.get("/metrics").status_code == 404
