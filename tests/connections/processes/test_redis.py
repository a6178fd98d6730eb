"""Redis is stopped, restarted and too eager; the rows know what is to be done."""

from __future__ import annotations

import os
import subprocess
from functools import partial

import pytest
import redis

from connections.models import Delivery, SyncRun
from connections.runs import queue, schedule
from connections.runs.jobs import STOCK_CHANGES
from dropstream.local.servers import Valkey
from tests import engine
from tests.connections.processes.work import Gate, assert_one_right_file, is_done
from tests.factories import Line
from tests.lab.workers import Workers

BELLS = 300


@pytest.fixture(autouse=True)
def _own(own_valkey: Valkey) -> None:
    """Every test here has a Redis of its own, before its workers start."""


def started(workers: Workers, process: subprocess.Popen[bytes]) -> int:
    return workers.log(process).count('"event": "run started"')


def test_a_bell_that_rings_twice_has_one_effect(
    own_valkey: Valkey, stock_line: Line, workers: Workers
) -> None:
    """Q1: a visibility time-out below the task's time; the second worker walks away."""
    gate = Gate(stock_line, at=2)
    schedule.make_due()
    queue.ring_due()
    pair = [
        workers.start_worker(VISIBILITY_TIMEOUT="1"),
        workers.start_worker(VISIBILITY_TIMEOUT="1"),
    ]
    workers.wait_for("the push", gate.reached.is_set)

    def rang_twice() -> bool:
        bells = (workers.log(w).count(" received") for w in pair)
        return sum(bells) >= 2

    workers.wait_for("the second bell", rang_twice)
    gate.open.set()
    workers.wait_for("the end of the run", is_done)
    assert_one_right_file(stock_line)
    assert SyncRun.objects.get(job="stock_changes").attempts == 1


def test_each_worker_takes_work_again_after_redis_was_restarted(
    own_valkey: Valkey, stock_line: Line, workers: Workers
) -> None:
    """Q6, Q5, Q7: restarted under load, once emptied, and once stopped when a person
    asks; a worker that holds a bell meanwhile survives it."""
    workers.start_tick()
    pair = [workers.start_worker(), workers.start_worker()]
    workers.wait_for("the first push", is_done)
    for turn in range(3):
        # A run of the last turn would send the report before the gate stands.
        workers.wait_for("rest", is_at_rest)
        stock_line.report(
            f"inv_2{turn}.csv", f"sku,facility,available\nA,RENO,{turn}\n"
        )
        gate = Gate(stock_line, at=1)
        run = engine.enqueue(stock_line.stock, "stock_changes")
        workers.wait_for("a worker in the middle", gate.reached.is_set)
        own_valkey.stop()
        gate.open.set()
        stock_line.sandbox.ip.sftp_faults.remove(gate)
        workers.wait_for("its end without Redis", partial(has_ended, run))
        engine.enqueue(stock_line.stock, "stock_changes")  # a person clicks: it waits
        own_valkey.start()
        if turn == 1:
            with redis.Redis(unix_socket_path=str(own_valkey.socket)) as client:
                client.flushall()
        before = [started(workers, worker) for worker in pair]

        def both_work(before: list[int] = before) -> bool:
            queue.enqueue(stock_line.stock, STOCK_CHANGES, SyncRun.Trigger.PERSON)
            now = [started(workers, worker) for worker in pair]
            return all(b > a for a, b in zip(before, now, strict=True))

        workers.wait_for("work by both", both_work)
    assert all(worker.poll() is None for worker in pair)
    assert Delivery.objects.filter(state="delivered").count() == 4
    assert len(stock_line.drop.files()) == 4


def is_at_rest() -> bool:
    under_way = (SyncRun.State.QUEUED, SyncRun.State.RUNNING)
    return not SyncRun.objects.filter(state__in=under_way).exists()


def has_ended(run: SyncRun) -> bool:
    run.refresh_from_db()
    return run.state == SyncRun.State.SUCCEEDED


def test_many_bells_leave_nothing_behind(
    own_valkey: Valkey, stock_line: Line, workers: Workers
) -> None:
    """Q18, Q16: ids go in and nothing comes out; memory of Redis and worker is flat."""
    run = engine.run_now(stock_line.stock, "stock_changes")
    worker = workers.start_worker()
    with redis.Redis(unix_socket_path=str(own_valkey.socket)) as client:

        def ring(count: int) -> tuple[int, int]:
            queue.ring([run.pk] * count)
            workers.wait_for(
                "silence", lambda: not (client.llen("runs") or client.hlen("unacked"))
            )
            return int(client.info("memory")["used_memory"]), resident(worker.pid)

        redis_before, worker_before = ring(BELLS)
        redis_after, worker_after = ring(BELLS)
        keys = {key.decode() for key in client.scan_iter()}
    assert redis_after < redis_before + 100_000
    assert worker_after < worker_before + 5_000_000
    assert not [key for key in keys if key.startswith("celery-task-meta")]
    assert SyncRun.objects.get(pk=run.pk).attempts == 1


def resident(pid: int) -> int:
    with open(f"/proc/{pid}/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
