"""Work that can be stopped half-way, and what it must have come to."""

from __future__ import annotations

import asyncio
import hashlib
import threading

from connections.models import Delivery, SyncRun
from tests.factories import Line

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


def is_done() -> bool:
    runs = SyncRun.objects.filter(job="stock_changes")
    return runs.filter(state=SyncRun.State.SUCCEEDED).exists()


def assert_one_right_file(line: Line) -> None:
    delivery = Delivery.objects.get(entity=Delivery.Entity.STOCK)
    assert (delivery.state, delivery.rows) == ("delivered", ROWS)
    assert line.drop.files() == [f"variant_warehouse/{delivery.name}"]
    [content] = line.dropped()
    assert hashlib.sha256(content).hexdigest() == delivery.sha256
    assert content.count(b"\n") == ROWS + 1
    assert line.stock.sent_through == delivery.upper_bound
