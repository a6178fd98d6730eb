"""The dead-man's switch speaks when nobody else is left to (O3)."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection as database
from django.db.models import F
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django import Settings

from connections.alerts import silence
from connections.alerts.ledger import close_alerts
from connections.models import Alert, Channel, Connection, SyncRun
from connections.runs import schedule, switch
from tests import factories


@pytest.fixture
def channel(transactional_db: None) -> Channel:
    """The orders channel of a connection that is on: a job of 15 and one of 240 min."""
    brand = factories.merchant(factories.account())
    made = factories.connection(factories.store(brand), factories.warehouse(brand))
    return made.channels.get(type=Channel.Type.PURCHASE_ORDERS)


def pass_time(**hours: float) -> None:
    """Let time go by: everything that happened is so much longer ago."""
    by = timedelta(**hours)
    SyncRun.objects.update(
        created_at=F("created_at") - by,
        due_at=F("due_at") - by,
        finished_at=F("finished_at") - by,
    )
    Connection.objects.update(enabled_at=F("enabled_at") - by)
    Channel.objects.update(enabled_at=F("enabled_at") - by)


def ask(channel: Channel, job: str, state: str, **hours_ago: float) -> SyncRun:
    """Add a run that was asked for so long ago and is in that state now."""
    run = SyncRun.objects.create(
        account=channel.account,
        connection=channel.connection,
        channel=channel,
        store=channel.connection.store,
        job=job,
        state=state,
        trigger=SyncRun.Trigger.SCHEDULE,
        due_at=timezone.now(),
    )
    asked = timezone.now() - timedelta(**hours_ago)
    SyncRun.objects.filter(pk=run.pk).update(created_at=asked)
    return run


def silent() -> set[tuple[str, str]]:
    """Look, then return the open alerts' channels and jobs."""
    silence.look()
    alerts = Alert.objects.open().filter(code=silence.CODE)
    return set(alerts.values_list("channel__type", "job"))


def test_it_speaks_when_every_worker_is_dead(channel: Channel) -> None:
    """O3: runs come due and nobody takes them; nothing failed, nothing reported."""
    assert schedule.make_due() == 3
    assert silent() == set()
    pass_time(minutes=65)
    assert silent() == {("purchase_orders", "orders_import")}
    pass_time(hours=2)  # three of the stock's hours
    both = {("purchase_orders", "orders_import"), ("inventory", "stock_changes")}
    assert silent() == both
    first = Alert.objects.get(job="orders_import")
    assert silent() == both
    assert Alert.objects.get(pk=first.pk).count == 1  # looking again is no new trouble


def test_failures_do_not_count_as_a_sign_of_life(channel: Channel) -> None:
    """O3: runs that fail at once, each of them young, all the same deliver nothing."""
    for hours in (2, 1, 0):
        ask(channel, "orders_import", "needs_person", hours=hours)
    pass_time()
    Connection.objects.update(enabled_at=timezone.now() - timedelta(days=1))
    Channel.objects.update(enabled_at=timezone.now() - timedelta(days=1))
    assert silent() == {("purchase_orders", "orders_import")}


def test_a_success_ends_it(channel: Channel) -> None:
    """O3: closed by the success itself, and by the next look where that was missed."""
    schedule.make_due()
    pass_time(hours=1.5)
    runs = SyncRun.objects.filter(job="orders_import")
    assert silent() == {("purchase_orders", "orders_import")}
    runs.update(state="succeeded", finished_at=timezone.now())
    assert close_alerts(channel, job="orders_import") == 1
    assert silent() == set()
    runs.update(state="queued", finished_at=None)
    assert silent() == {("purchase_orders", "orders_import")}
    runs.update(state="succeeded", finished_at=timezone.now())
    assert silent() == set()


def test_hours_without_demand_are_no_silence(channel: Channel) -> None:
    """O3: rules for Mondays only say nothing on Tuesday."""
    ask(channel, "orders_import", "succeeded", days=6)
    Connection.objects.update(enabled_at=timezone.now() - timedelta(days=9))
    Channel.objects.update(enabled_at=timezone.now() - timedelta(days=9))
    assert silent() == set()
    ask(channel, "orders_import", "queued", minutes=59)
    assert silent() == set()
    pass_time(minutes=2)
    assert silent() == {("purchase_orders", "orders_import")}


def test_what_is_off_or_was_just_turned_on_is_not_silent(channel: Channel) -> None:
    """O3: off means off; R4: what failed before is not held against a fresh start."""
    ask(channel, "orders_import", "failed", hours=5)
    Connection.objects.update(enabled_at=timezone.now() - timedelta(days=1))
    Channel.objects.update(enabled_at=timezone.now() - timedelta(days=1))
    assert silent() == {("purchase_orders", "orders_import")}
    connection = channel.connection
    switch.disable_connection(connection, by=None)
    assert silent() == set()
    switch.enable_connection(connection, by=None)
    assert silent() == set()


def test_intervals_and_the_demo_clock_are_minded(
    channel: Channel, settings: Settings
) -> None:
    schedule.make_due()
    pass_time(hours=5)
    settings.SILENT_INTERVALS = 6  # 1.5 h of the import, 6 h of stock, 24 h of status
    assert silent() == {("purchase_orders", "orders_import")}
    settings.DEMO_CLOCK_SPEED = 240
    assert silent() == {
        ("purchase_orders", "orders_import"),
        ("inventory", "stock_changes"),
    }


def test_looking_is_one_statement_however_many_there_are(channel: Channel) -> None:
    """O3: set-based."""
    schedule.make_due()
    counts = []
    for _ in range(2):
        pass_time(hours=3)
        with CaptureQueriesContext(database) as queries:
            silence.look()
        counts.append(len(queries.captured_queries))
        factories.many_connections(channel.account, 30)
    assert counts[0] == counts[1]
