"""Inventory in a browser: WCAG 2.2 AA, both themes, wide and narrow (U21)."""

from __future__ import annotations

from decimal import Decimal

import pytest
from playwright.sync_api import Page, expect
from pytest_django import Settings
from pytest_django.live_server_helper import LiveServer

from connections.stock import listing_files, listings
from connections.stock.listings import Row
from tests import engine, factories, household
from tests.browser import desk
from tests.browser.judge import Look

PAGES = {
    "inventory-warehouse": "/inventory/warehouse/",
    "inventory-warehouse-nothing": "/inventory/warehouse/?q=nothing",
    "inventory-channel": "/inventory/channel/",
    "inventory-channel-search": "/inventory/channel/?q=TEA",
    "inventory-sku": "/inventory/{merchant}/sku/?sku=TEA-TOWEL",
    "inventory-sku-unknown": "/inventory/{merchant}/sku/?sku=nobody",
    "listings": "/stores/{store}/listings/",
    "listings-nothing": "/stores/{store}/listings/?q=nothing",
    "listings-none": "/stores/{bare}/listings/",
    "listing": "/listings/{listing}/",
    "listings-import": "/stores/{store}/listings/import/",
    "listings-import-preview": "/listings/import/{file}/",
    "listings-import-wrong": "/listings/import/{wrong}/",
    "locations": "/connections/{connection}/locations/",
    "locations-none": "/connections/{bare_line}/locations/",
}
REPORT = """sku,facility,available,on_hand,committed
TEA-TOWEL,Reno,1180,1250,70
TEA-TOWEL,Dallas,40,40,0
TEA-COSY,Reno,-3,0,3
APRON-WITH-A-NAME-THAT-IS-MUCH-LONGER-THAN-PEOPLE-LIKE-BUT-SOME-HAVE-THEM,Reno,0.5,,
"""
FILE = """sku,channel_sku,variant_id,title,retired
APRON,SHOP-APRON,44013,Apron,
TEA-MUG,SHOP-TOWEL,44012,,
,,OLD,,yes
"""


@pytest.mark.django_db(transaction=True)
def test_u21_inventory(page: Page, live_server: LiveServer, settings: Settings) -> None:
    """U21: empty, found nothing, many; mapped and bundled SKUs; listings, locations."""
    settings.SSH_KEY_TYPE = "ed25519"
    people = factories.cast()
    rows = household.household(people.merchant, people.staff)
    bare = household.household(people.other_merchant, people.staff)
    bare.listing.delete()
    bare.location.delete()
    desk.enter(page.context, live_server, people.staff)
    look = Look(page)
    for name in ("warehouse", "channel"):
        page.goto(f"{live_server.url}/inventory/{name}/")
        look(f"inventory-{name}-empty")
    engine.report(rows.warehouse, REPORT)
    sold = [
        Row(2, "44012", "TEA-TOWEL", "SHOP-TOWEL", "Tea towel, striped"),
        Row(
            3,
            "SET",
            "TEA-SET",
            "SET",
            "Towel and cosy",
            "TEA-TOWEL",
            quantity=Decimal(1),
        ),
        Row(
            4,
            "SET",
            "TEA-SET",
            "SET",
            "Towel and cosy",
            "TEA-COSY",
            quantity=Decimal(2),
        ),
        Row(5, "OLD", "NOBODY-HAS-IT", "OLD"),
    ]
    listings.change(rows.store, sold, by=None)
    ids = {
        "merchant": people.merchant,
        "store": rows.store,
        "listing": rows.store.listings.get(variant_id="SET"),
        "connection": rows.connection,
        "file": listing_files.keep(
            rows.store, FILE.encode(), file_name="listings.csv", by=people.staff
        ),
        "wrong": listing_files.keep(
            rows.store, b"sku,retired\n,\nA,maybe\n", file_name="x.csv", by=people.staff
        ),
        "bare": bare.store,
        "bare_line": bare.connection,
    }
    named = {name: row.public_id for name, row in ids.items()}
    for name, url in PAGES.items():
        page.goto(live_server.url + url.format(**named))
        look(name)
    page.goto(f"{live_server.url}/listings/{named['listing']}/")
    page.get_by_role("button", name="End listing").click()
    look("listing-dialog")
    page.keyboard.press("Escape")
    page.get_by_label("Warehouse SKU", exact=True).fill("")
    page.get_by_label("Quantity").first.fill("0")
    page.get_by_label("Warehouse SKU", exact=True).press("Enter")
    expect(page.locator("[data-error-summary]")).to_be_focused()
    look("listing-errors")
    look.assert_fine()
