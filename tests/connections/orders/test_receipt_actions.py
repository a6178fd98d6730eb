"""Receipts: states, Reprocess, Reset, Archive; nothing counts twice (dropstream.md §6)."""

from __future__ import annotations

from decimal import Decimal

import pytest
from django.urls import reverse

from connections.models import PurchaseOrder, Receipt
from connections.orders import actions, receipt_actions
from connections.orders.receipt_actions import archive, reprocess, reset
from stores.models import User
from tests.connections.orders.test_flow import ACCOUNT, remote, set_up
from tests.connections.views.test_inventory import client_of, shown
from tests.connections.views.test_order_list import line as bare_line
from tests.connections.views.test_order_list import order as bare_order
from tests.engine import run_now
from tests.factories import Cast, Line
from tests.lab import failpoints


@pytest.fixture
def by_hand(cast: Cast) -> PurchaseOrder:
    """An order of 10 × A and 10 × B, 4 × A received."""
    made = bare_order(bare_line(cast.merchant), "P-1", "A", "B", status="open")
    told(made, "R-1", A=4)
    return made


def told(
    order: PurchaseOrder, name: str, state: str = "completed", **skus: int
) -> Receipt:
    """A receipt, and what it makes of its order."""
    assert order.connection is not None
    receipt = Receipt.objects.create(
        account=order.account,
        warehouse=order.connection.warehouse,
        order_name=order.external_id,
        external_id=name,
        file_name=f"rcp_{name}.csv",
        state="error",
    )
    for sku, quantity in skus.items():
        receipt.lines.create(sku=sku, quantity=quantity)
    do(reprocess, receipt)
    Receipt.objects.filter(pk=receipt.pk).update(state=state)
    return receipt


def do(action: receipt_actions.ReceiptAction, receipt: Receipt) -> str:
    outcome = receipt_actions.each(
        action, [receipt], User.objects.get(email__startswith="ada")
    )
    if outcome.refused:
        return next(iter(outcome.refused))
    return "changed" if outcome.changed else "unchanged"


def sums(order: PurchaseOrder) -> dict[str, int]:
    return {line.sku: int(line.received) for line in order.lines.all()}


def status(order: PurchaseOrder) -> str:
    order.refresh_from_db()
    return order.status


def test_what_is_done_again_counts_once(by_hand: PurchaseOrder) -> None:
    receipt = Receipt.objects.get()
    for action in (reprocess, reprocess, reset, reset):
        assert do(action, receipt) == "changed"
        assert (sums(by_hand), status(by_hand)) == (
            {"A": 4, "B": 0},
            "partially_received",
        )
    [line] = receipt.lines.all()
    assert (line.quantity, line.expected) == (Decimal(4), Decimal(10))


def test_an_archived_receipt_counts_no_more_until_it_is_revived(
    by_hand: PurchaseOrder,
) -> None:
    rest = told(by_hand, "R-2", A=6, B=10)
    assert status(by_hand) == "received"
    assert [do(archive, rest) for _click in "12"] == ["changed", "unchanged"]
    assert (sums(by_hand), status(by_hand)) == ({"A": 4, "B": 0}, "partially_received")
    assert do(archive, Receipt.objects.get(external_id="R-1")) == "changed"
    assert sums(by_hand) == {"A": 0, "B": 0}
    assert do(reprocess, rest) == "changed"
    assert sums(by_hand) == {"A": 6, "B": 10}


def test_too_much_and_unknown_skus_are_shown_plainly(
    cast: Cast, by_hand: PurchaseOrder
) -> None:
    told(by_hand, "R-2", A=9, X=1)
    assert sums(by_hand) == {"A": 13, "B": 0}
    page = (
        client_of(cast.staff)
        .get(reverse("connections:order", args=[by_hand.public_id]))
        .content.decode()
    )
    assert "More than ordered" in page
    assert "(not on this order)" in page
    receipt = Receipt.objects.get(external_id="R-2")
    page = (
        client_of(cast.merchant_user)
        .get(reverse("connections:receipt", args=[receipt.public_id]))
        .content.decode()
    )
    assert "Not on the order" in page
    assert "More than expected" in page
    by_hand.lines.filter(sku="B").update(sku="X")
    do(reprocess, receipt)  # the order was corrected
    assert sums(by_hand) == {"A": 13, "X": 1}


def test_a_receipt_of_an_unknown_order_finds_it_later(
    cast: Cast, by_hand: PurchaseOrder
) -> None:
    receipt = Receipt.objects.get()
    Receipt.objects.update(order_name="P-2", order=None, state="error")
    assert do(reprocess, receipt) == "order_unknown"
    assert by_hand.connection is not None
    other = bare_order(by_hand.connection, "P-2", "A", status="open")
    assert do(reprocess, receipt) == "changed"
    assert (sums(other), status(other)) == ({"A": 4}, "partially_received")


def test_the_list_says_what_came_and_each_sees_their_own(
    cast: Cast, by_hand: PurchaseOrder
) -> None:
    """T1."""
    other = bare_order(bare_line(cast.other_merchant), "P-9", "A", status="open")
    told(other, "R-9", state="ready", A=10)
    rows = [row[:4] for row in shown(cast.staff, "connections:receipt_list")]
    assert rows == [
        ["R-9", "P-9", "Ready", "10 / 10"],
        ["R-1", "P-1", "Completed", "4 / 10"],
    ]
    for who, found in {"scoped_staff": ["R-1"], "stranger": []}.items():
        rows = shown(getattr(cast, who), "connections:receipt_list")
        assert [row[0] for row in rows] == found
    assert [
        row[0] for row in shown(cast.merchant_user, "connections:receipt_list")
    ] == ["R-1"]
    rows = shown(cast.staff, "connections:receipt_list", state="ready")
    assert [row[0] for row in rows] == ["R-9"]


def test_archiving_asks_first(cast: Cast, by_hand: PurchaseOrder) -> None:
    client, url = client_of(cast.staff), reverse("connections:receipt_act")
    receipt = Receipt.objects.get()
    sent = {
        "go": "archive",
        "row": str(receipt.public_id),
        "page": str(receipt.public_id),
    }
    assert "do not count on the order" in client.post(url, sent).content.decode()
    assert sums(by_hand)["A"] == 4
    client.post(url, {**sent, "confirmed": "1"})
    assert sums(by_hand)["A"] == 0


def test_a_receipt_is_ready_until_inventory_planner_was_told(line: Line) -> None:
    planner = line.sandbox.ip.accounts[ACCOUNT]
    planner.orders[:] = [planner.order("1042")]
    set_up(line)
    run_now(line.orders, "orders_import")
    line.sandbox.warehouse.tick()
    run_now(line.orders, "orders_import")  # reads receipts, writes nothing
    assert Receipt.objects.get().state == "ready"
    remote(line, "1042")["readonly"] = True  # it will not be told
    run_now(line.orders, "orders_status")
    assert Receipt.objects.get().state == "ready"
    remote(line, "1042")["readonly"] = False
    actions.each(actions.reprocess, [PurchaseOrder.objects.get()], line.person)
    seen: list[str] = []

    def look() -> None:
        seen.append(Receipt.objects.get().state)

    with failpoints.at("quantities.written", look):
        run_now(line.orders, "orders_status")
    assert [*seen, Receipt.objects.get().state] == ["notifying", "completed"]
    assert remote(line, "1042")["status"] == "CLOSED"


def test_a_refused_file_is_read_again_when_asked(line: Line) -> None:
    set_up(line)
    line.report("rcp_0.csv", "receipt_id,po_id,sku,quantity\nR,1,A,many\n")
    run_now(line.orders, "orders_status")
    receipt = Receipt.objects.get()
    assert "not a number" in receipt.error
    line.report("rcp_0.csv", "receipt_id,po_id,sku,quantity\nR,1,A,2\n")
    run_now(line.orders, "orders_status")
    assert Receipt.objects.get() == receipt  # known by its name
    assert do(reprocess, receipt) == "changed"
    run_now(line.orders, "orders_status")
    assert Receipt.objects.get().lines.get().quantity == Decimal(2)
