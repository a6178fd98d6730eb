"""The one status line: words, tone, next action, owner (U11, U15, U16)."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import date_format

from connections import problems
from connections.messages import explain
from connections.models import (
    Channel,
    Connection,
    PurchaseOrder,
    StockReport,
    SyncRun,
)
from connections.runs import switch
from connections.views.status import Recent, Status, connection_status, lines
from connections.warehouses.platforms import WarehousePlatform
from connections.wire import errors
from inventory_planner.models import InventoryPlannerSettings
from stores.models import Warehouse
from tests import factories
from tests.connections.views.test_inventory import client_of
from tests.connections.views.test_order_list import order
from tests.factories import Cast
from tests.household import Household, dead_run

ENDPOINT = "s-abc123.server.transfer.us-east-1.amazonaws.com"


def status(rows: Household) -> Status:
    """The line of the household's connection, as the list shows it."""
    row = Connection.objects.get(pk=rows.connection.pk)
    return connection_status(row, lines(row, Recent.of([row])))


def channel_titles(rows: Household) -> dict[str, str]:
    row = Connection.objects.get(pk=rows.connection.pk)
    found = lines(row, Recent.of([row]))
    return {line.channel.type: line.status.title for line in found}


def ran(rows: Household, job: str = "orders_import", **values: object) -> SyncRun:
    """A run of the past."""
    types = {"orders_import": "purchase_orders", "orders_status": "purchase_orders"}
    defaults: dict[str, object] = {
        "state": "succeeded",
        "trigger": "schedule",
        "due_at": timezone.now(),
    }
    return SyncRun.objects.create(
        account=rows.store.account,
        connection=rows.connection,
        channel=rows.connection.channels.get(type=types.get(job, "inventory")),
        store=rows.store,
        job=job,
        **(defaults | values),
    )


@pytest.fixture
def ready(rows: Household) -> Household:
    """Nothing is missing and nothing went wrong."""
    factories.change_store(rows.store, sftp_endpoint=ENDPOINT)
    StockReport.objects.update(state=StockReport.State.APPLIED)
    return rows


def test_working(ready: Household) -> None:
    assert status(ready).title == "Has not run yet"
    ran(ready)
    ran(ready, "stock_changes")
    found = status(ready)
    assert (found.tone, found.title) == ("ok", "Working")


def test_the_first_run_is_told_later_ones_do_not_flicker(ready: Household) -> None:
    ran(ready)
    first = ran(ready, "stock_changes", state="running")
    found = status(ready)
    assert (found.tone, found.title) == ("busy", "Running for the first time")
    SyncRun.objects.filter(pk=first.pk).update(state="succeeded")
    ran(ready, "stock_changes", state="running")
    assert status(ready).title == "Working"


def test_off(ready: Household, cast: Cast) -> None:
    switch.disable_connection(ready.connection, by=cast.staff)
    found = status(ready)
    assert (found.tone, found.title) == ("off", "Off: nothing runs")
    assert found.next
    assert found.owner == "your team"


def test_off_still_says_what_is_missing(rows: Household, cast: Cast) -> None:
    """dropstream.md §7: visible right after an endpoint-less save."""
    switch.disable_connection(rows.connection, by=cast.staff)
    found = status(rows)
    assert found.tone == "off"
    assert "SFTP endpoint is not set yet" in found.title
    assert found.href == reverse("connections:store", args=[rows.store.public_id])


def test_waiting_for_the_endpoint(rows: Household) -> None:
    """U16: stock waits, orders may run; the owner is on the merchant's side."""
    ran(rows)
    found = status(rows)
    assert found.tone == "wait"
    assert "Stock cannot be delivered until it is" in found.title
    assert found.owner == "whoever sets up Inventory Planner"
    assert channel_titles(rows)["purchase_orders"] == "Working"


def test_waiting_for_the_api_key(ready: Household) -> None:
    InventoryPlannerSettings.objects.update(sealed_api_key=None, api_key_hint="")
    ran(ready, "stock_changes")
    titles = channel_titles(ready)
    assert titles["inventory"] == "Working"
    assert "API key is not set yet" in titles["purchase_orders"]


def test_a_channel_that_is_off(ready: Household, cast: Cast) -> None:
    ran(ready, "stock_changes")
    switch.disable_channel(ready.channel, by=cast.staff)
    assert channel_titles(ready)["purchase_orders"] == "Off"
    assert status(ready).title == "Working"
    for channel in ready.connection.channels.all():
        switch.disable_channel(channel, by=cast.staff)
    assert status(ready).title == "All channels are off"


@pytest.mark.parametrize("code", sorted(errors.CODES | problems.CODES))
def test_stopped_by_each_error(ready: Household, code: str) -> None:
    """U11: every code has its words, and leads to the side where its remedy is."""
    ran(ready, "stock_changes")
    for side, part in (("store", ready.store), ("warehouse", ready.warehouse)):
        SyncRun.objects.filter(job="orders_import").delete()
        ran(ready, state="needs_person", error_code=code, error_side=side)
        found = status(ready)
        message = explain(code)
        assert found.tone == "bad"
        assert found.title == f"{message.happened} {message.means}"
        assert (found.next, found.owner) == (str(message.do), str(message.owner))
        assert found.href == reverse(f"connections:{side}", args=[part.public_id])


def test_tried_again_is_a_warning(ready: Household) -> None:
    """ux.md §1.6: the first failure switches nothing off."""
    ran(ready, "stock_changes", state="queued", error_code="network_lost")
    found = status(ready)
    assert found.tone == "warn"
    assert "tried again" in found.title


def test_a_new_run_does_not_hide_why_the_last_one_stopped(ready: Household) -> None:
    ran(ready, "stock_changes", state="needs_person", error_code="auth_refused")
    ran(ready, "stock_changes", state="queued")
    assert "did not let us in" in status(ready).title
    ran(ready, "stock_changes")
    assert "did not let us in" not in status(ready).title


def test_the_worst_comes_first(rows: Household) -> None:
    """A stop before a wait."""
    ran(rows, state="needs_person", error_code="api_key_refused")
    assert status(rows).tone == "bad"


def test_a_refused_report_is_told(ready: Household) -> None:
    ran(ready)
    ran(ready, "stock_changes")
    StockReport.objects.update(state=StockReport.State.REFUSED)
    found = status(ready)
    assert found.tone == "warn"
    assert "A stock file was refused." in found.title
    assert found.href.startswith("/warehouses/")


def test_a_report_that_is_late_for_the_most_part_is_told(ready: Household) -> None:
    ran(ready)
    ran(ready, "stock_changes")
    StockReport.objects.update(late=2, changed=2)
    assert status(ready).title == "Working"
    StockReport.objects.update(late=3)
    found = status(ready)
    assert found.tone == "warn"
    assert "older than what the warehouse had reported" in found.title
    assert found.owner == "the warehouse"


def test_orders_that_could_not_be_written_back_are_counted(ready: Household) -> None:
    ran(ready)
    ran(ready, "stock_changes")
    PurchaseOrder.objects.update(status="error", write_refused="order_gone")
    assert status(ready).title == "1 purchase order could not be written back."


def test_orders_that_wait_for_a_decision_are_counted(
    ready: Household, cast: Cast
) -> None:
    """U15: with their list; not drafts, which wait for Inventory Planner alone."""
    ran(ready)
    ran(ready, "stock_changes")
    PurchaseOrder.objects.all().delete()
    of, orders = ready.connection, reverse("connections:order_list")
    order(of, "DRAFT", "A", held="not_sendable")
    order(of, "GONE", "A", held="sent_before", status="archived")
    assert status(ready).title == "Working"
    order(of, "ASKS", "A", held="sent_before")
    found = status(ready)
    assert (found.tone, found.title) == (
        "wait",
        "1 purchase order waits for a decision.",
    )
    assert found.href == f"{orders}?connection={of.public_id}&status=undecided"
    # One that no connection takes is its store's: all of the store are counted.
    order(of, "NOWHERE", "A", connection=None, held="no_route")
    other = factories.connection(of.store, factories.warehouse(cast.merchant, code="X"))
    order(other, "THERE", "", held="line_error")
    found = status(ready)
    assert found.title == "3 purchase orders wait for a decision."
    assert found.href == f"{orders}?store={of.store.public_id}&status=undecided"
    page = client_of(cast.staff).get(found.href)
    listed = {row.order.reference for row in page.context["rows"]}
    assert listed == {"ASKS", "NOWHERE", "THERE"}


def test_one_wait_does_not_hide_another_in_the_list(
    rows: Household, cast: Cast
) -> None:
    """U15: without the endpoint stock waits; an order waits for somebody else."""
    order(rows.connection, "ASKS", "A", held="sent_before")
    said = client_of(cast.staff).get(reverse("connections:list")).content.decode()
    assert "The SFTP endpoint is not set yet." in said
    assert said.count("1 purchase order waits for a decision.") == 1
    switch.disable_connection(rows.connection, by=cast.staff)
    said = client_of(cast.staff).get(reverse("connections:list")).content.decode()
    assert said.count("The SFTP endpoint is not set yet.") == 1


def test_a_retry_says_when_and_that_run_now_does_not_wait(ready: Household) -> None:
    """R2, U11: what follows by itself, and what a person can do meanwhile."""
    later = timezone.now() + timedelta(minutes=5)
    run = ran(ready, state="queued", error_code="network_lost", due_at=later)
    found = status(ready)
    shown = date_format(timezone.localtime(later), "j M H:i")
    assert found.tone == "warn"
    assert found.next == (
        f"Wait for the next try. Next try: {shown}. Run now does not wait for it."
    )
    SyncRun.objects.filter(pk=run.pk).update(due_at=timezone.now())
    assert "Next try: in a moment." in status(ready).next


def test_an_open_breaker_says_so(ready: Household) -> None:
    """R3."""
    later = timezone.now() + timedelta(minutes=5)
    ran(ready, state="queued", error_code="network_lost", due_at=later)
    Channel.objects.filter(pk=ready.channel.pk).update(gate_until=later, failures=5)
    said = status(ready).next
    assert "failed several times in a row" in said
    assert "Next try: " in said
    assert said.endswith("Run now does not wait for it.")


def test_what_a_person_must_mend_says_when_it_is_looked_at(ready: Household) -> None:
    """D15: it goes on by itself once it is mended."""
    ran(ready, state="needs_person", error_code="auth_refused")
    later = timezone.now() + timedelta(minutes=15)
    Channel.objects.filter(pk=ready.channel.pk).update(gate_until=later, refusals=1)
    found = status(ready)
    assert found.tone == "bad"
    assert "this store's public key is registered" in found.next
    assert "next look: " in found.next
    assert found.href == reverse("connections:store", args=[ready.store.public_id])


def test_dead_work_leads_to_its_replay(ready: Household) -> None:
    """R5: but not those who may not replay."""
    dead_run(ready.channel)
    found = status(ready)
    assert found.tone == "bad"
    assert "Replay it" in found.next
    failed = reverse("connections:failed_work")
    assert (found.href, found.link) == (
        f"{failed}?store={ready.store.public_id}",
        "Failed work",
    )
    row = Connection.objects.get(pk=ready.connection.pk)
    recent = Recent.of([row], may_manage=False)
    seen = connection_status(row, lines(row, recent))
    assert "Replay" not in seen.next
    assert seen.href == reverse("connections:store", args=[ready.store.public_id])


def test_a_warehouse_served_by_hand_asks_for_its_first_stock(rows: Household) -> None:
    factories.change_store(rows.store, sftp_endpoint=ENDPOINT)
    warehouse = Warehouse.objects.filter(pk=rows.warehouse.pk)
    warehouse.update(platform=WarehousePlatform.MANUAL, change_number=0)
    inventory = channel_titles(rows)[Channel.Type.INVENTORY]
    assert inventory == "No stock has been uploaded yet."
    warehouse.update(change_number=1)
    assert channel_titles(rows)[Channel.Type.INVENTORY] != inventory
