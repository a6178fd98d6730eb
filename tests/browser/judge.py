"""What every page must hold: WCAG 2.2 AA as far as axe sees, and no sideways scroll."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Page, expect

RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
# All that a theme can break: names, roles and sizes are the same in both.
COLOUR_RULES = ["color-contrast", "link-in-text-block"]
WIDE, NARROW = (1280, 900), (390, 844)
# 320: WCAG 1.4.10.
WIDTHS = (320, 360, 768, 1024, 1600)
SHIFT_LIMIT = 0.1
# Set it to a folder to keep a picture of each page in each look.
PICTURES = os.environ.get("PICTURES", "")

RUN_AXE = """async (runOnly) => {
  const found = await axe.run({runOnly, resultTypes: ["violations"]});
  return found.violations.map((one) => `${one.id} ${one.nodes[0].target}`);
}"""
# Shifts within half a second of a click or a key are the person's own, by definition.
WATCH_SHIFTS = """
  window.shifted = 0;
  new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) {
      if (!entry.hadRecentInput) window.shifted += entry.value;
    }
  }).observe({type: "layout-shift", buffered: true});
"""
# What the page's scripts moved is told after the next paint.
READ_SHIFT = """() => new Promise((told) => requestAnimationFrame(
  () => setTimeout(() => told(window.shifted), 100)))"""


def problems(page: Page, rules: list[str] = RULES) -> list[str]:
    """Return the rules that the page breaks as it is now, each with where."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE_SCRIPT)
    found: list[str] = page.evaluate(RUN_AXE, rules)
    return found


def is_reflowed(page: Page) -> bool:
    """Say whether the page fits its width."""
    return bool(page.evaluate("document.documentElement.scrollWidth <= innerWidth"))


class Look:
    """Looks at whatever page is open, in both themes, wide and narrow."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.found: list[str] = []
        page.add_init_script(WATCH_SHIFTS)

    def __call__(self, name: str) -> None:
        """Note what is wrong here."""
        self._note_shift(name)
        for width, height in (WIDE, NARROW):
            self.page.set_viewport_size({"width": width, "height": height})
            self._note_sideways(name, width)
            self._look_at(name, width, "light", RULES)
            self._look_at(name, width, "dark", COLOUR_RULES)
        for width in WIDTHS:
            self.page.set_viewport_size({"width": width, "height": 900})
            self._note_sideways(name, width)
        self.page.set_viewport_size({"width": WIDE[0], "height": WIDE[1]})
        self.page.evaluate("window.shifted = 0")

    def load(self, name: str, url: str) -> None:
        """Open a page on a phone and on a desk, and look at it."""
        for width, height in (NARROW, WIDE):
            self.page.set_viewport_size({"width": width, "height": height})
            self.page.goto(url)
            self._note_shift(f"{name} at {width}")
        self(name)

    def _note_shift(self, name: str) -> None:
        shift = self.page.evaluate(READ_SHIFT)
        if shift > SHIFT_LIMIT:
            self.found.append(f"{name}: shifts by {shift:.2f}")

    def _note_sideways(self, name: str, width: int) -> None:
        if not is_reflowed(self.page):
            self.found.append(f"{name} at {width}: scrolls sideways")

    def _look_at(self, name: str, width: int, theme: Any, rules: list[str]) -> None:
        # Without motion: a colour half way between two themes is nobody's contrast.
        self.page.emulate_media(color_scheme=theme, reduced_motion="reduce")
        expect(self.page.locator("html")).to_have_attribute("data-bs-theme", theme)
        broken = problems(self.page, rules)
        self.found += [f"{name} at {width} {theme}: {what}" for what in broken]
        if PICTURES:
            file = Path(PICTURES) / f"{name}-{width}-{theme}.png"
            self.page.screenshot(path=file, full_page=True)

    def assert_fine(self) -> None:
        """Fail with all that was noted."""
        assert not self.found, "\n".join(self.found)
