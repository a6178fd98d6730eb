"""Alerts and failed work in a browser: WCAG 2.2 AA, both themes, wide and narrow (U21)."""

from __future__ import annotations

import time

import pytest
from playwright.sync_api import Page, Route
from pytest_django import Settings
from pytest_django.live_server_helper import LiveServer

from connections.alerts.ledger import close_alerts, raise_alert
from connections.models import Channel
from tests import factories, household
from tests.browser.judge import Look

PAGES = {
    "alerts": "/operations/alerts/",
    "alerts-connection": "/connections/{connection}/",
    "alerts-store": "/stores/{store}/",
    "alerts-connections": "/connections/",
    "failed-work": "/operations/failed/",
    "failed-work-store": "/operations/failed/?store={store}",
    "failed-work-replay": "/operations/failed/replay/?cause=disk_full",
}


def come_late(route: Route) -> None:
    """Let a file through only after the page could have been painted without it."""
    time.sleep(0.3)
    route.continue_()


@pytest.mark.django_db(transaction=True)
def test_u21_pages_with_alerts(
    page: Page, live_server: LiveServer, settings: Settings
) -> None:
    """U21: open, counted, closed and dismissed ones; what failed for good, and replay."""
    settings.SSH_KEY_TYPE = "ed25519"
    people = factories.cast()
    rows = household.household(people.merchant, people.staff)
    stock = rows.connection.channels.get(type=Channel.Type.INVENTORY)
    for code in ("host_key_changed", "nothing_delivered", "nothing_delivered"):
        raise_alert(code, channel=stock, job="stock_changes", side="warehouse")
    close_alerts(rows.channel)
    raise_alert("api_key_refused", channel=rows.channel, detail="HTTP 401")
    household.dead_run(rows.channel, code="disk_full")
    page.goto(f"{live_server.url}/people/login/")
    page.get_by_label("Email").fill(people.staff.email)
    page.get_by_label("Password").fill(factories.PASSWORD)
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url("**/connections/")
    look = Look(page)
    # A script that comes late moves nothing: the times are written before the first paint.
    page.route("**/js/app*.js", come_late)
    ids = {"connection": rows.connection.public_id, "store": rows.store.public_id}
    for name, url in PAGES.items():
        page.goto(live_server.url + url.format(**ids))
        look(name)
    look.assert_fine()
