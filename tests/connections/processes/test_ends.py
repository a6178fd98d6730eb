"""Workers and connections that end in the middle: by a signal, by themselves, by a
restart of PostgreSQL."""

from __future__ import annotations

import signal
import time
from functools import partial

from django.db import connection as database

from connections.models import Heartbeat, Schedule, StoreLease, SyncRun
from tests.connections.processes.work import Gate, assert_one_right_file, is_done
from tests.factories import Line
from tests.lab.workers import Workers


def test_a_run_that_kills_its_process_each_time_is_given_up(
    stock_line: Line, workers: Workers
) -> None:
    """Q4: exactly so many attempts, then a dead row; the worker itself goes on."""
    workers.start_tick()
    worker = workers.start_worker("run.claimed=kill", pool="prefork", RETRY_TRIES="4")

    def is_dead() -> bool:
        return SyncRun.objects.filter(state=SyncRun.State.FAILED).exists()

    workers.wait_for("the end of the attempts", is_dead)
    run = SyncRun.objects.get()
    assert (run.attempts, run.error_code) == (4, "worker_lost")
    assert worker.poll() is None


def test_sigterm_during_an_upload_lets_it_end(
    stock_line: Line, workers: Workers
) -> None:
    """Q9: finished within the grace, the lease given back."""
    gate = Gate(stock_line, at=2)
    workers.start_tick()
    worker = workers.start_worker()
    workers.wait_for("the push", gate.reached.is_set)
    worker.send_signal(signal.SIGTERM)
    time.sleep(0.5)
    assert worker.poll() is None
    gate.open.set()
    workers.wait_for("the worker's end", lambda: worker.poll() is not None)
    assert is_done()
    assert_one_right_file(stock_line)
    assert not StoreLease.objects.filter(run__isnull=False).exists()


def test_three_ticks_make_one_run_a_slot(stock_line: Line, workers: Workers) -> None:
    """Q10: beats started by mistake."""
    for _ in range(3):
        workers.start_tick()
    workers.start_worker()
    for slot in (1, 2):
        workers.wait_for("the slot's run", partial(has_ended, slot))
        time.sleep(2)  # four ticks of each
        assert SyncRun.objects.count() == slot
        if slot == 1:
            Schedule.objects.filter(job="stock_changes").update(
                next_due_at="2020-01-01T00:00Z"
            )


def has_ended(slot: int) -> bool:
    return SyncRun.objects.filter(state=SyncRun.State.SUCCEEDED).count() >= slot


def test_work_goes_on_when_postgresql_was_restarted(
    stock_line: Line, workers: Workers
) -> None:
    """Q13: every connection is ended as a restart ends it, five times during an upload;
    none of them was in a transaction meanwhile."""
    gate = Gate(stock_line, at=2)
    workers.start_tick()
    workers.start_worker(PGAPPNAME="soaked")
    workers.wait_for("the push", gate.reached.is_set)
    seen = Transactions()
    for _ in range(5):
        workers.wait_for("its connections", seen.look)
        assert max(seen.seconds) < 5
        end_connections()
    gate.open.set()
    workers.wait_for("the end of the run", is_done)
    assert_one_right_file(stock_line)


class Transactions:
    """How long each connection of the worker was in a transaction; 0: it was not."""

    seconds: list[float]

    def look(self) -> bool:
        """Look once; False while the worker has no connection."""
        with database.cursor() as cursor:
            cursor.execute(
                "SELECT coalesce(extract(epoch FROM clock_timestamp() - xact_start), 0)"
                " FROM pg_stat_activity WHERE application_name = 'soaked'"
            )
            self.seconds = [float(seconds) for (seconds,) in cursor.fetchall()]
        return bool(self.seconds)


def end_connections() -> None:
    with database.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'soaked'"
        )


def test_the_tick_goes_on_while_every_thread_is_on_an_upload(
    stock_line: Line, workers: Workers
) -> None:
    """Q17: the desk's worker does what people and the clock wait for."""
    gate = Gate(stock_line, at=2)
    workers.start_tick()
    workers.start_worker(threads=1)
    workers.wait_for("the push", gate.reached.is_set)
    workers.start_worker(queues="checks,ticks")
    Heartbeat.objects.filter(kind=Heartbeat.Kind.TICK).delete()
    workers.wait_for(
        "a tick", Heartbeat.objects.filter(kind=Heartbeat.Kind.TICK).exists
    )
    assert not is_done()
    gate.open.set()
    workers.wait_for("the end of the run", is_done)
