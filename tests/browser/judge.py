"""What every page must hold: WCAG 2.2 AA as far as axe sees, and no sideways scroll."""

from __future__ import annotations

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


def problems(page: Page) -> list[str]:
    """Return the rules that the page breaks, each with where."""
    found = Axe().run(page, options={"runOnly": RULES}).response["violations"]
    return [f"{one['id']} {one['nodes'][0]['target']}" for one in found]


def is_reflowed(page: Page) -> bool:
    """Say whether the page fits its width."""
    return bool(page.evaluate("document.documentElement.scrollWidth <= innerWidth"))
