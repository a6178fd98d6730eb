"""One far side's trouble does not stop the other, and is named as that side's."""

from __future__ import annotations

import pytest

from connections.models import PurchaseOrder, Receipt
from inventory_planner import client, order_pages
from tests.connections.orders.test_flow import ACCOUNT, received, remote, set_up
from tests.engine import run_now
from tests.factories import Line


@pytest.fixture
def handed_over(line: Line) -> Line:
    """Orders are at the warehouse, and their receipts wait in /out."""
    set_up(line)
    run_now(line.orders, "orders_import")
    line.sandbox.warehouse.tick()
    line.sandbox.warehouse.tick()
    return line


@pytest.mark.parametrize("job", ["orders_import", "orders_status"])
def test_a_wrong_api_key_keeps_no_receipt_unread(handed_over: Line, job: str) -> None:
    """The run still says what was refused, and where."""
    line = handed_over
    set_up(line, api_key="0" * 64)
    run = run_now(line.orders, job)
    assert (run.state, run.error_code, run.error_side) == (
        "needs_person",
        "api_key_refused",
        "store",
    )
    assert Receipt.objects.count() == 3
    assert set(PurchaseOrder.objects.values_list("status", flat=True)) == {"received"}


def test_a_wrong_warehouse_password_keeps_no_order_unfetched(line: Line) -> None:
    set_up(line)
    line.far_warehouse.password = "another"
    run = run_now(line.orders, "orders_import")
    assert (run.state, run.error_code, run.error_side) == (
        "needs_person",
        "auth_refused",
        "warehouse",
    )
    assert PurchaseOrder.objects.filter(status="new").count() == 3


def test_a_wrong_warehouse_password_keeps_nothing_unwritten(handed_over: Line) -> None:
    """What was received before goes back to Inventory Planner all the same."""
    line = handed_over
    run_now(line.orders, "orders_import")  # reads the receipts
    line.far_warehouse.password = "another"
    run = run_now(line.orders, "orders_status")
    assert (run.error_code, run.error_side) == ("auth_refused", "warehouse")
    doc = remote(line, "1042")
    assert doc["status"] == "CLOSED"
    assert sum(received(doc)) == 125


def test_when_both_sides_fail_the_first_failure_is_told_with_its_side(
    handed_over: Line,
) -> None:
    line = handed_over
    line.far_warehouse.password = "another"
    set_up(line, api_key="0" * 64)
    run = run_now(line.orders, "orders_import")
    assert (run.error_code, run.error_side) == ("api_key_refused", "store")
    run = run_now(line.orders, "orders_status")
    assert (run.error_code, run.error_side) == ("auth_refused", "warehouse")


def test_a_list_beyond_the_cap_is_said_and_what_was_read_is_kept(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    """I8: never cut in silence; and the orders that were read go their way."""
    monkeypatch.setattr(client, "PAGE_CAP", 1)
    for module in (client, order_pages):
        monkeypatch.setattr(module, "PAGE_ROWS", 2)
    set_up(line)
    run = run_now(line.orders, "orders_import")
    assert (run.error_code, run.error_side) == ("api_too_large", "store")
    assert "over 2 orders" in run.error_detail
    assert PurchaseOrder.objects.filter(status="open").count() == 2
    monkeypatch.setattr(client, "PAGE_CAP", 50)
    assert run_now(line.orders, "orders_import").state == "succeeded"
    assert PurchaseOrder.objects.count() == 3
    assert len(line.sandbox.ip.accounts[ACCOUNT].orders) > 3  # the filter's three
