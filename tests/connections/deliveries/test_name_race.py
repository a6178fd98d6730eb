"""A name is looked for once more before the rename: POSIX renames replace (D7)."""

from __future__ import annotations

import pytest
from django.utils import timezone

from connections.models import Delivery, HandOver, SyncRun
from connections.runs import execute
from connections.tasks import WORK
from tests.connections.orders.test_flow import ACCOUNT, set_up
from tests.engine import run_now
from tests.factories import Line


@pytest.fixture
def one_order(line: Line) -> Line:
    """Inventory Planner holds order 1042 and no other."""
    planner = line.sandbox.ip.accounts[ACCOUNT]
    planner.orders[:] = [planner.order("1042")]
    set_up(line)
    return line


def test_d7_a_foreign_file_that_appears_before_the_rename_is_left_alone(
    one_order: Line,
) -> None:
    """Theirs keeps its bytes; ours is handed over once, under a new name."""
    line = one_order
    incoming = line.far_warehouse.incoming
    faults = line.sandbox.warehouse.sftp_faults

    def occupy(op: str, path: str) -> None:
        folder, _, name = path.rpartition("/")
        if op == "open_write" and folder == "/in" and name.endswith(".part"):
            faults.clear()
            final = name.removeprefix(".").removesuffix(".part")
            (incoming / final).write_bytes(b"theirs")

    faults.append(occupy)
    run = run_now(line.orders, "orders_import")
    assert (run.state, run.error_code, run.error_side) == (
        "queued",
        "name_taken",
        "warehouse",
    )
    [theirs] = incoming.iterdir()  # the hidden file was taken back
    assert theirs.read_bytes() == b"theirs"

    SyncRun.objects.filter(pk=run.pk).update(due_at=timezone.now())
    execute.execute(run.pk, WORK)
    run.refresh_from_db()
    assert run.state == "succeeded"
    foreign, ours = Delivery.objects.order_by("pk")
    assert (foreign.state, ours.state) == ("foreign", "delivered")
    assert foreign.name == theirs.name != ours.name
    assert theirs.read_bytes() == b"theirs"
    assert (incoming / ours.name).stat().st_size == ours.size
    assert HandOver.objects.get(delivery=ours).file_name == ours.name
