"""One run at a time talks to a store, and a late one is refused (D19, Q12)."""

from __future__ import annotations

import time
from datetime import timedelta

import pytest
from django.utils import timezone
from pytest_django import Settings

from connections.models import Activity, Delivery, StoreLease, SyncRun
from connections.runs import execute, queue
from connections.runs import lease as leases
from connections.runs.context import RunContext
from connections.runs.lease import LeaseLostError
from connections.tasks import WORK
from tests import factories
from tests.engine import enqueue, run_now
from tests.factories import Line

LONGEST_S = 10


def expire(line: Line) -> None:
    past = timezone.now() - timedelta(seconds=1)
    StoreLease.objects.filter(store=line.store).update(expires_at=past)


def test_a_second_run_of_the_store_waits_and_then_works(line: Line) -> None:
    """D19: neither an error nor an attempt."""
    stock, orders = (
        enqueue(line.stock, "stock_changes"),
        enqueue(line.orders, "orders_import"),
    )

    def meanwhile(context: RunContext) -> None:
        execute.execute(orders.pk, WORK)
        orders.refresh_from_db()
        assert (orders.state, orders.attempts, orders.rung_at) == ("queued", 0, None)

    execute.execute(stock.pk, {stock.job: meanwhile})
    orders.refresh_from_db()
    assert orders.rung_at is not None
    execute.execute(orders.pk, WORK)
    orders.refresh_from_db()
    assert orders.state == "succeeded"


def test_two_connections_of_one_store_share_its_lease(line: Line) -> None:
    """design.md §3, Lease."""
    other_warehouse = factories.warehouse(line.warehouse.merchant, code="WH2")
    other = factories.connection(line.store, other_warehouse)
    stock = enqueue(line.stock, "stock_changes")
    theirs = enqueue(other.channels.get(type="inventory"), "stock_changes")

    def meanwhile(context: RunContext) -> None:
        execute.execute(theirs.pk, WORK)

    execute.execute(stock.pk, {stock.job: meanwhile})
    theirs.refresh_from_db()
    assert (theirs.state, theirs.attempts) == ("queued", 0)


def test_a_late_writer_is_refused_and_its_run_done_by_another(line: Line) -> None:
    """Q12: paused beyond its lease, it wakes up after somebody else took over."""
    run = enqueue(line.stock, "stock_changes")

    def asleep(context: RunContext) -> None:
        expire(line)
        assert queue.reap() == 1
        run.refresh_from_db()
        execute.execute(run.pk, WORK)  # another worker
        assert len(line.dropped()) == 1
        WORK[run.job](context)  # awake again; there is nothing left for it to say
        with context.fenced():
            context.note("stock_sent", file="late", rows=0)

    execute.execute(run.pk, {run.job: asleep})
    run.refresh_from_db()
    assert (run.state, run.attempts) == ("succeeded", 2)
    assert not Activity.objects.filter(facts__file="late").exists()
    assert len(line.dropped()) == 1
    lease = StoreLease.objects.get()
    assert (lease.run_id, lease.fence, lease.steals) == (None, 2, 1)


def test_a_late_writer_does_not_start_a_delivery(line: Line) -> None:
    """Q12: the intent is fenced, so no byte of it leaves."""
    run = enqueue(line.stock, "stock_changes")

    def late(context: RunContext) -> None:
        expire(line)
        other = SyncRun.objects.exclude(pk=run.pk).first() or enqueue(
            line.orders, "orders_import"
        )
        assert leases.take(other) is not None
        WORK[run.job](context)

    execute.execute(run.pk, {run.job: late})
    assert line.opened() == []
    assert not Delivery.objects.exists()
    assert StoreLease.objects.get().run is not None  # the holder's, left alone


def test_a_lost_lease_cannot_commit(line: Line) -> None:
    run = enqueue(line.stock, "stock_changes")
    claimed = execute._claim(run.pk)
    assert claimed is not None
    _, lease = claimed
    StoreLease.objects.update(fence=lease.fence + 1)
    with pytest.raises(LeaseLostError), lease.fenced():
        SyncRun.objects.filter(pk=run.pk).update(error_code="late")
    run.refresh_from_db()
    assert run.error_code == ""


def test_a_lease_is_renewed_while_its_run_works(line: Line, settings: Settings) -> None:
    settings.LEASE_SECONDS = 0.8
    run = enqueue(line.stock, "stock_changes")

    def slow(context: RunContext) -> None:
        taken_until = StoreLease.objects.get().expires_at
        assert taken_until is not None
        end = time.monotonic() + LONGEST_S
        while not StoreLease.objects.filter(expires_at__gt=taken_until).exists():
            assert time.monotonic() < end
            time.sleep(0.02)

    execute.execute(run.pk, {run.job: slow})
    run.refresh_from_db()
    assert run.state == "succeeded"


def test_the_lease_is_free_after_every_kind_of_end(line: Line) -> None:
    assert run_now(line.stock, "stock_changes").state == "succeeded"
    line.sandbox.rotate_host_key("warehouse")
    assert run_now(line.stock, "stock_changes").state == "needs_person"
    lease = StoreLease.objects.get()
    assert (lease.run_id, lease.expires_at) == (None, None)
