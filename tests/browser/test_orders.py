"""Purchase orders as staff handle them on their pages (issue 6)."""

from __future__ import annotations

import pytest
from playwright.sync_api import Locator, Page, expect
from pytest_django import Settings
from pytest_django.live_server_helper import LiveServer

from connections.models import PurchaseOrder
from dropstream.sandbox import Sandbox
from tests import factories
from tests.browser import desk, steps
from tests.connections.orders.test_flow import set_up
from tests.engine import run_now


def choose(page: Page, number: str, action: str) -> None:
    """Tick an order's box and take an action from under More Actions."""
    page.get_by_label(f"Choose {number}", exact=True).check()
    expect(page.get_by_role("status").filter(has_text="1 chosen")).to_be_visible()
    page.get_by_text("More Actions").click()
    page.get_by_role("button", name=action, exact=True).click()


def row(page: Page, number: str) -> Locator:
    return steps.order_row(page, number)


@pytest.mark.django_db(transaction=True)
def test_issue_6_receive_in_part_archive_delete_and_be_asked(
    page: Page, live_server: LiveServer, sandbox: Sandbox, settings: Settings
) -> None:
    """ORDERED imports three; a partial receipt shows 12 / 40; Delete brings an order back
    and it asks before it is sent again; Archive does not bring it back."""
    settings.SSH_KEY_TYPE = "ed25519"
    person = factories.person("ada@acme.example", factories.account())
    line = factories.line(sandbox, person)
    set_up(line)
    run_now(line.orders, "orders_import")
    desk.enter(page.context, live_server, person)
    page.goto(f"{live_server.url}/orders/")
    expect(page.get_by_text("3 orders")).to_be_visible()

    sku = PurchaseOrder.objects.get(reference="1042").lines.all()[0].sku
    told = f"receipt_id,po_number,sku,quantity\nR-1,1042,{sku},12\n"
    line.report("rcp_part.csv", told)
    run_now(line.orders, "orders_status")
    page.reload()
    expect(row(page, "1042")).to_contain_text("Partially Received")
    page.get_by_role("link", name="1042", exact=True).click()
    steps.heading(page, "Purchase order 1042")
    expect(page.get_by_text("Partially Received", exact=True)).to_be_visible()
    expect(page.get_by_role("cell", name="12 / 40", exact=True)).to_be_visible()

    steps.go_to(page, "Purchase Orders")
    choose(page, "1044", "Archive")
    choose(page, "1043", "Delete")
    page.get_by_role("button", name="Delete").click()
    expect(page.get_by_text("Archive it first, then delete it.")).to_be_visible()
    choose(page, "1043", "Archive")
    choose(page, "1043", "Delete")
    page.get_by_role("button", name="Delete").click()
    expect(page.get_by_text("2 orders")).to_be_visible()
    run_now(line.orders, "orders_import")
    page.reload()
    expect(page.get_by_text("3 orders")).to_be_visible()
    expect(row(page, "1044")).to_contain_text("Archived")
    expect(row(page, "1043")).to_contain_text("Was sent before")
    assert len(list(line.far_warehouse.incoming.glob("po_*"))) == 3

    page.get_by_role("link", name="1043", exact=True).click()
    page.get_by_role("link", name="Send again, or keep as sent").click()
    page.get_by_label("PO number").fill("1042")
    page.get_by_role("button", name="Send again").click()
    expect(page.locator("[data-error-summary]")).to_be_focused()
    page.get_by_label("PO number").fill("1043")
    page.get_by_role("button", name="Send again").click()
    run_now(line.orders, "orders_import")
    page.reload()
    expect(page.get_by_text("At the warehouse.")).to_be_visible()
    assert len(list(line.far_warehouse.incoming.glob("po_*"))) == 4
