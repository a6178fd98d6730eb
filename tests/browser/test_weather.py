"""Bad weather against the real processes: clear words, a next action, nothing lost."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime

import pytest
from playwright.sync_api import Page, expect
from playwright.sync_api import TimeoutError as PlaywrightTimeout

from tests.browser import steps
from tests.browser.product import Product
from tests.lab.names import sitecustomize as names

pytestmark = pytest.mark.xdist_group("product")
DEMO = "Northwind Traders — Inventory Planner → Reno 3PL"
DEMO_ACCOUNT, DEMO_USER = "123456", "demo"
REFRESHED_MS = 60_000
"""Longest until a page tells what a run met: a schedule, the run, htmx's poll."""


def wait_for_demo(product: Product) -> None:
    """The seeded connection has done its first job."""
    product.wait_for(
        "the demo's stock",
        lambda: product.ip(DEMO_ACCOUNT).get("stock", {}).get("WH1") == 5_000,
    )


def test_what_is_wrong_with_a_store_is_said_where_it_is_typed(
    page: Page, product: Product
) -> None:
    """E3, F2, H5: wrong API key, unknown and private endpoint, unregistered key."""
    steps.log_in(page, product, steps.ADMINISTRATOR)
    newcomer = steps.meet(page, product, "try")
    steps.to_store_step(page, newcomer, "Weather")
    steps.fill_store(page, "Weather store", newcomer)
    (drop,) = product.ip(DEMO_ACCOUNT)["drops"]
    mishaps = (
        ("API Key", "0000-wrong", "refused the API key", "Check the API Key"),
        ("API Key", newcomer.api_key, "", ""),
        ("SFTP Endpoint", names.UNKNOWN, "name was not found", "Compare the host name"),
        ("SFTP Endpoint", names.PRIVATE, "not on the public", "Ask for a host name"),
        ("SFTP Endpoint", drop["endpoint"], "did not let us in", "public key is reg"),
    )
    for label, typed, happened, next_action in mishaps:
        page.get_by_label(label).fill(typed)
        if not happened:
            steps.run_test(page, "Success!")
            continue
        box = steps.run_test(page, "The test failed.")
        expect(box).to_contain_text(happened)
        expect(box.get_by_text("Next:").first.locator("..")).to_contain_text(
            next_action
        )
        nothing_typed_is_lost(page, newcomer, typed)


def nothing_typed_is_lost(page: Page, newcomer: steps.Newcomer, typed: str) -> None:
    """After a test, the page still holds every answer, and says so of the secret."""
    expect(page.get_by_label("Name", exact=True)).to_have_value("Weather store")
    expect(page.get_by_label("Account ID")).to_have_value(newcomer.account_id)
    expect(page.get_by_label("Import Status Filter")).to_have_value("ORDERED")
    expect(page.get_by_label("API Key")).to_have_value("")
    expect(page.get_by_text("Kept:")).to_be_visible()
    if "." in typed:
        expect(page.get_by_label("SFTP Endpoint")).to_have_value(typed)


MALFORMED = {
    "files.example.com": "The connection string starts with sftp://.",
    "ftp://u:hunter2@files.example.com": "Only SFTP is supported here.",
    "sftp://files.example.com:22": "User name and password stand before the host",
    "sftp://u:hunter2@files.example.com:twenty": "must read hostname:port",
    "sftp://u:hunter2@files.example.com/#1": "Nothing follows the port.",
    "sftp://u:hunter2@10.0.0.1:22": "The host must be a full name",
}


def test_a_malformed_connection_string_keeps_the_other_answers(
    page: Page, product: Product
) -> None:
    """F6, U8: the sentence at the field; the password is never repeated."""
    steps.log_in(page, product)
    steps.begin(page, "Malformed")
    steps.new_merchant(page, "Malformed Ltd")
    for string, sentence in MALFORMED.items():
        steps.fill_warehouse(page, "Malformed warehouse", string)
        steps.go_on(page)
        summary = page.locator("[data-error-summary]")
        summary.get_by_role("link", name=sentence).click()
        expect(page.get_by_label("SFTP connection string")).to_be_focused()
        expect(page.get_by_label("Warehouse name")).to_have_value("Malformed warehouse")
        assert "hunter2" not in page.content()
    page.get_by_role("link", name="Finish later").click()
    page.get_by_role("link", name="Go on Malformed").click()
    expect(page.get_by_label("Warehouse name")).to_have_value("Malformed warehouse")


def test_a_refused_edit_of_a_store_changes_nothing_stored(
    page: Page, product: Product
) -> None:
    """U8: the wrong endpoint stays in the form, the right one in the store."""
    steps.log_in(page, product)
    steps.row_of(page, DEMO).get_by_role("link", name="Northwind Traders on").click()
    field = page.get_by_label("SFTP Endpoint")
    stored = field.input_value()
    field.fill("https://files.example.com")
    page.get_by_label("Import Status Filter").fill("CLOSED")
    page.get_by_role("button", name="Save changes").click()
    summary = page.locator("[data-error-summary]")
    expect(summary).to_contain_text("This is not an SFTP endpoint.")
    expect(field).to_have_value("https://files.example.com")
    expect(page.get_by_label("Import Status Filter")).to_have_value("CLOSED")
    steps.go_to(page, "Stores")
    page.get_by_role("link", name="Northwind Traders on").click()
    expect(field).to_have_value(stored)
    expect(page.get_by_label("Import Status Filter")).to_have_value("ORDERED")


def put_broken_report(product: Product) -> str:
    """Have the demo's warehouse drop a stock file that cannot be read; its name."""
    name = f"inv_{datetime.now(UTC):%Y%m%dT%H%M%S}_broken.csv"
    out = product.out_folder(DEMO_USER)
    hidden = out / f".{name}.part"
    hidden.write_text("sku,facility,quantity\nSKU-00001,RENO,many\n")
    hidden.rename(out / name)
    return name


def test_a_malformed_stock_file_is_told_and_changes_no_level(
    page: Page, product: Product
) -> None:
    """F5: which file, which line, who acts; the next good report heals it."""
    wait_for_demo(product)
    steps.log_in(page, product)
    page.get_by_role("link", name=DEMO, exact=True).click()
    known = product.ip_levels(DEMO_ACCOUNT)
    inventory = page.get_by_role("region", name="Inventory", exact=True)
    refused = inventory.get_by_text("A stock file was refused.")
    # A good report that is read with the broken one heals it before anybody looks.
    for _ in range(3):
        name = put_broken_report(product)
        with suppress(PlaywrightTimeout):
            refused.wait_for(timeout=REFRESHED_MS / 2)
            break
    expect(refused).to_be_visible()
    expect(inventory).to_contain_text("Ask the warehouse to correct the file")
    inventory.get_by_role("link", name="Warehouse", exact=True).click()
    file = page.get_by_role("row").filter(has_text=name)
    expect(file).to_contain_text("Refused")
    changed = product.ip_levels(DEMO_ACCOUNT)
    assert changed.keys() == known.keys()

    steps.change_stock(page, product, DEMO_USER)
    page.go_back()
    expect(refused).to_be_hidden(timeout=REFRESHED_MS)
    product.wait_for(
        "the warehouse's levels",
        lambda: product.ip_levels(DEMO_ACCOUNT) == product.warehouse_levels(DEMO_USER),
    )


def test_a_changed_host_key_stops_until_somebody_approves_it(
    page: Page, product: Product
) -> None:
    """H4: nothing is sent to a server that shows another key; one click goes on."""
    wait_for_demo(product)
    steps.log_in(page, product)
    tab = page.context.new_page()
    tab.goto(f"{product.sandbox}/warehouse/?user={DEMO_USER}")
    tab.get_by_role("button", name="Change the host key").click()
    new_key = tab.get_by_text("host key:").locator("code").inner_text()
    before = product.warehouse(DEMO_USER)["log_ins"]
    page.get_by_role("link", name=DEMO, exact=True).click()
    inventory = page.get_by_role("region", name="Inventory", exact=True)
    told = inventory.get_by_text("another key than the approved one")
    expect(told).to_be_visible(timeout=REFRESHED_MS)
    expect(inventory).to_contain_text("approve the new key only if they confirm it")
    assert product.warehouse(DEMO_USER)["log_ins"] == before

    inventory.get_by_role("link", name="Warehouse", exact=True).click()
    box = steps.run_test(page, "The test failed.")
    expect(box).to_contain_text("Approved before")
    steps.approve(page, new_key)
    page.get_by_role("link", name=DEMO, exact=True).click()
    expect(told).to_be_hidden(timeout=REFRESHED_MS)
    steps.change_stock(page, product, DEMO_USER)
    product.wait_for(
        "the warehouse's levels",
        lambda: product.ip_levels(DEMO_ACCOUNT) == product.warehouse_levels(DEMO_USER),
    )
