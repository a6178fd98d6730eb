"""The pages of the walk: WCAG 2.2 AA in both themes, small screens, the keyboard."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser import steps
from tests.browser.judge import is_reflowed, problems
from tests.browser.product import Product

pytestmark = pytest.mark.xdist_group("product")
DEMO = "Northwind Traders — Inventory Planner → Reno 3PL"
WIDE, NARROW = (1280, 900), (390, 844)
# Set it to a folder to keep a picture of each page in each look.
PICTURES = os.environ.get("PICTURES", "")


class Judge:
    """Looks at whatever page is open, in one theme."""

    def __init__(self, page: Page, theme: str) -> None:
        self.page = page
        self.theme = theme
        self.found: list[str] = []
        page.emulate_media(color_scheme=theme)  # type: ignore[arg-type]

    def look(self, name: str) -> None:
        """Note what is wrong here, wide and at 390 px."""
        for width, height in (WIDE, NARROW):
            self.page.set_viewport_size({"width": width, "height": height})
            self.found += [f"{name} at {width}: {what}" for what in problems(self.page)]
            if not is_reflowed(self.page):
                self.found.append(f"{name} at {width}: scrolls sideways")
            if PICTURES:
                file = Path(PICTURES) / f"{name}-{width}-{self.theme}.png"
                self.page.screenshot(path=file, full_page=True)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_u21_every_page_of_the_walk(page: Page, product: Product, theme: str) -> None:
    """U21: with drafts, mistakes, test results and live data on the pages."""
    judge = Judge(page, theme)
    steps.log_in(page, product, steps.ADMINISTRATOR)
    newcomer = steps.meet(page, product, "try")
    steps.begin(page, "")
    judge.look("1-basic-error")
    page.get_by_label("Connection Name").fill(f"Look {theme}")
    steps.go_on(page)
    steps.heading(page, "Merchant Information")
    judge.look("2-merchant")
    steps.new_merchant(page, f"Look {theme} Ltd")
    steps.fill_warehouse(page, "Look warehouse", newcomer.connection_string)
    steps.run_test(page, "")
    expect(page.get_by_text("Testing…")).to_be_hidden(timeout=steps.CHECKED_MS)
    judge.look("3-warehouse-tested")
    steps.go_on(page)
    steps.heading(page, "Store Setup")
    judge.look("4-store-blank")
    steps.fill_store(page, "Look store", newcomer)
    page.get_by_label("SFTP Endpoint").fill("10.0.0.1")
    page.get_by_role("button", name="Add connection").click()
    expect(page.locator("[data-error-summary]")).to_be_visible()
    judge.look("4-store-error")
    page.get_by_label("SFTP Endpoint").fill("")
    steps.run_test(page, "Success!")
    judge.look("4-store-tested")
    page.get_by_role("link", name="Finish later").click()
    steps.heading(page, "Connections")
    judge.look("5-list-with-draft")
    page.get_by_role("link", name=DEMO, exact=True).click()
    steps.heading(page, DEMO)
    judge.look("6-connection")
    page.get_by_role("button", name="Disable Connection").click()
    judge.look("6-connection-dialog")
    page.keyboard.press("Escape")
    steps.order_row(page, "1042").get_by_role("link", name="1042").click()
    steps.heading(page, "Purchase order 1042")
    judge.look("7-order")
    steps.go_to(page, "Stores")
    judge.look("8-stores")
    page.get_by_role("link", name="Northwind Traders on").click()
    steps.heading(page, "Northwind Traders on Inventory Planner")
    judge.look("9-store")
    steps.go_to(page, "Connections")
    page.get_by_role("link", name="Reno 3PL", exact=True).click()
    steps.heading(page, "Reno 3PL")
    judge.look("10-warehouse")
    assert judge.found == []


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
