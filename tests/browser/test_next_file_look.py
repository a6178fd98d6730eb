"""The preview of the next file in a browser: WCAG 2.2 AA, both themes (U21)."""

from __future__ import annotations

from decimal import Decimal

import pytest
from django.utils import timezone
from playwright.sync_api import Page
from pytest_django import Settings
from pytest_django.live_server_helper import LiveServer

from connections.models import StockLevel
from inventory_planner.models import InventoryPlannerSettings
from stores.models import Warehouse
from tests import factories, household
from tests.browser import desk
from tests.browser.judge import Look


@pytest.mark.django_db(transaction=True)
def test_u21_the_next_file(
    page: Page, live_server: LiveServer, settings: Settings
) -> None:
    """U21: nothing to say; then rows, some of them left out; and the store's settings."""
    settings.SSH_KEY_TYPE = "ed25519"
    people = factories.cast()
    rows = household.household(people.merchant, people.staff)
    StockLevel.objects.all().delete()
    desk.enter(page.context, live_server, people.staff)
    look = Look(page)
    preview = f"/connections/{rows.connection.public_id}/next-file/"
    page.goto(live_server.url + preview)
    look("next-file-nothing")
    warehouse = rows.connection.warehouse
    Warehouse.objects.filter(pk=warehouse.pk).update(change_number=1)
    now = timezone.now()
    StockLevel.objects.bulk_create(
        StockLevel(
            account=people.acme,
            warehouse=warehouse,
            sku=sku,
            facility="RENO",
            available=Decimal(figure),
            reported_at=now,
            change_number=1,
            changed_at=now,
        )
        for sku, figure in [
            *((f"SKU-{n:05}", str(n)) for n in range(12)),
            ("=1+1", "-0.5"),
            ("HUGE", "123456789012345.6789"),
            ("L" * 256, "1"),
        ]
    )
    InventoryPlannerSettings.objects.update(master_data="first")
    page.goto(live_server.url + preview)
    look("next-file")
    store = f"{live_server.url}/stores/{rows.connection.store.public_id}/"
    page.goto(store)
    look("next-file-store-without-currency")
    InventoryPlannerSettings.objects.update(vendor_currency="EUR")
    page.goto(store)
    page.get_by_role("button", name="Send master data").click()
    look("next-file-store")
    look.assert_fine()
