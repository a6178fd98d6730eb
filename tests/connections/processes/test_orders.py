"""An order's workers are killed between fetch and record; each thing is done once."""

from __future__ import annotations

import subprocess
from functools import partial
from pathlib import Path

import redis

from connections.models import Channel, HandOver, PurchaseOrder
from connections.runs import switch
from tests.connections.orders.test_flow import (
    ACCOUNT,
    ordered,
    received,
    remote,
    set_up,
    writes,
)
from tests.engine import enqueue
from tests.factories import Line
from tests.lab import failpoints
from tests.lab.judge import FarSides, judge
from tests.lab.workers import Workers, real_workers


def is_over(process: subprocess.Popen[bytes]) -> bool:
    return process.poll() is not None


def kill_at(workers: Workers, *fail_points: str) -> None:
    """Let a worker die at each of them, one after the other; then one that lives."""
    for fail_point in fail_points:
        doomed = workers.start_worker(f"{fail_point}=kill")
        workers.wait_for(fail_point, partial(is_over, doomed))
        assert doomed.returncode == failpoints.KILLED
    workers.start_worker()


def test_workers_killed_between_fetch_and_record_do_each_thing_once(
    tmp_path: Path, bell: redis.Redis, line: Line
) -> None:
    """D2, I11, I12: one order here, one hand-over, at most two writes an effect."""
    planner = line.sandbox.ip.accounts[ACCOUNT]
    planner.orders[:] = [planner.order("1042")]
    set_up(line)
    switch.disable_channel(line.stock, by=line.person)
    with real_workers(tmp_path / "logs", line.sandbox) as workers:
        workers.start_tick()
        kill_at(workers, "orders.stored", "delivery.announced")
        sent = PurchaseOrder.objects.filter(status=PurchaseOrder.Status.OPEN)
        workers.wait_for("the hand-over", sent.exists)
        for _ in range(2):
            line.sandbox.warehouse.tick()
        workers.stop()
        workers.start_tick()
        enqueue(line.orders, "orders_status")
        kill_at(workers, "quantities.written", "status.written")
        told = PurchaseOrder.objects.filter(acknowledgement="CLOSED")
        workers.wait_for("the write-back", told.exists)
    order = PurchaseOrder.objects.get()
    assert (order.status, order.acknowledgement) == ("received", "CLOSED")
    assert HandOver.objects.count() == 1
    assert [taken.copies for taken in line.far_warehouse.orders] == [1]
    doc = remote(line, "1042")
    assert (doc["status"], received(doc)) == ("CLOSED", ordered(doc))
    assert len(writes(line)) == 2
    far = FarSides.of(line.sandbox)
    assert judge(far, settled=[Channel.Type.PURCHASE_ORDERS]) == []
