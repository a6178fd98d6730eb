"""A receipt file with several receipts counts whole or not at all (issue 2 e)."""

from __future__ import annotations

from decimal import Decimal

import pytest

from connections.models import PurchaseOrder, Receipt
from tests import factories
from tests.connections.orders.test_flow import set_up
from tests.engine import enqueue, run_now
from tests.factories import Line
from tests.lab import failpoints
from tests.lab.crash import rise_again, work_and_die

TWO_RECEIPTS = """\
receipt_id,po_number,sku,quantity
R-1,1042,{sku},1
R-2,1042,{sku},2
"""


@pytest.mark.parametrize("at", ["receipts.applying", "receipts.applied"])
def test_a_worker_that_dies_within_a_file_of_receipts_loses_none(
    line: Line, at: str
) -> None:
    """Q4; a file is known by its name, so half of it must not be stored."""
    set_up(line, send_received_quantities="never", acknowledgement_status="")
    run_now(line.orders, "orders_import")
    order = PurchaseOrder.objects.get(reference="1042")
    first = order.lines.all()[0]
    line.report("rcp_two.csv", TWO_RECEIPTS.format(sku=first.sku))
    run = enqueue(line.orders, "orders_status")
    assert work_and_die(run, at=at)
    rise_again(run)
    receipts = Receipt.objects.filter(file_name="rcp_two.csv")
    assert {receipt.external_id for receipt in receipts} == {"R-1", "R-2"}
    first.refresh_from_db()
    assert first.received == Decimal(3)


def test_a_file_that_another_stores_run_has_read_meanwhile_is_not_refused(
    line: Line,
) -> None:
    """The lease is a store's; two stores may have one warehouse."""
    other = factories.connection(
        factories.store(line.warehouse.merchant), line.warehouse
    )
    channel = other.channels.get(type="purchase_orders")
    for name in ("1", "2"):
        content = f"receipt_id,po_id,sku,quantity\nR-{name},1,A,1\n"
        line.report(f"rcp_{name}.csv", content)

    def read_both() -> None:
        run_now(channel, "orders_status")

    # Both runs have listed the second file when one of them reads it.
    with failpoints.at("receipts.applied", read_both):
        run = run_now(line.orders, "orders_status")
    assert "files_refused" not in run.counts
    files = Receipt.objects.values_list("external_id", "file_name")
    assert set(files) == {("R-1", "rcp_1.csv"), ("R-2", "rcp_2.csv")}
