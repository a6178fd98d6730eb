"""What every test may use: people, far sides, a browser.

Servers start in tests/settings.py.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db.models.signals import post_migrate
from hypothesis import HealthCheck, settings
from playwright.sync_api import ConsoleMessage, Page
from pytest_django import Settings

from dropstream.sandbox import Sandbox

# Playwright's sync API runs an event loop in the test's thread.
os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"

# The same examples everywhere, however slow a shared machine is just then.
settings.register_profile(
    "house",
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("house")

INSTALL_BROWSER = (
    "no Chromium found; install it with `apt-get install -y chromium-headless-shell`,"
    " or chromium (or set CHROMIUM)"
)
_QUIET = (
    *("--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-quic"),
    *("--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
)


def find_chromium() -> str | None:
    """Return the path of a Chromium that is installed here.

    The headless shell first: the same engine in two thirds of the processor time.
    """
    if given := os.environ.get("CHROMIUM"):
        return given
    names = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
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


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None) -> None:
    """Make content types, permissions and groups once, not after every flush."""
    post_migrate.receivers.clear()
    post_migrate.sender_receivers_cache.clear()


@pytest.fixture
def page(page: Page) -> Iterator[Page]:
    """A page whose console must stay clean: catches CSP violations and dead links.

    So must the console of every tab that is opened beside it.
    """
    problems: list[str] = []

    def on_console(message: ConsoleMessage) -> None:
        if message.type == "error":
            problems.append(message.text)

    page.context.on("console", on_console)
    page.context.on("weberror", lambda found: problems.append(str(found.error)))
    yield page
    assert not problems


@pytest.fixture
def cast(db: None) -> Any:
    """Two accounts and their people (tests.factories.Cast)."""
    from tests import factories  # models: not before Django is set up

    return factories.cast()


@pytest.fixture
def sandbox(tmp_path: Path, settings: Settings) -> Iterator[Sandbox]:
    """Both far sides, small, their clocks standing still, as the settings name them."""
    still = Sandbox(
        tmp_path / "sandbox",
        skus=3,
        tick_s=None,
        sync_s=None,
        stock_interval_s=None,
        receipt_delay_s=0.0,
    )
    with still:
        settings.INVENTORY_PLANNER_API_URL = still.facts["api_url"]
        settings.OUTBOUND_HOSTS = still.facts["outbound_hosts"]
        settings.INVENTORY_PLANNER_REQUESTS_PER_S = 1000
        yield still
