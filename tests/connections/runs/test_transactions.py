"""What the database undoes is done again; one that was away is waited for (Q13, Q14)."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import OperationalError, transaction
from django.db import connection as database
from django.db.models import F

from connections.models import Channel, SyncRun
from connections.runs import execute
from connections.runs.context import RunContext
from connections.runs.transactions import TRIES, retried
from connections.wire.errors import WireError
from tests.engine import enqueue
from tests.factories import Line

LONGEST_S = 30


def sever() -> None:
    """End this process's session at the database, as a restart does."""
    with database.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        [pid] = cursor.fetchone()
    other = database.copy()
    try:
        with other.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
    finally:
        other.close()


def fail_with(sqlstate: str) -> None:
    with database.cursor() as cursor:
        error = f"RAISE EXCEPTION 'as asked' USING ERRCODE = '{sqlstate}'"
        cursor.execute(f"DO $$ BEGIN {error}; END $$")


@pytest.mark.parametrize("sqlstate", ["40001", "40P01", "55P03"])
def test_the_whole_transaction_is_done_again(channel: Channel, sqlstate: str) -> None:
    """Q14: deadlock, serialization failure, lock time-out; what went before is undone."""
    tries: list[int] = []

    def change() -> None:
        Channel.objects.filter(pk=channel.pk).update(failures=F("failures") + 1)
        tries.append(1)
        if len(tries) < TRIES:
            fail_with(sqlstate)

    retried(change)
    channel.refresh_from_db()
    assert (channel.failures, len(tries)) == (1, 3)


def test_three_times_and_no_more(channel: Channel) -> None:
    """Q14."""
    tries: list[int] = []

    def change() -> None:
        tries.append(1)
        fail_with("40P01")

    with pytest.raises(OperationalError):
        retried(change)
    assert len(tries) == 3


def test_a_transaction_that_is_not_ours_is_not_done_again(channel: Channel) -> None:
    """Q14: half of it would be missing."""
    tries: list[int] = []

    def change() -> None:
        tries.append(1)
        fail_with("40P01")

    with pytest.raises(OperationalError), transaction.atomic():
        retried(change)
    assert len(tries) == 1


def test_two_that_lock_each_other_out_both_get_done(
    channel: Channel, threads: ThreadPoolExecutor
) -> None:
    """Q14: a real deadlock."""
    pks = list(Channel.objects.order_by("pk").values_list("pk", flat=True)[:2])
    gate = threading.Barrier(2)

    def work(first: int, second: int) -> None:
        tries: list[int] = []

        def change() -> None:
            tries.append(1)
            Channel.objects.filter(pk=first).update(failures=F("failures") + 1)
            if len(tries) == 1:
                gate.wait(LONGEST_S)
            Channel.objects.filter(pk=second).update(failures=F("failures") + 1)

        try:
            retried(change)
        finally:
            database.close()

    for done in [threads.submit(work, *pks), threads.submit(work, *reversed(pks))]:
        done.result(LONGEST_S)
    assert set(Channel.objects.values_list("failures", flat=True)) == {2}


def test_the_database_ends_what_takes_too_long(channel: Channel) -> None:
    """Q14: statements, locks and idle transactions, in every process of ours."""
    with database.cursor() as cursor:
        shown = {}
        for name in ("statement_timeout", "lock_timeout"):
            cursor.execute(f"SHOW {name}")
            [shown[name]] = cursor.fetchone()
        cursor.execute("SHOW idle_in_transaction_session_timeout")
        [shown["idle"]] = cursor.fetchone()
    assert shown == {"statement_timeout": "5min", "lock_timeout": "15s", "idle": "1min"}


def test_a_run_outlives_the_end_of_its_database_session(channel: Channel) -> None:
    """Q13: the work fails cleanly, its end is written over a new connection."""
    run = enqueue(channel, "stock_changes")

    def work(context: RunContext) -> None:
        sever()
        Channel.objects.count()

    execute.execute(run.pk, {run.job: work})
    run.refresh_from_db()
    assert (run.state, run.error_code, run.attempts) == ("queued", "database_away", 1)
    assert run.rung_at is None
    channel.refresh_from_db()
    assert channel.failures == 0  # no far side's fault


def test_work_that_was_done_is_recorded_though_the_session_ended(line: Line) -> None:
    """Q13: success and failure alike; the next run is one of its own."""
    for failure, state in ((None, "succeeded"), (WireError("network_lost"), "queued")):
        run = enqueue(line.stock, "stock_changes")

        def work(context: RunContext, failure: Exception | None = failure) -> None:
            sever()
            if failure is not None:
                raise failure

        execute.execute(run.pk, {run.job: work})
        run.refresh_from_db()
        assert run.state == state
    assert not SyncRun.objects.filter(state="running").exists()
