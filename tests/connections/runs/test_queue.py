"""The row is the queue: due once, tried a few times, ended for certain (Q4, Q10, Q11)."""

from __future__ import annotations

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connection as database
from django.db import transaction
from django.utils import timezone
from pytest_django import Settings

from connections.models import Alert, Channel, StoreLease, SyncRun
from connections.runs import execute, queue, switch
from connections.runs.context import RunContext
from connections.runs.jobs import JOBS
from connections.wire.errors import WireError
from stores.models import AuditEvent
from tests.engine import attempt, drain, due, enqueue, make_schedules_due
from tests.factories import Line

LONGEST_S = 10


def test_many_workers_rung_for_one_run_do_it_once(
    channel: Channel, threads: ThreadPoolExecutor
) -> None:
    """D19, Q11: the claim decides, not the bell."""
    run = enqueue(channel, "stock_changes")
    gate = threading.Barrier(8)
    done: list[int] = []

    def work() -> None:
        try:
            gate.wait(LONGEST_S)
            execute.execute(run.pk, {run.job: lambda _context: done.append(1)})
        finally:
            database.close()

    for ended in [threads.submit(work) for _ in range(8)]:
        ended.result(LONGEST_S)
    assert done == [1]
    run.refresh_from_db()
    assert (run.state, run.attempts) == ("succeeded", 1)


def ask_again(channel: Channel) -> None:
    stock_changes = JOBS["stock_changes"]
    assert queue.enqueue(channel, stock_changes, SyncRun.Trigger.CHANGE) is None


def test_what_is_asked_for_while_a_run_works_follows_it(channel: Channel) -> None:
    """It may have looked before the change was there (stock applied, settings saved)."""
    run = enqueue(channel, "stock_changes")
    execute.execute(run.pk, {run.job: lambda _context: ask_again(channel)})
    run.refresh_from_db()
    after = SyncRun.objects.exclude(pk=run.pk).get()
    assert (run.state, run.trigger) == ("succeeded", "person")
    assert (after.state, after.trigger) == ("queued", "change")
    assert after.due_at <= timezone.now()
    # Once is enough.
    attempt(after)
    assert (after.state, SyncRun.objects.count()) == ("succeeded", 2)


@pytest.mark.parametrize(
    "failure", [WireError("network_lost"), WireError("auth_refused")]
)
def test_what_is_asked_for_while_a_run_fails_need_not_wait_for_its_retry(
    channel: Channel, failure: WireError, settings: Settings
) -> None:
    settings.RETRY_BASE_SECONDS = settings.RETRY_CAP_SECONDS = 3600
    run = enqueue(channel, "stock_changes")

    def work(_context: RunContext) -> None:
        ask_again(channel)
        raise failure

    execute.execute(run.pk, {run.job: work})
    waiting = SyncRun.objects.get(state="queued")
    assert (waiting.tries, waiting.trigger) == (0, "change")
    assert waiting.due_at <= timezone.now()


def test_a_run_ends_after_the_change_that_it_is_asked_for(
    channel: Channel, threads: ThreadPoolExecutor
) -> None:
    """Whoever asks commits later than the run is done: the request is not lost."""
    run = enqueue(channel, "stock_changes")
    asked, go_on = threading.Event(), threading.Event()

    def change() -> None:
        try:
            with transaction.atomic():
                ask_again(channel)
                asked.set()
                assert go_on.wait(LONGEST_S)
        finally:
            database.close()

    def work(_context: RunContext) -> None:
        changed.append(threads.submit(change))
        assert asked.wait(LONGEST_S)
        threading.Timer(0.1, go_on.set).start()

    changed: list[Future[None]] = []
    execute.execute(run.pk, {run.job: work})
    changed[0].result(LONGEST_S)
    assert SyncRun.objects.exclude(pk=run.pk).get().state == "queued"


def test_a_channel_turned_off_meanwhile_is_not_asked_again(line: Line) -> None:
    run = enqueue(line.stock, "stock_changes")

    def work(_context: RunContext) -> None:
        ask_again(line.stock)
        switch.disable_channel(line.stock, by=line.person)

    execute.execute(run.pk, {run.job: work})
    assert not SyncRun.objects.filter(channel=line.stock).exclude(pk=run.pk).exists()


def test_poison_ends_after_the_last_attempt(
    channel: Channel, settings: Settings
) -> None:
    """Q4: our own fault, each time; exactly so many attempts, and others are unaffected."""
    settings.RETRY_TRIES = 4
    other = channel.connection.channels.get(type=Channel.Type.PURCHASE_ORDERS)
    run = enqueue(channel, "stock_changes")
    for number in range(1, 4):
        attempt(run, RuntimeError("poison"))
        assert (run.state, run.attempts) == ("queued", number)
        assert run.due_at > timezone.now() - timedelta(seconds=1)
    attempt(run, RuntimeError("poison"))
    assert (run.state, run.error_code) == ("failed", "internal_error")
    assert run.attempts == 4
    assert run.finished_at is not None
    assert not StoreLease.objects.exclude(run=None).exists()
    execute.execute(due(run).pk, {})
    run.refresh_from_db()
    assert run.attempts == 4
    healthy = enqueue(other, "orders_import")
    execute.execute(healthy.pk, {healthy.job: lambda _context: None})
    healthy.refresh_from_db()
    assert (healthy.state, healthy.attempts) == ("succeeded", 1)


def test_what_a_bug_says_is_not_stored(channel: Channel) -> None:
    """Its text could hold a secret."""
    run = attempt(enqueue(channel, "stock_changes"), RuntimeError("hunter2"))
    assert "hunter2" not in run.error_detail


def test_a_run_that_kills_its_worker_ends_as_well(
    channel: Channel, settings: Settings
) -> None:
    """Q4: attempts count before the work begins; the next worker is not killed at once."""
    settings.RETRY_TRIES = 4
    run = enqueue(channel, "stock_changes")
    waits = []
    for number in range(1, 5):
        leave_running(run)
        assert queue.reap() == 1
        run.refresh_from_db()
        assert run.attempts == number
        waits.append(run.due_at > timezone.now())
    assert waits == [False, True, True, False]
    assert (run.state, run.error_code) == ("failed", "worker_lost")
    assert Alert.objects.open().get().code == "worker_lost"
    assert queue.reap() == 0


@pytest.mark.parametrize("most_tries", [1, 4])
def test_what_was_asked_for_outlives_the_worker(
    channel: Channel, settings: Settings, most_tries: int
) -> None:
    """Q4: whether the run ends or is tried again, it is done now."""
    settings.RETRY_TRIES = most_tries
    run = enqueue(channel, "stock_changes")
    leave_running(run)
    ask_again(channel)
    assert queue.reap() == 1
    waiting = SyncRun.objects.get(state="queued")
    assert (waiting.trigger, waiting.due_at <= timezone.now()) == ("change", True)
    assert SyncRun.objects.filter(state="failed").exists() is (most_tries == 1)


def leave_running(run: SyncRun) -> None:
    """Claim a run and vanish; the lease runs out."""
    claimed = execute._claim(due(run).pk)
    assert claimed is not None
    expired = timezone.now() - timedelta(seconds=1)
    StoreLease.objects.filter(run=run).update(expires_at=expired)


def test_the_reaper_leaves_a_live_worker_alone(channel: Channel) -> None:
    run = enqueue(channel, "stock_changes")
    assert execute._claim(run.pk) is not None
    assert queue.reap() == 0


def test_nothing_runs_while_the_connection_is_off(line: Line) -> None:
    """dropstream.md §3: off means off, run-now included."""
    waiting = enqueue(line.stock, "stock_changes")
    switch.disable_connection(line.connection, by=line.person)
    waiting.refresh_from_db()
    assert waiting.state == "cancelled"
    make_schedules_due()
    assert drain() == []
    stock = line.stock
    assert not stock.connection.is_on
    assert queue.enqueue(stock, JOBS["stock_changes"], SyncRun.Trigger.PERSON) is None
    switch.enable_connection(line.connection, by=line.person)
    assert {run.state for run in drain()} == {"succeeded"}


def test_a_paused_channel_stops_alone(line: Line) -> None:
    switch.disable_channel(line.stock, by=line.person)
    assert {run.job for run in drain()} == {"orders_import", "orders_status"}
    switch.enable_channel(line.stock, by=line.person)
    assert {run.job for run in drain()} == {"stock_changes"}


def test_a_claim_of_a_channel_that_was_just_turned_off_is_cancelled(
    channel: Channel,
) -> None:
    run = enqueue(channel, "stock_changes")
    Channel.objects.update(enabled_at=None)
    execute.execute(run.pk, {})
    run.refresh_from_db()
    assert (run.state, run.attempts) == ("cancelled", 0)


def test_switches_are_idempotent_and_audited_once(line: Line) -> None:
    """A1."""
    for _ in range(2):
        switch.disable_connection(line.connection, by=line.person)
    for _ in range(2):
        switch.enable_connection(line.connection, by=line.person)
    actions = AuditEvent.objects.filter(
        target_id=str(line.connection.public_id)
    ).order_by("sequence")
    assert [event.action for event in actions] == [
        "connection.enabled",
        "connection.disabled",
        "connection.enabled",
    ]
    assert line.connection.off_periods.get().ended_at is not None
