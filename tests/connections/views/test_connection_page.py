"""A connection's page: switches, run now, delete, what happened (dropstream.md §3)."""

from __future__ import annotations

from django.urls import reverse
from django.utils import timezone

from connections.models import Channel, Connection, PurchaseOrder, SyncRun
from stores.models import AuditEvent, Merchant, Store, Warehouse
from tests.connections.wizard.walk import log_in
from tests.factories import Cast
from tests.household import Household


def url(name: str, rows: Household, *more: str) -> str:
    part = rows.channel if name in ("channel_switch", "run_now") else rows.connection
    return reverse(f"connections:{name}", args=[part.public_id, *more])


def actions() -> list[str]:
    """What was audited since the household was made, oldest first."""
    events = AuditEvent.objects.filter(action__regex="^(connection|channel)")
    return list(events.order_by("sequence").values_list("action", flat=True))[1:]


def test_turning_off_and_on(cast: Cast, rows: Household) -> None:
    """dropstream.md §3; A1: each change once, a second click changes nothing."""
    client = log_in(cast.scoped_staff)
    page = reverse("connections:page", args=[rows.connection.public_id])
    for on in ("0", "0", "1", "1"):
        response = client.post(url("switch", rows), {"on": on})
        assert response.headers["Location"] == page
        rows.connection.refresh_from_db()
        assert rows.connection.is_on == (on == "1")
    assert actions() == ["connection.disabled", "connection.enabled"]
    response = client.post(url("switch", rows), {"on": "0", "next": "list"})
    assert response.headers["Location"] == "/connections/"
    assert "“Plain connection” is off." in client.get("/connections/").content.decode()


def test_next_leads_nowhere_else(cast: Cast, rows: Household) -> None:
    """B6: no open redirect."""
    client = log_in(cast.staff)
    for evil in ("//evil.example", "https://evil.example/", "javascript:alert(1)"):
        response = client.post(url("switch", rows), {"on": "1", "next": evil})
        assert response.headers["Location"].startswith("/connections/")


def test_turning_off_drops_what_waits(cast: Cast, rows: Household) -> None:
    """dropstream.md §3: all its work stops at once."""
    client = log_in(cast.staff)
    client.post(url("run_now", rows, "orders_import"))
    client.post(url("switch", rows), {"on": "0"})
    assert SyncRun.objects.get().state == SyncRun.State.CANCELLED


def test_run_now_starts_one_run(cast: Cast, rows: Household) -> None:
    client = log_in(cast.staff)
    for said in (
        "Import: queued. It starts in a moment.",
        "Import: already on its way.",
    ):
        client.post(url("run_now", rows, "orders_import"))
        assert said in client.get(url("page", rows)).content.decode()
    run = SyncRun.objects.get()
    assert (run.job, run.trigger, run.requested_by) == (
        "orders_import",
        "person",
        cast.staff,
    )


def test_off_means_off(cast: Cast, rows: Household) -> None:
    """dropstream.md §2: not even run now, be it the connection or the channel."""
    client = log_in(cast.staff)
    client.post(url("channel_switch", rows), {"on": "0"})
    client.post(url("run_now", rows, "orders_import"))
    client.post(url("channel_switch", rows), {"on": "1"})
    client.post(url("switch", rows), {"on": "0"})
    client.post(url("run_now", rows, "orders_import"))
    page = client.get(url("page", rows)).content.decode()
    assert page.count("Nothing runs while it is off. Turn it on first.") == 2
    assert not SyncRun.objects.exists()


def test_a_job_that_the_channel_does_not_have_is_not_there(
    cast: Cast, rows: Household
) -> None:
    client = log_in(cast.staff)
    for job in ("stock_full", "nonsense"):
        assert client.post(url("run_now", rows, job)).status_code == 404
    assert not SyncRun.objects.exists()


def test_a_channel_is_paused_alone(cast: Cast, rows: Household) -> None:
    """dropstream.md §3: that flow only; its schedule stays."""
    client = log_in(cast.staff)
    schedules = list(rows.channel.schedules.values_list("job", "every_minutes"))
    for on in ("0", "0", "1"):
        client.post(url("channel_switch", rows), {"on": on})
        rows.channel.refresh_from_db()
        assert rows.channel.is_on == (on == "1")
    assert actions() == ["channel.disabled", "channel.enabled"]
    assert Channel.objects.live().count() == 2
    assert list(rows.channel.schedules.values_list("job", "every_minutes")) == schedules


def test_deleting_leaves_merchant_store_and_warehouse(
    cast: Cast, rows: Household
) -> None:
    """dropstream.md §3, §4: by an administrator; orders stay with the store."""
    page = url("page", rows)
    for person in (cast.staff, cast.merchant_user):
        client = log_in(person)
        assert url("delete", rows) not in client.get(page).content.decode()
        assert client.post(url("delete", rows)).status_code == 403
    client = log_in(cast.administrator)
    assert url("delete", rows) in client.get(page).content.decode()
    assert client.post(url("delete", rows)).headers["Location"] == "/connections/"
    assert not Connection.objects.exists()
    assert Merchant.objects.filter(pk=cast.merchant.pk).exists()
    assert Store.objects.filter(pk=rows.store.pk).exists()
    assert Warehouse.objects.filter(pk=rows.warehouse.pk).exists()
    assert actions()[-1] == "connection.deleted"
    order = PurchaseOrder.objects.get()
    assert order.connection is None
    shown = client.get(reverse("connections:order", args=[order.public_id]))
    assert shown.status_code == 200


def test_the_moving_part_comes_alone(cast: Cast, rows: Household) -> None:
    """htmx asks every three seconds for what may have changed."""
    client = log_in(cast.staff)
    whole = client.get(url("page", rows)).content.decode()
    part = client.get(url("page", rows), headers={"HX-Request": "true"})
    assert part.status_code == 200
    assert "<html" not in part.content.decode()
    for words in ("Inventory", "Purchase Orders", "PO Plain", "What happened"):
        assert words in part.content.decode()
        assert words in whole
    assert 'hx-trigger="every 3s"' in whole


def test_d17_a_run_that_could_only_wait_is_not_told_as_done(
    cast: Cast, rows: Household
) -> None:
    """The store has no endpoint: the last inventory update says what it waited for."""
    channel = rows.connection.channels.get(type="inventory")
    run = SyncRun.objects.create(
        account=rows.store.account,
        connection=rows.connection,
        channel=channel,
        store=rows.store,
        job="stock_changes",
        trigger="schedule",
        state="succeeded",
        counts={"waiting_for": "endpoint_missing"},
        due_at=timezone.now(),
        finished_at=timezone.now(),
    )
    client = log_in(cast.staff)
    waited = "Waited. The SFTP endpoint is not set yet."
    at = f'datetime="{run.finished_at:%Y-%m-%dT%H:%M:%S.%f}'
    page = client.get(url("page", rows)).content.decode()
    assert waited in page
    assert at not in page
    SyncRun.objects.filter(pk=run.pk).update(counts={"files_sent": 1})
    page = client.get(url("page", rows)).content.decode()
    assert at in page
    assert waited not in page


def test_a_merchant_user_looks_on(cast: Cast, rows: Household) -> None:
    """design.md §3: stock, orders and receipts of its own; no switches."""
    page = log_in(cast.merchant_user).get(url("page", rows)).content.decode()
    assert "PO Plain" in page
    assert 'role="switch"' not in page
    for name in ("switch", "delete", "channel_switch"):
        assert url(name, rows) not in page
    assert reverse("connections:warehouse", args=[rows.warehouse.public_id]) not in page


def test_an_orders_page_tells_its_story(cast: Cast, rows: Household) -> None:
    """Lines with Received / Ordered, receipts, timeline; why nothing was written."""
    client = log_in(cast.merchant_user)
    where = reverse("connections:order", args=[rows.order.public_id])
    page = client.get(where).content.decode()
    for words in (
        "Purchase order PO Plain",
        "Plain sku",
        "0 / 5",
        "R Plain",
        "rcp_Plain",
    ):
        assert words in page
    assert "Purchase order PO Plain imported." in page
    rows.order.write_refused = "echo_mismatch"
    rows.order.save()
    assert "did not keep what was written" in client.get(where).content.decode()
    rows.order.write_refused, rows.order.held = "", "no_route"
    rows.order.save()
    assert "Choose a warehouse" in client.get(where).content.decode()
