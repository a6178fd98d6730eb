"""The main job as a newcomer does it, against the real processes (issue 2)."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser import steps
from tests.browser.product import Product

pytestmark = pytest.mark.xdist_group("product")
SKUS = 5_000
RECEIVED_MS = 60_000


def stock_is_there(product: Product, newcomer: steps.Newcomer) -> bool:
    """All that the warehouse has is known to Inventory Planner."""
    known = product.ip(newcomer.account_id).get("stock", {}).get("WH1", 0)
    return known == SKUS and product.ip_levels(
        newcomer.account_id
    ) == product.warehouse_levels(newcomer.user)


def order_there(product: Product, account_id: str, number: str) -> dict[str, Any]:
    """The order as Inventory Planner holds it; {} while it is busy."""
    orders = product.ip(account_id).get("orders", ())
    return next((o for o in orders if o["reference"] == number), {})


def order_is_closed(product: Product, account_id: str, number: str) -> bool:
    """Received in full and CLOSED, in Inventory Planner."""
    order = order_there(product, account_id, number)
    if order.get("status") != "CLOSED":
        return False
    return all(line["received"] == line["replenishment"] for line in order["items"])


def test_issue_2_from_add_connection_to_stock_and_a_closed_order(
    page: Page, product: Product
) -> None:
    """Staff add a connection; within two minutes both flows have done their job."""
    steps.log_in(page, product)
    newcomer = steps.meet(page, product, "try")
    the_sandbox_leads_to(newcomer, page, product)
    steps.begin(page, newcomer.name)
    steps.new_merchant(page, "Walk Ltd")
    steps.fill_warehouse(page, "Walk warehouse", newcomer.connection_string)
    steps.run_test(page, steps.UNKNOWN_KEY)
    # H3: no credential went to a server that nobody has approved.
    assert product.warehouse("try")["log_ins"] == 0
    steps.approve(page, newcomer.warehouse_key)
    steps.go_on(page)

    steps.fill_store(page, "Walk store", newcomer)
    key = steps.copy_public_key(page)
    endpoint = steps.register(page, product, newcomer, key)
    page.get_by_label("SFTP Endpoint").fill(endpoint)
    steps.run_test(page, steps.UNKNOWN_KEY)
    steps.approve(page, newcomer.ip_key)
    steps.add(page, newcomer.name)
    steps.switch_on(page, newcomer.name)

    product.wait_for(
        "both, within two minutes",
        lambda: (
            order_is_closed(product, newcomer.account_id, "1042")
            and stock_is_there(product, newcomer)
        ),
        timeout_s=120,
    )
    the_sandbox_shows_it(page, product, newcomer)
    # As it was made, what was received, CLOSED: each was written once (issue 6).
    assert order_there(product, newcomer.account_id, "1042")["version"] == 3

    page.get_by_role("link", name=newcomer.name, exact=True).click()
    order = steps.order_row(page, "1042")
    expect(order).to_contain_text("Received")
    expect(order).to_contain_text("125 / 125")
    expect(order).to_contain_text("CLOSED")
    expect(page.get_by_text("5,000 stock rows uploaded")).to_be_visible()
    order.get_by_role("link", name="1042").click()
    steps.heading(page, "Purchase order 1042")
    expect(page.get_by_text("Received", exact=True)).to_be_visible()


def the_sandbox_leads_to(
    newcomer: steps.Newcomer, page: Page, product: Product
) -> None:
    """From its front page, to the merchant that nobody has connected yet."""
    tab = page.context.new_page()
    tab.goto(product.sandbox)
    tab.get_by_role("link", name="Your merchant's warehouse").click()
    string = tab.get_by_label("Connection string")
    expect(string).to_have_value(newcomer.connection_string)
    tab.go_back()
    tab.get_by_role("link", name="Your merchant in Inventory Planner").click()
    expect(tab.get_by_label("Account ID")).to_have_value(newcomer.account_id)
    tab.close()


def the_sandbox_shows_it(
    page: Page, product: Product, newcomer: steps.Newcomer
) -> None:
    """What Inventory Planner's own pages say, and what the warehouse's say."""
    tab = page.context.new_page()
    tab.goto(f"{product.sandbox}/ip/?account={newcomer.account_id}")
    expect(tab.get_by_text("5,000 in WH1")).to_be_visible()
    # By its whole cell: a file's name or time may hold the same four digits.
    number = tab.get_by_role("cell", name="1042", exact=True)
    expect(tab.get_by_role("row").filter(has=number)).to_contain_text("CLOSED")
    tab.get_by_label("Search by SKU").fill("SKU-00042")
    tab.get_by_role("button", name="Search").click()
    level = product.warehouse_levels(newcomer.user)["SKU-00042"]
    sample = tab.get_by_role("row").filter(has_text="SKU-00042")
    expect(sample.get_by_role("cell").nth(2)).to_have_text(f"{level:g}")
    tab.goto(f"{product.sandbox}/warehouse/?user={newcomer.user}")
    expect(tab.get_by_role("row").filter(has=number).first).to_contain_text("125")
    assert product.warehouse(newcomer.user)["doubled"] == []
    tab.close()


# --- The endpoint comes later, from somebody else


def set_up_without_endpoint(
    page: Page, product: Product, user: str, who: str
) -> tuple[steps.Newcomer, str]:
    """Add and enable a connection that lacks the endpoint; return the public key too.

    Orders do their whole way; stock waits, and the page says for what.
    """
    steps.log_in(page, product, who)
    newcomer = steps.meet(page, product, user)
    steps.begin(page, newcomer.name)
    steps.new_merchant(page, f"Later {user}")
    steps.fill_warehouse(page, f"Warehouse {user}", newcomer.connection_string)
    steps.run_test(page, steps.UNKNOWN_KEY)
    steps.approve(page, newcomer.warehouse_key)
    steps.go_on(page)
    steps.fill_store(page, f"Store {user}", newcomer)
    key = steps.copy_public_key(page)
    steps.add(page, newcomer.name)
    row = steps.row_of(page, newcomer.name)
    expect(row).to_contain_text("The SFTP endpoint is not set yet.")
    steps.switch_on(page, newcomer.name)
    page.get_by_role("link", name=newcomer.name, exact=True).click()
    received = steps.order_row(page, "1042").get_by_text("Received", exact=True)
    expect(received).to_be_visible(timeout=RECEIVED_MS)
    expect(
        page.get_by_text("Waited. The SFTP endpoint is not set yet.")
    ).to_be_visible()
    # The write-back is due every four hours, which is a minute here: not waited for.
    page.get_by_role("button", name="Update status now").click()
    product.wait_for(
        "order 1042", lambda: order_is_closed(product, newcomer.account_id, "1042")
    )
    steps.go_to(page, "Connections")
    expect(row).to_contain_text("The SFTP endpoint is not set yet.")
    expect(row).to_contain_text("To act: whoever sets up Inventory Planner")
    account = product.ip(newcomer.account_id)
    assert account["files"] == []
    assert account["stock"] == {"WH1": 0}
    return newcomer, key


def add_endpoint(page: Page, newcomer: steps.Newcomer, endpoint: str) -> None:
    """On the store's page: save the endpoint, test it, approve its key."""
    steps.heading(page, f"Store {newcomer.user}")
    page.get_by_label("SFTP Endpoint").fill(endpoint)
    page.get_by_role("button", name="Save changes").click()
    expect(page.get_by_text("was saved.")).to_be_visible()
    expect(page.get_by_label("SFTP Endpoint")).to_have_value(endpoint)
    steps.run_test(page, steps.UNKNOWN_KEY)
    steps.approve(page, newcomer.ip_key)


def stock_went_out_once(product: Product, newcomer: steps.Newcomer) -> None:
    """One file with every row, then only what the warehouse changed since."""
    product.wait_for("stock", lambda: stock_is_there(product, newcomer))
    account = product.ip(newcomer.account_id)
    full = [file for file in account["files"] if file["rows"] == SKUS]
    assert len(full) == 1
    for file in account["files"]:
        assert (file["outcome"], file["dropped"], file["doubled"]) == ("read", 0, 0)
        assert file in full or file["rows"] <= 100


def test_issue_2_the_endpoint_is_added_from_connections(
    page: Page, product: Product
) -> None:
    """The key is registered at once, the endpoint comes later: by the status link."""
    newcomer, key = set_up_without_endpoint(page, product, "try2", steps.ADMINISTRATOR)
    endpoint = steps.register(page, product, newcomer, key)
    (drop,) = product.ip(newcomer.account_id)["drops"]
    assert (drop["waiting"], drop["log_ins"]) == ([], 0)
    row = steps.row_of(page, newcomer.name)
    row.get_by_role("link", name="Store", exact=True).click()
    add_endpoint(page, newcomer, endpoint)
    stock_went_out_once(product, newcomer)


def test_issue_2_the_endpoint_is_added_from_stores(
    page: Page, product: Product
) -> None:
    """Days later: the key is copied on the store's page, found under Stores."""
    newcomer, key = set_up_without_endpoint(page, product, "try3", steps.STAFF)
    steps.go_to(page, "Stores")
    row = steps.row_of(page, f"Store {newcomer.user}")
    expect(row).to_contain_text("The SFTP endpoint is not set yet.")
    row.get_by_role("link", name=f"Store {newcomer.user}").click()
    assert steps.copy_public_key(page) == key
    endpoint = steps.register(page, product, newcomer, key)
    add_endpoint(page, newcomer, endpoint)
    stock_went_out_once(product, newcomer)


# --- A warehouse that is served by hand

MONDAY = b"sku,available\nSKU-00001,41\nSKU-00002,seven\nSKU-00003,0.5\n"


def test_issue_5_stock_by_hand_until_it_is_confirmed(
    page: Page, product: Product
) -> None:
    """A file of which one row is wrong: which and why is read before it is applied; the
    others reach Inventory Planner, and the file's page says that they did."""
    steps.log_in(page, product, steps.ADMINISTRATOR)
    newcomer = steps.meet(page, product, "try4")
    steps.begin(page, newcomer.name)
    steps.new_merchant(page, "Hand Ltd")
    steps.manual_warehouse(page, "Hand warehouse")
    steps.go_on(page)
    steps.fill_store(page, "Hand store", newcomer)
    key = steps.copy_public_key(page)
    page.get_by_label("SFTP Endpoint").fill(
        steps.register(page, product, newcomer, key)
    )
    steps.run_test(page, steps.UNKNOWN_KEY)
    steps.approve(page, newcomer.ip_key)
    steps.add(page, newcomer.name)
    steps.switch_on(page, newcomer.name)
    page.get_by_role("link", name=newcomer.name, exact=True).click()
    inventory = page.get_by_role("region", name="Inventory", exact=True)
    expect(inventory).to_contain_text("No stock has been uploaded yet.")
    inventory.get_by_role("link", name="Upload stock").click()

    steps.upload_stock(page, MONDAY, name="monday.csv")
    steps.heading(page, "Apply 2 changes?")
    expect(page.get_by_text("1 row cannot be read and stays out.")).to_be_visible()
    wrong = page.get_by_role("row", name="3 available is not a number: 'seven'")
    expect(wrong).to_be_visible()
    page.get_by_role("button", name="Apply").click()
    expect(page.get_by_text("Applied.")).to_be_visible()
    expect(wrong).to_be_visible()
    page.get_by_role("link", name=newcomer.name, exact=True).click()
    expect(page.get_by_text("2 stock rows uploaded")).to_be_visible(timeout=RECEIVED_MS)
    product.wait_for(
        "the sync",
        lambda: product.ip(newcomer.account_id).get("stock") == {"WH1": 2},
    )
    tab = page.context.new_page()
    tab.goto(f"{product.sandbox}/ip/?account={newcomer.account_id}")
    expect(tab.get_by_role("row", name="SKU-00001 WH1 41")).to_be_visible()
    expect(tab.get_by_role("row", name="SKU-00003 WH1 0.5")).to_be_visible()
    tab.close()

    files = page.get_by_role("region", name="Files")
    files.get_by_role("link", name="variant_warehouse_").click()
    expect(page.get_by_text("Not checked yet")).to_be_visible()
    page.get_by_role("button", name="Check intake now").click()
    expect(page.get_by_text("Uploaded, and confirmed")).to_be_visible(
        timeout=RECEIVED_MS
    )
    expect(page.get_by_text("2 of 2 variants show the uploaded stock")).to_be_visible()
