"""What is over is dropped in time; what is not over stays for good (design.md §3)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.utils import timezone

from connections import retention
from connections.alerts.ledger import close_alerts, raise_alert
from connections.deliveries import bytes as file_bytes
from connections.models import (
    Activity,
    Alert,
    Channel,
    CheckRun,
    Delivery,
    DeliveryChunk,
    HandOver,
    SyncRun,
)
from connections.models.activity import note
from stores.models import AuditEvent
from tests import factories


@pytest.fixture
def channel(db: None) -> Channel:
    """The stock channel of a connection that is on; no far side answers."""
    brand = factories.merchant(factories.account())
    made = factories.connection(factories.store(brand), factories.warehouse(brand))
    return made.channels.get(type=Channel.Type.INVENTORY)


def days_ago(setting: str, more: float) -> Any:
    return timezone.now() - timedelta(days=getattr(settings, setting) + more)


def run(channel: Channel, state: str, more: float | None, job: str = "a") -> SyncRun:
    """A run that ended so long after its time to go; None: it has not ended."""
    ended = None if more is None else days_ago("KEEP_RUNS_DAYS", more)
    return SyncRun.objects.create(
        account=channel.account,
        connection=channel.connection,
        channel=channel,
        store=channel.connection.store,
        job=job,
        state=state,
        trigger=SyncRun.Trigger.SCHEDULE,
        due_at=days_ago("KEEP_RUNS_DAYS", more or 9),
        finished_at=ended,
    )


def delivery(channel: Channel, state: str, more: float, **values: Any) -> Delivery:
    """A file of two chunks, as old as its time to go and so many days more."""
    at = days_ago("KEEP_FILE_BYTES_DAYS", more)
    row = Delivery.objects.create(
        account=channel.account,
        connection=channel.connection,
        channel=channel,
        store=channel.connection.store,
        name=f"f{Delivery.objects.count()}.csv",
        rows=1,
        size=2,
        sha256="0" * 64,
        state=state,
        subject=str(Delivery.objects.count()),
        delivered_at=at if state == "delivered" else None,
        **{"entity": Delivery.Entity.STOCK} | values,
    )
    Delivery.objects.filter(pk=row.pk).update(created_at=at)
    for n in range(2):
        DeliveryChunk.objects.create(delivery=row, n=n, data=b"x")
    return row


def test_bytes_of_old_files_go_and_their_rows_stay(channel: Channel) -> None:
    """design.md §3, Bytes: retention drops chunks, keeps row and hash."""
    old = delivery(channel, "delivered", 1)
    young = delivery(channel, "delivered", -1)
    kept = [delivery(channel, state, 99) for state in Delivery.UNFINISHED]
    kept.append(delivery(channel, "unknown", 99))
    order = Delivery.Entity.PURCHASE_ORDER
    kept.append(delivery(channel, "delivered", 99, entity=order))
    assert retention.prune() == 2
    assert list(file_bytes.read(Delivery(pk=old.pk))) == []
    old.refresh_from_db()
    assert (old.size, old.sha256) == (2, "0" * 64)
    held = set(DeliveryChunk.objects.values_list("delivery", flat=True))
    assert held == {row.pk for row in [young, *kept]}


def test_old_runs_go_but_not_a_jobs_newest_nor_one_that_is_not_over(
    channel: Channel,
) -> None:
    old = run(channel, "succeeded", 2)
    note("run_stopped", connection=channel.connection, run=old, job="stock_changes")
    resolved = run(channel, "failed", 1)
    SyncRun.objects.filter(pk=resolved.pk).update(resolved_at=timezone.now())
    letter = run(channel, "failed", 1)  # a dead letter: somebody may replay it
    kept = [
        letter,
        run(channel, "needs_person", 1),
        run(channel, "cancelled", 50, job="b"),
    ]
    kept += [
        run(channel, "succeeded", 2, job="c"),
        run(channel, "running", None, job="c"),
    ]
    young = run(channel, "succeeded", -1, job="d")
    kept += [young, run(channel, "queued", None, job="d")]
    del kept[3]  # job c has a newer one: its success may go
    assert retention.prune() == 3
    assert set(SyncRun.objects.all()) == set(kept)
    assert Activity.objects.get().run is None  # the timeline outlives its runs


def test_timeline_checks_and_closed_alerts_go_in_time(channel: Channel) -> None:
    person = factories.person("ada@acme.example", channel.account)
    for more in (1, -1):
        note("stock_sent", connection=channel.connection, rows=more, file="f")
        newest = Activity.objects.order_by("-pk")[:1].values("pk")
        at = days_ago("KEEP_ACTIVITY_DAYS", more)
        Activity.objects.filter(pk__in=newest).update(at=at)
        for state in ("passed", "queued"):
            CheckRun.objects.create(
                account=channel.account,
                requested_by=person,
                store=channel.connection.store,
                state=state,
                finished_at=days_ago("KEEP_CHECKS_DAYS", more)
                if state == "passed"
                else None,
            )
        raise_alert("disk_full", channel=channel)
        close_alerts(channel)
        newest_alert = Alert.objects.order_by("-pk")[:1].values("pk")
        closed = days_ago("KEEP_ALERTS_DAYS", more)
        Alert.objects.filter(pk__in=newest_alert).update(closed_at=closed)
    raise_alert("disk_full", channel=channel)
    Alert.objects.open().update(opened_at=days_ago("KEEP_ALERTS_DAYS", 9))
    assert retention.prune() == 3
    assert Activity.objects.get().facts["rows"] == -1
    assert CheckRun.objects.filter(state="passed").count() == 1
    assert CheckRun.objects.filter(state="queued").count() == 2
    assert Alert.objects.exclude(closed_at=None).count() == 1
    assert Alert.objects.open().count() == 1


def test_tombstones_and_the_audit_stay_for_good(channel: Channel) -> None:
    """design.md §3, Hand-over; A2."""
    sent = delivery(channel, "delivered", 999)
    HandOver.objects.create(
        account=channel.account,
        store=channel.connection.store,
        external_id="1",
        file_name=sent.name,
        delivery=sent,
    )
    HandOver.objects.update(committed_at=timezone.now() - timedelta(days=9999))
    events = AuditEvent.objects.count()
    retention.prune()
    assert HandOver.objects.get().delivery == sent
    assert AuditEvent.objects.count() == events > 0


def test_it_works_in_batches_and_within_its_budget(channel: Channel) -> None:
    """Bounded: no long transaction, no long task; what is left goes at the next turn."""
    for _ in range(6):
        run(channel, "succeeded", 1)
    assert retention.prune(budget_s=0) == 0
    assert retention.prune(batch=2) == 5
    assert retention.prune() == 0
