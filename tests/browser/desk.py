"""A staff person's browser on a live server of the test's own process."""

from __future__ import annotations

from urllib.parse import urljoin

from django.conf import settings
from django.urls import reverse
from playwright.sync_api import BrowserContext, Locator, Page, expect
from pytest_django.live_server_helper import LiveServer

from connections.checks import execute as checks
from connections.checks import subjects
from connections.models import CheckRun, ConnectionDraft
from dropstream.sandbox import Sandbox
from stores.models import User
from tests.browser import steps
from tests.connections.wizard.walk import BASIC, NEW_MERCHANT, WAREHOUSE, log_in
from tests.household import draft

NOBODY = steps.Newcomer(
    user="nobody",
    account_id="123456",
    api_key="a1b2c3d4e5f6a7b8c9d0",
    connection_string="sftp://north:secret-word@files.reno.example:22",
    warehouse_key="",
    ip_key="",
)
"""Answers that are right as far as a form can tell; no far side knows them."""


def newcomer(sandbox: Sandbox, user: str = "try") -> steps.Newcomer:
    """Return what the sandbox's two far sides give to one of its merchants."""
    facts = sandbox.facts[user]
    return steps.Newcomer(
        user=user,
        account_id=facts["account_id"],
        api_key=facts["api_key"],
        connection_string=facts["connection_string"],
        warehouse_key="",
        ip_key="",
    )


def enter(context: BrowserContext, server: LiveServer, person: User) -> None:
    """Log the person in without the log-in page."""
    cookie = log_in(person).cookies[settings.SESSION_COOKIE_NAME]
    context.add_cookies(
        [{"name": cookie.key, "value": cookie.value, "url": server.url}]
    )


def at_step(page: Page, step: str, name: str, person: User) -> ConnectionDraft:
    """Open a step of a draft in which the steps before it are answered."""
    answers = {
        "basic": BASIC | {"name": name},
        "merchant": NEW_MERCHANT | {"company_name": f"{name} Ltd"},
        "warehouse": WAREHOUSE
        | {
            "description": f"{name} warehouse",
            "connection_string": NOBODY.connection_string,
        },
    }
    at = ConnectionDraft.Step(step)
    before = list(answers)[: list(ConnectionDraft.Step).index(at)]
    made = draft(person, **{done: answers[done] for done in before})
    made.step = at
    made.save(update_fields=["step"])
    kwargs = {"draft": made.public_id, "step": step}
    page.goto(urljoin(page.url, reverse("connections:wizard", kwargs=kwargs)))
    steps.heading(page, str(at.label))
    return made


def work() -> None:
    """Do the tests that were asked for, as the workers do."""
    waiting = CheckRun.objects.filter(state=CheckRun.State.QUEUED)
    for check_id in waiting.values_list("pk", flat=True):
        checks.execute(check_id, subjects.findings)


def run_test(page: Page, outcome: str) -> Locator:
    """Press Test connection, let the worker do it, and wait for the outcome."""
    page.get_by_role("button", name="Test connection").click()
    box = steps.check_box(page)
    expect(box.get_by_role("status")).to_contain_text("Testing…")
    work()
    expect(box.get_by_role("status")).to_contain_text(outcome)
    return box


def approve(page: Page) -> None:
    """Approve the key that the test shows; the test runs again by itself."""
    box = steps.check_box(page)
    box.get_by_role("button", name="Approve this key and test again").click()
    expect(box.get_by_role("status")).to_contain_text("Testing…")
    work()
    expect(box.get_by_role("status")).to_contain_text("Success!")
