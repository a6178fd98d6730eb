"""What every test may use: a browser. Servers start in tests/settings.py."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import ConsoleMessage, Page

# Playwright's sync API runs an event loop in the test's thread.
os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"

INSTALL_BROWSER = (
    "no Chromium found; install it with `apt-get install -y chromium` (or set CHROMIUM)"
)
_QUIET = (
    *("--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-quic"),
    *("--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
)


def find_chromium() -> str | None:
    """Return the path of a Chromium that is installed here."""
    if given := os.environ.get("CHROMIUM"):
        return given
    names = ("chromium", "chromium-browser", "google-chrome")
    return next((path for name in names if (path := shutil.which(name))), None)


@pytest.fixture(scope="session")
def browser_type_launch_args() -> dict[str, Any]:
    """Launch the machine's Chromium; without one skip, or fail if REQUIRE_BROWSER=1."""
    path = find_chromium()
    if path is None:
        if os.environ.get("REQUIRE_BROWSER") == "1":
            pytest.fail(INSTALL_BROWSER)
        pytest.skip(INSTALL_BROWSER)
    return {"executable_path": path, "args": list(_QUIET)}


@pytest.fixture
def page(page: Page) -> Iterator[Page]:
    """A page whose console must stay clean: catches CSP violations and dead links."""
    problems: list[str] = []

    def on_console(message: ConsoleMessage) -> None:
        if message.type == "error":
            problems.append(message.text)

    page.on("console", on_console)
    page.on("pageerror", lambda error: problems.append(str(error)))
    yield page
    assert not problems
