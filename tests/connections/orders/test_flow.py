"""An order's way: imported, handed over, received, acknowledged; each once (issue 2 e)."""

from __future__ import annotations

from decimal import Decimal

import pytest

from connections.models import Delivery, HandOver, PurchaseOrder, Receipt
from dropstream.sandbox.state import Doc
from tests import factories
from tests.engine import drain, make_schedules_due, run_now
from tests.factories import Line

ACCOUNT = "123456"


def remote(line: Line, number: str) -> Doc:
    """The order as Inventory Planner holds it."""
    return line.sandbox.ip.accounts[ACCOUNT].order(number)


def received(doc: Doc) -> list[float]:
    return [item["received"] for item in doc["items"]]


def ordered(doc: Doc) -> list[float]:
    return [item["replenishment"] for item in doc["items"]]


def writes(line: Line) -> list[str]:
    """Method and last words of the path of each write that reached the API."""
    return [
        f"{request.method} {request.path.rpartition('/')[2]}"
        for request in line.sandbox.ip.requests
        if request.method != "GET"
    ]


def set_up(line: Line, **more: object) -> None:
    """The settings of the issue's walk: ORDERED in, CLOSED and quantities back."""
    answers = {
        "import_status_filter": "ordered",
        "acknowledgement_status": "CLOSED",
    }
    factories.change_store(line.store, **(answers | more))


def test_an_order_goes_all_the_way(line: Line) -> None:
    set_up(line)
    run = run_now(line.orders, "orders_import")
    assert (run.state, run.error_detail) == ("succeeded", "")
    assert run.counts["orders_imported"] == 3
    assert run.counts["orders_sent"] == 3
    line.sandbox.warehouse.tick()
    assert len(line.far_warehouse.orders) == 3
    assert not line.far_warehouse.rejected
    line.sandbox.warehouse.tick()

    run = run_now(line.orders, "orders_status")
    assert (run.state, run.error_detail) == ("succeeded", "")
    assert run.counts["receipts_read"] == 3
    for number in ("1042", "1043", "1044"):
        doc = remote(line, number)
        assert doc["status"] == "CLOSED"
        assert received(doc) == ordered(doc)
    orders = PurchaseOrder.objects.all()
    assert {order.status for order in orders} == {"received"}
    assert all(order.acknowledged_at for order in orders)
    # Quantities before the status, one write each.
    assert [write == "PATCH items" for write in writes(line)] == [True, False] * 3


def test_every_effect_happens_once_however_often_the_jobs_run(line: Line) -> None:
    set_up(line)
    for _ in range(4):
        make_schedules_due()
        drain()
        line.sandbox.warehouse.tick()
    assert len(writes(line)) == 6
    assert len(line.far_warehouse.orders) == 3
    assert line.far_warehouse.doubled() == []
    assert Delivery.objects.filter(entity="purchase_order").count() == 3
    assert Receipt.objects.count() == 3
    assert remote(line, "1042")["status"] == "CLOSED"


def test_the_order_file_is_exact_to_the_byte(line: Line) -> None:
    set_up(line)
    run_now(line.orders, "orders_import")
    doc = remote(line, "1043")
    hand_over = HandOver.objects.get(external_id=doc["id"])
    assert hand_over.file_name.startswith("po_")
    content = (line.far_warehouse.incoming / hand_over.file_name).read_bytes()
    one, other = doc["items"]
    head = f"{doc['id']},1043,Café Łódź Textil,{doc['expected_date']}"
    assert content.decode() == (
        "po_id,po_number,vendor,expected_on,line_id,sku,title,quantity\n"
        f"{head},{one['line_id']},SKU-00204,{one['title']},12\n"
        f"{head},{other['line_id']},SKU-00205,{other['title']},36\n"
    )


def test_receipts_in_parts_add_up_and_close_at_the_end(line: Line) -> None:
    set_up(line)
    run_now(line.orders, "orders_import")
    line.sandbox.warehouse.set_in_parts(line.far_warehouse, in_parts=True)
    line.sandbox.warehouse.tick()
    doc = remote(line, "1042")
    run_now(line.orders, "orders_status")
    order = PurchaseOrder.objects.get(reference="1042")
    assert order.status == "partially_received"
    assert (doc["status"], received(doc)) == ("ORDERED", [20, 13, 30])
    line.sandbox.warehouse.receive(line.far_warehouse, order.external_id)
    run_now(line.orders, "orders_status")
    order.refresh_from_db()
    assert order.status == "received"
    assert (doc["status"], received(doc)) == ("CLOSED", ordered(doc))


def test_only_the_filtered_status_is_imported_whatever_its_case(line: Line) -> None:
    """I13."""
    set_up(line, import_status_filter=" orDered ")
    run_now(line.orders, "orders_import")
    statuses = PurchaseOrder.objects.values_list("remote_status", flat=True)
    assert set(statuses) == {"ORDERED"}


def test_a_blank_filter_imports_all_and_hands_over_what_is_meant_for_a_warehouse(
    line: Line,
) -> None:
    """I13: transfers, assemblies and empty orders are nobody's; drafts are held."""
    set_up(line, import_status_filter="")
    run_now(line.orders, "orders_import")
    held = dict(PurchaseOrder.objects.values_list("reference", "held"))
    assert held == {
        "1042": "",
        "1043": "",
        "1044": "",
        "1040": "",
        "1039": "",
        "1036": "",
        "1038": "line_error",
        "1037": "not_sendable",
        "1035": "not_sendable",
        "1045": "not_sendable",
    }
    sent = set(HandOver.objects.values_list("external_id", flat=True))
    orders = PurchaseOrder.objects.filter(held="")
    assert sent == {order.external_id for order in orders}


def test_with_a_blank_acknowledgement_nothing_at_all_is_written(line: Line) -> None:
    set_up(line, acknowledgement_status="")
    run_now(line.orders, "orders_import")
    line.sandbox.warehouse.tick()
    run_now(line.orders, "orders_status")
    assert PurchaseOrder.objects.filter(status="received").count() == 3
    assert writes(line) == []


def test_quantities_may_be_sent_without_a_status(line: Line) -> None:
    set_up(line, acknowledgement_status="", send_received_quantities="always")
    run_now(line.orders, "orders_import")
    line.sandbox.warehouse.tick()
    run_now(line.orders, "orders_status")
    doc = remote(line, "1042")
    assert (doc["status"], received(doc)) == ("ORDERED", ordered(doc))


def test_a_status_may_be_set_without_quantities(line: Line) -> None:
    set_up(line, send_received_quantities="never")
    run_now(line.orders, "orders_import")
    line.sandbox.warehouse.tick()
    run_now(line.orders, "orders_status")
    doc = remote(line, "1042")
    assert (doc["status"], received(doc)) == ("CLOSED", [0, 0, 0])


def test_acknowledged_when_imported_sets_the_status_before_any_receipt(
    line: Line,
) -> None:
    set_up(line, acknowledge_when="imported", acknowledgement_status="OPEN")
    run_now(line.orders, "orders_import")
    run_now(line.orders, "orders_status")
    doc = remote(line, "1042")
    assert (doc["status"], received(doc)) == ("OPEN", [0, 0, 0])


def test_a_receipt_sent_again_in_another_file_counts_once(line: Line) -> None:
    set_up(line)
    run_now(line.orders, "orders_import")
    line.sandbox.warehouse.tick()
    run_now(line.orders, "orders_status")
    [first] = line.far_warehouse.outgoing.glob("rcp_1042_*.csv")
    line.report("rcp_again.csv", first.read_bytes())
    run = run_now(line.orders, "orders_status")
    assert run.counts["receipts_repeated"] == 1
    again = run_now(line.orders, "orders_status")
    assert again.counts == {}  # the file is known by now
    order = PurchaseOrder.objects.get(reference="1042")
    lines = order.lines.values_list("received", flat=True)
    assert list(lines) == [Decimal(40), Decimal(25), Decimal(60)]


def test_a_bad_receipt_is_refused_and_the_next_one_read(line: Line) -> None:
    set_up(line)
    run_now(line.orders, "orders_import")
    line.report("rcp_0.csv", "receipt_id,po_id,sku,quantity\nR,1,A,many\n")
    line.sandbox.warehouse.tick()
    run = run_now(line.orders, "orders_status")
    assert run.counts["files_refused"] == 1
    assert run.counts["receipts_read"] == 3
    refused = Receipt.objects.get(file_name="rcp_0.csv")
    assert refused.error == "line 2: quantity is not a number: 'many'"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"\n", "the file is empty"),
        (b"receipt_id,sku\n", "columns are missing: quantity"),
        (b"receipt_id,sku,quantity\n", "columns are missing: po_id"),
        (b"receipt_id,po_id,sku,quantity\n", "the file holds no receipt"),
        (b"receipt_id,po_id,sku,quantity\n,1,A,1\n", "line 2: receipt_id is empty"),
        (b"receipt_id,po_id,sku,quantity\nR,1,A,-1\n", "not a number: '-1'"),
        (b"receipt_id,po_id,sku,quantity\nR,1,A\n", "3 values instead of 4"),
        (b"receipt_id,po_id,sku,quantity\nR,1,A\0,1\n", "no text"),
        (b"receipt_id,po_id,sku,quantity\n\xff,1,A,1\n", "not UTF-8"),
        (
            b"receipt_id,po_id,sku,quantity\nR,1,A,1\nR,,B,1\nR,2,A,1\n",
            "line 4: receipt R names another order",
        ),
        (
            b"receipt_id,po_id,po_number,sku,quantity\nR,1,7,A,1\nR,1,8,A,1\n",
            "line 3: receipt R names another order",
        ),
        (
            b"receipt_id,po_id,sku,quantity,received_at\nR,1,A,1,0001-01-01\n",
            "line 2: received_at is before 2000: '0001-01-01'",
        ),
        (
            b"receipt_id,po_id,sku,quantity,received_at\nR,1,A,1,soon\n",
            "line 2: received_at is not a time: 'soon'",
        ),
    ],
)
def test_a_malformed_receipt_says_why(line: Line, content: bytes, reason: str) -> None:
    line.report("rcp_0.csv", content)
    run = run_now(line.orders, "orders_status")
    assert (run.state, run.counts["files_refused"]) == ("succeeded", 1)
    receipt = Receipt.objects.get()
    assert receipt.state == "error"
    assert reason in receipt.error


def test_a_receipt_of_an_unknown_order_is_an_error_to_see(line: Line) -> None:
    line.report("rcp_0.csv", "receipt_id,po_id,po_number,sku,quantity\nR1,,77,A,1\n")
    assert run_now(line.orders, "orders_status").state == "succeeded"
    receipt = Receipt.objects.get()
    assert (receipt.state, receipt.error) == ("error", "No order 77 of this warehouse.")


def test_goods_are_never_received_later_than_the_receipt_was_read(line: Line) -> None:
    header = "receipt_id,po_id,sku,quantity,received_at\n"
    line.report("rcp_0.csv", header + "R,1,A,1,9999-12-31T23:59-12:00\n")
    run_now(line.orders, "orders_status")
    receipt = Receipt.objects.get()
    assert receipt.received_at is not None
    assert receipt.received_at <= receipt.created_at
