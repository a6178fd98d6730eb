"""Every page and state of the product looked at: axe, reflow, shift and weight (U21)."""

from __future__ import annotations

from typing import Any

import pytest
from django.conf import LazySettings
from playwright.sync_api import Page, Request, expect
from pytest_django.live_server_helper import LiveServer
from pytest_playwright.pytest_playwright import CreateContextCallback

from dropstream.sandbox import Sandbox
from tests import household
from tests.browser import desk, steps
from tests.browser.judge import Look
from tests.browser.product import Product
from tests.connections.wizard.walk import BASIC, choose
from tests.factories import Cast

FIRST_LOAD_LIMIT_BYTES = 250 * 1000


@pytest.fixture(autouse=True)
def _quick_keys(settings: LazySettings) -> None:
    settings.SSH_KEY_TYPE = "ed25519"  # RSA takes 0.3 s a key


@pytest.fixture
def look(page: Page) -> Look:
    return Look(page)


@pytest.fixture
def staff(page: Page, look: Look, live_server: LiveServer, cast: Cast) -> Page:
    """A staff person's browser, on the empty list of connections."""
    desk.enter(page.context, live_server, cast.staff)
    page.goto(f"{live_server.url}/connections/")
    return page


@pytest.mark.django_db(transaction=True)
def test_u21_every_state_of_the_first_steps(
    staff: Page, look: Look, cast: Cast, sandbox: Sandbox
) -> None:
    """Blank, refused, tested, and with a merchant that is there already."""
    who = desk.newcomer(sandbox)
    look("01-list-empty")
    staff.get_by_role("button", name="Add Connection").click()
    steps.heading(staff, "Basic Information")
    look("02-basic")
    steps.go_on(staff)
    look("03-basic-error")
    staff.get_by_label("Connection Name").fill("Northwind to Reno")
    steps.go_on(staff)
    steps.heading(staff, "Merchant Information")
    look("04-merchant-new")
    steps.go_on(staff)
    look("05-merchant-error")
    staff.get_by_label("Use existing merchant").check()
    look("06-merchant-existing")
    steps.new_merchant(staff, "Northwind Traders")
    steps.heading(staff, "Warehouse Setup")
    look("07-warehouse")
    steps.go_on(staff)
    look("08-warehouse-error")
    steps.fill_warehouse(staff, "Reno 3PL", who.connection_string)
    staff.get_by_role("button", name="Test connection").click()
    expect(steps.check_box(staff)).to_contain_text("Testing…")
    look("09-warehouse-testing")
    desk.work()
    expect(steps.check_box(staff)).to_contain_text(steps.UNKNOWN_KEY)
    look("10-warehouse-key")
    desk.approve(staff)
    look("11-warehouse-tested")
    staff.get_by_label("Manual").check()
    look("12-warehouse-manual")
    look.assert_fine()


@pytest.mark.django_db(transaction=True)
def test_u21_every_state_of_the_last_step(
    staff: Page, look: Look, cast: Cast, sandbox: Sandbox, live_server: LiveServer
) -> None:
    """Blank, filled, refused, tested well and badly, with a store that is there.

    On the way: the list with its draft.
    """
    who = desk.newcomer(sandbox)
    desk.at_step(staff, "store", "Northwind to Reno", cast.staff)
    look("13-store-blank")
    steps.fill_store(staff, "Northwind on Inventory Planner", who)
    expect(staff.get_by_label("Public Key")).to_be_visible()
    look("14-store-filled")
    staff.get_by_label("SFTP Endpoint").fill("10.0.0.1")
    staff.get_by_role("button", name="Add connection").click()
    expect(staff.locator("[data-error-summary]")).to_be_visible()
    look("15-store-error")
    staff.get_by_label("SFTP Endpoint").fill("")
    desk.run_test(staff, "Success!")
    look("16-store-tested")
    staff.get_by_label("API Key").fill("wrong-key-0000")
    desk.run_test(staff, "The test failed.")
    look("17-store-failed")
    staff.get_by_role("link", name="Finish later").click()
    look("18-list-draft")
    staff.get_by_role("button", name="Discard").click()
    expect(staff.get_by_role("dialog")).to_be_visible()
    look("19-list-dialog")
    rows = household.household(cast.merchant, cast.staff, text="Northwind")
    at = household.draft(cast.staff, basic=BASIC, merchant=choose(rows.store.merchant))
    staff.goto(f"{live_server.url}/connections/add/{at.public_id}/warehouse/")
    look("30-warehouse-existing")
    steps.go_on(staff)
    look("31-store-new")
    staff.get_by_label("Use existing store").check()
    look("32-store-chosen")
    look.assert_fine()


@pytest.mark.django_db(transaction=True)
def test_u21_every_page_behind_the_list(
    staff: Page, look: Look, cast: Cast, live_server: LiveServer
) -> None:
    """List, connection, store, warehouse, order, stores, nothing found, and 404."""
    rows = household.household(cast.merchant, cast.staff, text="Northwind")
    pages = {
        "20-list-filled": "/connections/",
        "21-list-nothing": "/connections/?q=zzz",
        "22-connection": f"/connections/{rows.connection.public_id}/",
        "23-store": f"/stores/{rows.store.public_id}/",
        "24-warehouse": f"/warehouses/{rows.warehouse.public_id}/",
        "33-rules": f"/channels/{rows.channel.public_id}/rules/orders_import/",
        "25-order": f"/orders/{rows.order.public_id}/",
        "26-stores": "/stores/",
        "27-stores-nothing": "/stores/?q=zzz",
    }
    for name, path in pages.items():
        look.load(name, live_server.url + path)
    staff.goto(live_server.url + pages["23-store"])
    staff.get_by_label("SFTP Endpoint").fill("10.0.0.1")
    staff.get_by_role("button", name="Save changes").click()
    look("28-store-error")
    staff.goto(live_server.url + pages["33-rules"])
    for kind in ("Hourly", "Daily", "Flexible"):
        staff.get_by_label("Type").select_option(label=kind)
        staff.get_by_role("button", name="Add schedule").click()
    staff.get_by_label("At", exact=True).fill("02:30")
    staff.get_by_role("button", name="Preview").click()
    look("34-rules-preview")
    staff.get_by_label("Every (hours)").fill("often")
    staff.get_by_label("Sunday").uncheck()
    staff.get_by_role("button", name="Save changes").click()
    look("35-rules-error")
    # A 404 is an error line in the console, which the page fixture forbids.
    missing = staff.request.get(
        f"{live_server.url}/stores/{rows.connection.public_id}/"
    )
    assert missing.status == 404
    staff.goto(f"{live_server.url}/stores/")
    staff.set_content(missing.text())
    look("29-not-found")
    look.assert_fine()


@pytest.mark.xdist_group("product")
def test_the_first_load_is_light(
    page: Page, product: Product, new_context: CreateContextCallback
) -> None:
    """Issue 3: at most 250 kB over the wire for who has nothing in the cache."""
    steps.log_in(page, product)
    steps.begin(page, "Weight")
    steps.heading(page, "Merchant Information")
    kept: Any = page.context.storage_state()
    visitor = new_context(storage_state=kept).new_page()
    loaded: list[Request] = []
    visitor.on("requestfinished", lambda one: loaded.append(one))
    visitor.goto(page.url, wait_until="networkidle")
    steps.heading(visitor, "Merchant Information")
    sizes = {one.url: one.sizes()["responseBodySize"] for one in loaded}
    assert len(sizes) >= 5
    assert sum(sizes.values()) <= FIRST_LOAD_LIMIT_BYTES, sizes
    page.get_by_role("link", name="Finish later").click()
