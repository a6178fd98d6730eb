"""Manual warehouses: stock uploaded, orders downloaded, receipts entered by people."""

from __future__ import annotations

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from connections.models import (
    HandOver,
    PurchaseOrder,
    Receipt,
    StockLevel,
    SyncRun,
)
from connections.warehouses.platforms import WarehousePlatform
from stores.models import FileExchangeSettings
from tests.connections.orders.test_flow import ACCOUNT, remote, set_up
from tests.engine import run_now
from tests.factories import Line

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def by_hand(line: Line) -> Line:
    """The line with a manual warehouse, and order 1042 alone at Inventory Planner."""
    planner = line.sandbox.ip.accounts[ACCOUNT]
    planner.orders[:] = [planner.order("1042")]
    set_up(line)
    warehouse = line.connection.warehouse
    FileExchangeSettings.objects.filter(warehouse=warehouse).delete()
    warehouse.platform = WarehousePlatform.MANUAL
    warehouse.save()
    return line


@pytest.fixture
def staff(client: Client, by_hand: Line) -> Client:
    client.force_login(by_hand.person)
    return client


def test_uploaded_stock_reaches_inventory_planner(staff: Client, by_hand: Line) -> None:
    url = reverse("connections:stock_upload", args=[by_hand.warehouse.public_id])
    content = b"sku,available\nSKU-00001,7\nSKU-00002,0\n"
    preview = staff.post(url, {"stock": SimpleUploadedFile("s.csv", content), "end": 1})
    assert not StockLevel.objects.exists()
    staff.post(preview.headers["Location"] + "apply/")
    assert StockLevel.objects.count() == 2
    waiting = SyncRun.objects.get(job="stock_changes", state="queued")
    assert waiting.trigger == "change"
    SyncRun.objects.all().delete()
    run = run_now(by_hand.stock, "stock_changes")
    assert run.state == "succeeded", (run.error_code, run.counts)
    assert run.counts == {"files_sent": 1, "rows_sent": 2}
    [sent] = by_hand.dropped()
    assert b"SKU-00001,WH1,7,false" in sent


def imported(line: Line) -> PurchaseOrder:
    run = run_now(line.orders, "orders_import")
    assert run.state == "succeeded", run.error_code
    return PurchaseOrder.objects.get(reference="1042")


def test_an_order_waits_for_a_person_and_is_handed_out_once(
    staff: Client, by_hand: Line
) -> None:
    order = imported(by_hand)
    assert order.status == PurchaseOrder.Status.NEW
    page = staff.get(reverse("connections:page", args=[by_hand.connection.public_id]))
    assert "1 purchase order to hand to the warehouse." in page.content.decode()
    url = reverse("connections:order_file", args=[order.public_id])
    first, second = staff.post(url), staff.post(url)
    assert first["Content-Disposition"].startswith('attachment; filename="po_')
    assert first.content == second.content
    assert first.content.startswith(b"po_id,po_number,vendor,")
    order.refresh_from_db()
    assert order.status == PurchaseOrder.Status.OPEN
    assert HandOver.objects.count() == 1


def test_receipts_by_hand_add_up_and_close_the_order_there(
    staff: Client, by_hand: Line
) -> None:
    order = imported(by_hand)
    staff.post(reverse("connections:order_file", args=[order.public_id]))
    url = reverse("connections:order_receive", args=[order.public_id])
    first, *others = order.lines.all()
    part = {"token": "one", f"line_{first.pk}": "1"}
    for _click in range(2):  # a double click counts once
        staff.post(url, part)
    order.refresh_from_db()
    first.refresh_from_db()
    assert order.status == PurchaseOrder.Status.PARTIALLY_RECEIVED
    assert first.received == 1
    rest = {f"line_{line.pk}": str(line.outstanding) for line in [first, *others]}
    staff.post(url, {"token": "two", **rest})
    order.refresh_from_db()
    assert order.status == PurchaseOrder.Status.RECEIVED
    receipts = list(Receipt.objects.all())
    assert len(receipts) == 2
    named = f"Entered by hand by {by_hand.person}, "
    assert all(str(receipt).startswith(named) for receipt in receipts)
    page = staff.get(reverse("connections:order", args=[order.public_id]))
    assert page.content.decode().count(named) == 2
    run_now(by_hand.orders, "orders_status")
    assert remote(by_hand, "1042")["status"] == "CLOSED"


def test_an_order_of_a_file_exchange_warehouse_is_not_handed_out(
    client: Client, line: Line
) -> None:
    client.force_login(line.person)
    planner = line.sandbox.ip.accounts[ACCOUNT]
    planner.orders[:] = [planner.order("1042")]
    set_up(line)
    order = imported(line)
    url = reverse("connections:order_file", args=[order.public_id])
    PurchaseOrder.objects.update(status=PurchaseOrder.Status.NEW)
    HandOver.objects.all().delete()
    order.store.deliveries.all().delete()
    response = client.post(url, follow=True)
    assert "not one to hand over by file" in response.content.decode()
    assert not HandOver.objects.exists()
