"""The pages of the walk: WCAG 2.2 AA in both themes, small screens, the keyboard."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.browser import steps
from tests.browser.judge import Look
from tests.browser.product import Product

pytestmark = pytest.mark.xdist_group("product")
DEMO = "Northwind Traders — Inventory Planner → Reno 3PL"


def test_u21_pages_with_live_data(page: Page, product: Product) -> None:
    """U21: as the workers left them. The wizard's are looked at in test_wizard_look."""
    steps.log_in(page, product)
    look = Look(page)
    page.get_by_role("link", name=DEMO, exact=True).click()
    steps.heading(page, DEMO)
    look("6-connection")
    page.get_by_role("button", name="Disable Connection").click()
    look("6-connection-dialog")
    page.keyboard.press("Escape")
    steps.order_row(page, "1042").get_by_role("link", name="1042").click()
    steps.heading(page, "Purchase order 1042")
    look("7-order")
    steps.go_to(page, "Stores")
    look("8-stores")
    page.get_by_role("link", name="Northwind Traders on").click()
    steps.heading(page, "Northwind Traders on Inventory Planner")
    look("9-store")
    steps.go_to(page, "Connections")
    page.get_by_role("link", name="Reno 3PL", exact=True).click()
    steps.heading(page, "Reno 3PL")
    look("10-warehouse")
    look.assert_fine()


def test_u23_the_keyboard_reaches_everything_and_is_never_caught(
    page: Page, product: Product
) -> None:
    """Tab goes once around the longest page, Shift+Tab back; focus is always seen."""
    steps.log_in(page, product)
    newcomer = steps.meet(page, product, "try")
    steps.to_store_step(page, newcomer, "Keyboard")
    steps.fill_store(page, "Keyboard store", newcomer)
    steps.run_test(page, "Success!")
    there = round_trip(page, "Tab")
    assert not [stop for stop in there if stop.startswith("unseen")]
    for name in ("Skip to content", "SFTP Endpoint", "Copy", "Add connection"):
        assert any(name in stop for stop in there), name
    back = round_trip(page, "Shift+Tab")
    assert set(back) == set(there)


def round_trip(page: Page, key: str) -> list[str]:
    """Press a key until the focus leaves the page or starts anew; return its stops."""
    page.goto(page.url.partition("#")[0])  # from the page's very beginning
    stops: list[str] = []
    for _ in range(200):
        page.keyboard.press(key)
        name = page.evaluate(
            """() => {
              const one = document.activeElement;
              if (one === document.body || !one) return "";
              if (!one.matches(":focus-visible")) return "unseen: " + one.outerHTML;
              const label = one.labels?.[0] ?? one;
              return one.id + "|" + (label.textContent.trim() || one.outerHTML);
            }"""
        )
        if not name or name in stops:
            return stops
        stops.append(name)
    raise AssertionError(f"{key} never leaves the page: {stops[-5:]}")


def test_u23_the_first_steps_by_keyboard_alone(page: Page, product: Product) -> None:
    """Enter goes on, Space and arrows choose, and each page begins with a heading."""
    steps.log_in(page, product)
    page.get_by_role("button", name="Add Connection").focus()
    page.keyboard.press("Enter")
    steps.heading(page, "Basic Information")
    page.get_by_label("Connection Name").focus()
    page.keyboard.type("By keyboard")
    page.keyboard.press("Enter")
    steps.heading(page, "Merchant Information")
    page.get_by_label("Create new merchant").focus()
    page.keyboard.press("ArrowUp")
    expect(page.get_by_label("Use existing merchant")).to_be_checked()
    page.keyboard.press("Tab")
    expect(page.get_by_label("Merchant", exact=True)).to_be_focused()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Continue")).to_be_focused()
    page.keyboard.press("Enter")
    steps.heading(page, "Warehouse Setup")
    expect(page.get_by_text("has a warehouse already")).to_be_visible()
    page.get_by_role("button", name="Continue").press("Enter")
    steps.heading(page, "Store Setup")
