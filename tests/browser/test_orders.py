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
from tests.connections.orders.test_flow import remote, set_up, writes
from tests.engine import run_now
from tests.factories import Line


def choose(page: Page, number: str, action: str) -> None:
    """Tick an order's box and take an action from under More Actions."""
    page.get_by_label(f"Choose {number}", exact=True).check()
    expect(page.get_by_role("status").filter(has_text="1 chosen")).to_be_visible()
    page.get_by_text("More Actions").click()
    page.get_by_role("button", name=action, exact=True).click()


def receive(line: Line, name: str, quantities: dict[str, int]) -> None:
    """The warehouse tells what came of 1042, and Inventory Planner is told."""
    rows = (f"R-{name},1042,{sku},{count}\n" for sku, count in quantities.items())
    told = "receipt_id,po_number,sku,quantity\n" + "".join(rows)
    line.report(f"rcp_{name}.csv", told)
    run_now(line.orders, "orders_status")


def row(page: Page, number: str) -> Locator:
    return steps.order_row(page, number)


def import_filter(page: Page, server: LiveServer, line: Line, status: str) -> None:
    """Set it on the store's page, as its people do."""
    page.goto(f"{server.url}/stores/{line.store.public_id}/")
    page.get_by_label("Import Status Filter").fill(status)
    page.get_by_role("button", name="Save changes").click()
    expect(page.get_by_text("was saved.")).to_be_visible()


@pytest.mark.django_db(transaction=True)
def test_issue_6_receive_in_part_archive_delete_and_be_asked(
    page: Page, live_server: LiveServer, sandbox: Sandbox, settings: Settings
) -> None:
    """ORDERED imports three; a partial receipt shows 12 / 40, the second completes it, and
    it is CLOSED once; Delete brings an order back and it asks before it is sent again;
    Archive does not bring it back; a blank filter imports all."""
    settings.SSH_KEY_TYPE = "ed25519"
    person = factories.person("ada@acme.example", factories.account())
    line = factories.line(sandbox, person)
    set_up(line)
    run_now(line.orders, "orders_import")
    desk.enter(page.context, live_server, person)
    page.goto(f"{live_server.url}/orders/")
    expect(page.get_by_text("3 orders")).to_be_visible()

    ordered = PurchaseOrder.objects.get(reference="1042").lines.all()
    receive(line, "1", {ordered[0].sku: 12})
    page.reload()
    expect(row(page, "1042")).to_contain_text("Partially Received")
    page.get_by_role("link", name="1042", exact=True).click()
    steps.heading(page, "Purchase order 1042")
    expect(page.get_by_text("Partially Received", exact=True)).to_be_visible()
    expect(page.get_by_role("cell", name="12 / 40", exact=True)).to_be_visible()
    rest = {one.sku: int(one.quantity) for one in ordered}
    receive(line, "2", rest | {ordered[0].sku: 28})
    run_now(line.orders, "orders_status")  # nothing is left to tell
    page.reload()
    expect(page.get_by_text("Received in full, and CLOSED in")).to_be_visible()
    expect(page.get_by_role("cell", name="40 / 40", exact=True)).to_be_visible()
    # Each receipt's quantities, then the status.
    of_1042 = remote(line, "1042")["id"]
    assert writes(line) == ["PATCH items", "PATCH items", f"PATCH {of_1042}"]
    assert remote(line, "1042")["status"] == "CLOSED"

    steps.go_to(page, "Purchase Orders")
    choose(page, "1044", "Archive")
    choose(page, "1043", "Delete")
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

    import_filter(page, live_server, line, "")
    run_now(line.orders, "orders_import")
    steps.go_to(page, "Purchase Orders")
    # All but what is no purchase order, or has no lines: for no warehouse either way.
    expect(page.get_by_text("10 orders")).to_be_visible()
    for number in ("1035", "1037", "1045"):
        expect(row(page, number)).to_contain_text("Draft or ended in Inventory Planner")
    page.get_by_label("Fulfillment Status").select_option("Needs a decision")
    page.get_by_role("button", name="Search").click()
    expect(page.get_by_text("1 order", exact=True)).to_be_visible()
    expect(row(page, "1038")).to_contain_text("A line has no SKU or quantity")
