"""Purchase orders and receipts: WCAG 2.2 AA, both themes, wide and narrow (U21)."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest
from django.utils import timezone
from playwright.sync_api import Page, expect
from pytest_django import Settings
from pytest_django.live_server_helper import LiveServer

from connections.models import HandOver, PurchaseOrder, Receipt
from connections.models.activity import note
from connections.orders import receipts
from connections.warehouses.platforms import WarehousePlatform
from stores.models import User
from tests import factories, household
from tests.browser import desk
from tests.browser.judge import Look
from tests.connections.views.test_order_list import order

PAGES = {
    "orders-many": "/orders/",
    "orders-nothing": "/orders/?q=nothing",
    "order-held": "/orders/{held}/",
    "order-no-route": "/orders/{lost}/",
    "order-part": "/orders/{part}/",
    "order-error": "/orders/{bad}/",
    "order-by-hand": "/orders/{by_hand}/",
    "order-document": "/orders/{part}/document/",
    "order-send": "/orders/{held}/send/",
    "order-edit": "/orders/{lost}/edit/",
    "receipts": "/orders/receipts/",
    "receipts-nothing": "/orders/receipts/?state=notifying",
    "receipt": "/orders/receipts/{receipt}/",
    "receipt-error": "/orders/receipts/{orphan}/",
}
LONG = "PO-WITH-A-NUMBER-THAT-IS-MUCH-LONGER-THAN-PEOPLE-LIKE-BUT-SOME-HAVE-THEM"


def furnish(rows: household.Household, by: User) -> dict[str, PurchaseOrder | Receipt]:
    """Orders in every status that a page tells apart, and their receipts."""
    of = rows.connection
    due = {"vendor": "Acme Textiles", "expected_on": date(2026, 12, 24)}
    for number, status in enumerate(PurchaseOrder.Status):
        order(of, f"10{number:02}", "TEA-TOWEL", "APRON", status=status, **due)
    held = order(of, "1043", "TEA-TOWEL", held="sent_before", **due)
    HandOver.objects.create(
        account=of.account,
        store=of.store,
        external_id=held.external_id,
        file_name="po_20261124T230744680349_737fee46.csv",
    )
    part = order(of, LONG, "TEA-TOWEL", "APRON", status="open", **due)
    part.document = {"id": "65f0c2a4", "reference": LONG, "notes": "x" * 300}
    part.save()
    first, second = part.lines.all()
    token = {"by": by}
    receipts.enter(part, {first.pk: Decimal(12)}, token="a", **token)
    late = receipts.enter(part, {second.pk: Decimal(4)}, token="b", **token)
    assert late is not None
    late.lines.create(sku="NOT-ORDERED", quantity=1)
    note("order_sent", connection=of, order=part, number=LONG, file="po_1.csv")
    bad = order(of, "1050", "TEA-TOWEL", status="error", write_refused="order_readonly")
    orphan = Receipt.objects.create(
        account=of.account,
        warehouse=of.warehouse,
        external_id="R-14131c7157a772129d59ff6d-1",
        order_name="77",
        po_number="77",
        file_name="rcp_77.csv",
        state="error",
        error="No order 77 of this warehouse.",
        received_at=timezone.now(),
    )
    orphan.lines.create(sku="TEA-TOWEL", quantity=7)
    lost = order(of, "1051", "A", "", connection=None, held="no_route")
    desk_of = factories.warehouse(of.merchant, code="BY-HAND")
    desk_of.platform = WarehousePlatform.MANUAL
    desk_of.save()
    elsewhere = factories.connection(of.store, desk_of)
    elsewhere.remote_warehouse = "c501_BY-HAND"
    elsewhere.save()
    by_hand = order(elsewhere, "1052", "TEA-TOWEL", "APRON", status="open", **due)
    return {
        "by_hand": by_hand,
        "held": held,
        "part": part,
        "bad": bad,
        "lost": lost,
        "receipt": late,
        "orphan": orphan,
    }


@pytest.mark.django_db(transaction=True)
def test_u21_orders(page: Page, live_server: LiveServer, settings: Settings) -> None:
    """U21: empty, found nothing, many; held, in part, in error; asked before it is done."""
    settings.SSH_KEY_TYPE = "ed25519"
    people = factories.cast()
    desk.enter(page.context, live_server, people.staff)
    look = Look(page)
    for name, url in (("orders", "/orders/"), ("receipts", "/orders/receipts/")):
        page.goto(live_server.url + url)
        look(f"{name}-empty")
    rows = household.household(people.merchant, people.staff)
    named = {name: row.public_id for name, row in furnish(rows, people.staff).items()}
    for name, url in PAGES.items():
        page.goto(live_server.url + url.format(**named))
        look(name)
    page.goto(live_server.url + "/orders/{lost}/edit/".format(**named))
    page.get_by_label("SKU").first.fill("")
    page.get_by_role("button", name="Save changes").click()
    expect(page.locator("[data-error-summary]")).to_be_focused()
    look("order-edit-errors")
    # The store has two connections by now: each is to say which orders it takes.
    page.goto(f"{live_server.url}/connections/{rows.connection.public_id}/")
    look("connection-serves-nothing")
    page.get_by_label("Warehouse in Inventory Planner").fill("c501_BY-HAND")
    page.get_by_role("button", name="Save changes").click()
    expect(page.locator("[data-error-summary]")).to_be_focused()
    look("connection-serves-errors")
    page.get_by_label("Warehouse in Inventory Planner").fill("c501_WH1")
    page.get_by_role("button", name="Save changes").click()
    expect(page.get_by_role("link", name="Change")).to_be_visible()
    look("connection-serves")
    page.goto(live_server.url + "/orders/{bad}/".format(**named))
    page.get_by_text("Actions", exact=True).click()
    look("order-actions")
    page.goto(f"{live_server.url}/orders/")
    page.get_by_label("Choose all on this page").check()
    page.get_by_text("More Actions").click()
    look("orders-chosen")
    page.get_by_role("button", name="Delete", exact=True).click()
    expect(page.get_by_role("heading", name="Delete these")).to_be_visible()
    look("orders-delete")
    look.assert_fine()
