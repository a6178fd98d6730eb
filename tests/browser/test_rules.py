"""Edit rules in a browser that runs no scripts: add, delete, preview, save by Enter."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect
from pytest_django.live_server_helper import LiveServer
from pytest_playwright.pytest_playwright import CreateContextCallback

from tests import household
from tests.browser import desk
from tests.factories import Cast


@pytest.mark.django_db(transaction=True)
def test_rules_are_edited_without_scripting(
    new_context: CreateContextCallback, live_server: LiveServer, cast: Cast
) -> None:
    """dropstream.md §3, Edit rules; Enter in a field saves and deletes nothing."""
    rows = household.household(cast.merchant, cast.staff)
    context = new_context(java_script_enabled=False)
    desk.enter(context, live_server, cast.staff)
    page = context.new_page()
    page.goto(f"{live_server.url}/connections/{rows.connection.public_id}/")
    page.get_by_role("link", name="Edit rules: Status update").click()
    expect(page.get_by_label("Every (minutes)")).to_have_value("240")
    page.get_by_label("Type").select_option(label="Daily")
    page.get_by_role("button", name="Add schedule").click()
    expect(page.get_by_text("Choose Preview to see")).to_be_visible()
    page.get_by_label("At", exact=True).fill("01:10")
    page.get_by_role("button", name="Delete schedule 1").click()
    expect(page.get_by_label("Every (minutes)")).to_have_count(0)
    page.get_by_role("button", name="Preview").click()
    runs = page.get_by_role("region", name="Next five runs").get_by_role("listitem")
    expect(runs).to_have_count(5)
    expect(runs.first).to_contain_text("01:10 UTC")
    page.get_by_label("Every (days)").press("Enter")
    expect(page.get_by_text("Status update: schedules saved.")).to_be_visible()
    page.get_by_role("link", name="Plain connection").click()
    orders = page.get_by_role("region", name="Purchase Orders", exact=True)
    expect(orders).to_contain_text("Daily at 01:10")
