"""The ledger of files in a browser: WCAG 2.2 AA, both themes, wide and narrow (U21)."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page
from pytest_django import Settings
from pytest_django.live_server_helper import LiveServer

from connections.models import Channel, Delivery
from tests import factories, household
from tests.browser import desk
from tests.browser.judge import Look

State = Delivery.State


@pytest.mark.django_db(transaction=True)
def test_u21_the_ledger(
    page: Page, live_server: LiveServer, settings: Settings
) -> None:
    """U21: files in every state, found nothing; one that arrived, one that nobody knows."""
    settings.SSH_KEY_TYPE = "ed25519"
    people = factories.cast()
    rows = household.household(people.merchant, people.staff)
    stock = rows.connection.channels.get(type=Channel.Type.INVENTORY)
    bad = {"row": 7, "key": ["A-1", "WH1"], "column": "IN_STOCK", "reason": "no number"}
    unknown, _superseded, arrived, waiting = (
        household.stock_file(stock, State.UNKNOWN, attempts=2, delivered_at=None),
        household.stock_file(stock, State.SUPERSEDED, attempts=0),
        household.stock_file(stock, rows=1234567, left_out=1, problems=[bad]),
        household.stock_file(
            stock, State.SENDING, error_code="disk_full", delivered_at=None
        ),
    )
    desk.enter(page.context, live_server, people.staff)
    look = Look(page)
    files = f"/connections/{rows.connection.public_id}/files/"
    for name, url in {
        "ledger": files,
        "ledger-nothing": f"{files}?state=under_way&kind=purchase_order",
        "ledger-file": f"/files/{arrived.public_id}/",
        "ledger-send": f"/files/{arrived.public_id}/send/",
        "ledger-send-not": f"/files/{unknown.public_id}/send/",
        "ledger-waiting": f"/files/{waiting.public_id}/",
        "ledger-unknown": f"/files/{unknown.public_id}/",
        "ledger-connection": f"/connections/{rows.connection.public_id}/",
    }.items():
        page.goto(live_server.url + url)
        look(name)
    look.assert_fine()
