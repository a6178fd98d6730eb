"""Real workers are killed and Redis forgets; the work is done all the same (issue 2)."""

from __future__ import annotations

import asyncio
import hashlib
import io
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from django.core.management import CommandError, call_command
from pytest_django import Settings

from connections.models import Delivery, Heartbeat, SyncRun
from connections.runs import queue, schedule, switch
from dropstream.local.servers import Valkey
from dropstream.sandbox import Sandbox
from tests.factories import Line
from tests.lab.workers import Workers, real_workers

ROWS = 6000  # a file of several writes


class Gate:
    """Holds the drop's writes in the middle of a file until it is opened."""

    def __init__(self, line: Line, *, at: int) -> None:
        self._left = at
        self.reached = threading.Event()
        self.open = threading.Event()
        line.sandbox.ip.sftp_faults.append(self)

    async def __call__(self, op: str, path: str) -> None:
        if op != "wrote" or self.open.is_set():
            return
        self._left -= 1
        if self._left <= 0:
            self.reached.set()
            while not self.open.is_set():
                await asyncio.sleep(0.01)


@pytest.fixture
def bell() -> Iterator[redis.Redis]:
    """The Redis of this test process alone: each one has a database of its own."""
    with redis.Redis.from_url(os.environ["REDIS_URL"]) as client:
        client.flushdb()
        yield client
        client.flushdb()


@pytest.fixture
def stock_line(line: Line) -> Line:
    """Stock of many SKUs, and nothing else to do."""
    line.clear_reports()
    rows = "".join(f"SKU-{n:05d},RENO,{n}\n" for n in range(ROWS))
    line.report("inv_1.csv", "sku,facility,available\n" + rows)
    switch.disable_channel(line.orders, by=line.person)
    return line


@pytest.fixture
def workers(tmp_path: Path, bell: redis.Redis, stock_line: Line) -> Iterator[Workers]:
    with real_workers(tmp_path / "logs", stock_line.sandbox) as started:
        yield started


def is_done() -> bool:
    runs = SyncRun.objects.filter(job="stock_changes")
    return runs.filter(state=SyncRun.State.SUCCEEDED).exists()


def assert_one_right_file(line: Line) -> None:
    delivery = Delivery.objects.get()
    assert (delivery.state, delivery.rows) == ("delivered", ROWS)
    assert line.drop.files() == [f"variant_warehouse/{delivery.name}"]
    [content] = line.dropped()
    assert hashlib.sha256(content).hexdigest() == delivery.sha256
    assert content.count(b"\n") == ROWS + 1
    assert line.stock.sent_through == delivery.upper_bound


def test_a_worker_killed_in_the_middle_of_a_push_leaves_one_right_file(
    stock_line: Line, workers: Workers
) -> None:
    """D2, Q3: kill -9, then a restart."""
    gate = Gate(stock_line, at=3)
    workers.start_tick()
    doomed = workers.start_worker()
    workers.wait_for("the push", gate.reached.is_set)
    workers.kill(doomed)
    assert stock_line.dropped() == []
    gate.open.set()
    workers.start_worker()
    workers.wait_for("the end of the run", is_done)
    assert_one_right_file(stock_line)
    run = SyncRun.objects.get(job="stock_changes")
    assert run.attempts == 2
    assert Delivery.objects.get().attempts == 2


def test_work_is_done_though_redis_forgot_it(
    stock_line: Line, workers: Workers, bell: redis.Redis
) -> None:
    """Q5: the bell is lost before anybody heard it, and once more in mid-run."""
    gate = Gate(stock_line, at=2)
    schedule.make_due()
    assert queue.ring_due() == 1
    assert bell.llen("runs") == 1
    bell.flushdb()
    workers.start_tick()
    workers.start_worker()
    workers.wait_for("the push", gate.reached.is_set)
    bell.flushdb()
    gate.open.set()
    workers.wait_for("the end of the run", is_done)
    assert_one_right_file(stock_line)
    assert SyncRun.objects.get(job="stock_changes").attempts == 1


def is_alive() -> bool:
    """Ask as a container's health check does."""
    try:
        call_command("check_worker", stdout=io.StringIO())
    except CommandError:
        return False
    return True


@pytest.mark.usefixtures("transactional_db")
def test_a_worker_that_takes_no_messages_goes_stale_though_it_is_up(
    tmp_path: Path,
    sandbox: Sandbox,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """O1, Q6: its consumer lost the broker; alive again with it, gone after goodbye."""
    broker = Valkey(tmp_path / "valkey", volatile=True)
    monkeypatch.setenv("REDIS_URL", broker.start())
    monkeypatch.setenv("WORKER_HEARTBEAT_SECONDS", "0.2")
    settings.WORKER_HEARTBEAT_SECONDS = 0.2
    try:
        with real_workers(tmp_path / "logs", sandbox) as workers:
            worker = workers.start_worker()
            workers.wait_for("the first sign of life", is_alive)
            broker.stop()
            workers.wait_for("the worker to go stale", lambda: not is_alive())
            assert worker.poll() is None
            broker.start()
            workers.wait_for("the worker to come back", is_alive)
            worker.terminate()
            workers.wait_for("its goodbye", lambda: worker.poll() is not None)
            assert not Heartbeat.objects.filter(kind="worker").exists()
    finally:
        broker.stop()
        broker.remove()
