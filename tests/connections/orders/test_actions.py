"""Reprocess, Reset, Archive, Delete and the answers to holds: with what they mean
(dropstream.md §6), over both far sides."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from connections.models import (
    Connection,
    Delivery,
    HandOver,
    PurchaseOrder,
    PurchaseOrderLine,
    Receipt,
)
from connections.orders import actions
from connections.runs import switch
from stores.models import AuditEvent
from tests.connections.orders.test_flow import ACCOUNT, received, remote, set_up
from tests.connections.views.test_inventory import client_of
from tests.connections.views.test_order_list import line as bare_line
from tests.connections.views.test_order_list import order as bare_order
from tests.engine import drain, run_now
from tests.factories import Cast, Line
from tests.lab import failpoints

Status = PurchaseOrder.Status


@pytest.fixture
def one_order(line: Line) -> Line:
    """Order 1042 alone, imported and handed over; its receipts are still to come."""
    planner = line.sandbox.ip.accounts[ACCOUNT]
    planner.orders[:] = [planner.order("1042")]
    set_up(line)
    run_now(line.orders, "orders_import")
    return line


def the_order() -> PurchaseOrder:
    return PurchaseOrder.objects.get()


def state() -> tuple[str, str]:
    order = the_order()
    return order.status, order.held


def act(line: Line, action: actions.Action) -> str:
    """Do it once; "changed", "unchanged", or the code of the refusal."""
    outcome = actions.each(action, [the_order()], line.person)
    if outcome.refused:
        return next(iter(outcome.refused))
    return "changed" if outcome.changed else "unchanged"


def files(line: Line) -> int:
    """How many order files the warehouse was given, and has not taken up."""
    return len(list(line.far_warehouse.incoming.glob("po_*")))


def decided() -> list[str]:
    events = AuditEvent.objects.filter(action__startswith="order.").order_by("pk")
    return list(events.values_list("action", flat=True))


def test_delete_brings_an_order_back_and_it_asks_before_it_is_sent_again(
    one_order: Line,
) -> None:
    line = one_order
    assert act(line, actions.delete) == "was_sent"
    assert act(line, actions.archive) == "changed"
    assert act(line, actions.delete) == "changed"
    assert not PurchaseOrder.objects.exists()
    run_now(line.orders, "orders_import")
    assert state() == ("new", "sent_before")
    run_now(line.orders, "orders_import")
    assert files(line) == 1
    assert decided() == ["order.archived", "order.deleted"]
    # The answer, given twice, sends it once more.
    assert act(line, actions.send_again) == "changed"
    assert act(line, actions.send_again) == "unchanged"
    drain()
    assert state() == ("open", "")
    assert HandOver.objects.count() == 2
    assert files(line) == 2


def test_archive_stops_an_order_and_does_not_let_it_back(line: Line) -> None:
    planner = line.sandbox.ip.accounts[ACCOUNT]
    planner.orders[:] = [planner.order("1042")]
    set_up(line)
    password = line.far_warehouse.password
    line.far_warehouse.password = "another"  # imported, and not sent
    run_now(line.orders, "orders_import")
    assert act(line, actions.archive) == "changed"
    assert act(line, actions.archive) == "unchanged"
    line.far_warehouse.password = password
    remote(line, "1042")["notes"] = "changed there"
    for _run in range(2):
        run_now(line.orders, "orders_import")
    assert state() == ("archived", "")
    assert files(line) == 0
    assert act(line, actions.reprocess) == "changed"
    drain()
    assert state() == ("open", "")
    assert files(line) == 1


def test_an_archived_order_revives_where_it_stood(one_order: Line) -> None:
    """Sent is sent: it is not sent again."""
    line = one_order
    act(line, actions.archive)
    act(line, actions.reprocess)
    drain()
    assert state() == ("open", "")
    assert files(line) == 1


def test_reset_undoes_edits_and_the_tombstone_survives(one_order: Line) -> None:
    line = one_order
    order = the_order()
    first = order.lines.all()[0]
    sku = first.sku
    PurchaseOrderLine.objects.filter(pk=first.pk).update(sku="EDITED", quantity=1)
    PurchaseOrder.objects.update(vendor="Edited", reference="Edited")
    assert act(line, actions.reset) == "changed"
    order = the_order()
    assert (order.reference, order.vendor) == (
        "1042",
        remote(line, "1042")["vendor_display_name"],
    )
    assert order.lines.all()[0].sku == sku
    assert state() == ("new", "sent_before")
    drain()
    assert files(line) == 1
    # Archived meanwhile, it still asks.
    act(line, actions.archive)
    act(line, actions.reprocess)
    assert state() == ("new", "sent_before")
    assert act(line, actions.reprocess) == "asks_first"
    assert act(line, actions.keep_as_sent) == "changed"
    drain()
    assert state() == ("open", "")
    assert files(line) == 1
    act(line, actions.archive)
    act(line, actions.reprocess)
    assert state() == ("open", "")


def test_an_order_with_receipts_is_not_reset(one_order: Line) -> None:
    line = one_order
    line.sandbox.warehouse.tick()
    run_now(line.orders, "orders_status")
    assert act(line, actions.reset) == "has_receipts"
    assert state() == ("received", "")


def test_receipts_outlive_their_order_and_count_when_it_is_back(
    one_order: Line,
) -> None:
    """Once: here, and at Inventory Planner."""
    line = one_order
    line.sandbox.warehouse.set_in_parts(line.far_warehouse, in_parts=True)
    line.sandbox.warehouse.tick()
    run_now(line.orders, "orders_status")
    there = received(remote(line, "1042"))
    for path in line.far_warehouse.outgoing.glob("rcp_*"):
        path.unlink()  # the file is not needed any more
    assert act(line, actions.force_delete) == "changed"
    assert Receipt.objects.get().state == "error"
    run_now(line.orders, "orders_import")
    assert state() == ("partially_received", "")
    lines = the_order().lines.values_list("received", flat=True)
    assert [float(quantity) for quantity in lines] == there
    line.sandbox.warehouse.receive(line.far_warehouse, the_order().external_id)
    run_now(line.orders, "orders_status")
    assert state() == ("received", "")
    assert line.far_warehouse.doubled() == []
    assert decided() == ["order.force_deleted"]


def test_what_is_on_its_way_is_left_to_arrive(one_order: Line) -> None:
    line = one_order
    PurchaseOrder.objects.update(status=Status.NEW)
    Delivery.objects.update(state=Delivery.State.SENDING)
    todo = (actions.archive, actions.delete, actions.force_delete, actions.reset)
    assert {act(line, action) for action in todo} == {"on_its_way"}
    assert state() == ("new", "")


def test_an_order_that_is_stopped_while_the_run_works_is_not_sent(line: Line) -> None:
    """The run has listed both; each is looked at once more before its file is made."""
    planner = line.sandbox.ip.accounts[ACCOUNT]
    planner.orders[:] = [planner.order("1042"), planner.order("1043")]
    set_up(line)

    def stop_the_last() -> None:
        actions.archive(PurchaseOrder.objects.order_by("pk")[1], line.person)

    with failpoints.at("delivery.built", stop_the_last):
        run_now(line.orders, "orders_import")
    statuses = PurchaseOrder.objects.order_by("pk").values_list("status", flat=True)
    assert list(statuses) == ["open", "archived"]
    assert files(line) == 1


def test_whoever_asks_for_nothing_new_changes_nothing(one_order: Line) -> None:
    for action in (actions.release, actions.send_again, actions.keep_as_sent):
        assert act(one_order, action) == "unchanged"
    assert decided() == []


def test_reprocess_lets_a_refused_write_be_tried_again(one_order: Line) -> None:
    """Two writes did not stick; its cause is mended, a person says try again."""
    line = one_order
    line.sandbox.warehouse.tick()
    remote(line, "1042")["readonly"] = True
    run_now(line.orders, "orders_status")
    assert (the_order().status, the_order().write_refused) == (
        "error",
        "order_readonly",
    )
    remote(line, "1042")["readonly"] = False
    assert act(line, actions.reprocess) == "changed"
    assert state() == ("received", "")
    drain()
    assert remote(line, "1042")["status"] == "CLOSED"
    assert set(Receipt.objects.values_list("state", flat=True)) == {"completed"}


def test_an_order_made_while_off_is_imported_anyway(line: Line) -> None:
    switch.disable_connection(line.connection, by=line.person)
    set_up(line)
    planner = line.sandbox.ip.accounts[ACCOUNT]
    planner.orders.clear()
    made = line.sandbox.ip.make_order(ACCOUNT)
    made["created_at"] = timezone.now().isoformat()
    line.connection.refresh_from_db()
    switch.enable_connection(line.connection, by=line.person)
    run_now(line.orders, "orders_import")
    assert state() == ("new", "off_period")
    assert act(line, actions.reprocess) == "asks_first"
    assert act(line, actions.release) == "changed"
    drain()
    assert state() == ("open", "")


def test_a_warehouse_is_chosen_for_an_order_that_matched_none(line: Line) -> None:
    planner = line.sandbox.ip.accounts[ACCOUNT]
    planner.orders[:] = [planner.order("1042")]
    set_up(line)
    line.connection.remote_warehouse = "elsewhere"
    line.connection.save()
    run_now(line.orders, "orders_import")
    assert state() == ("new", "no_route")
    assert act(line, actions.reprocess) == "choose_warehouse"
    page = client_of(line.person)
    url = reverse("connections:order_route", args=[the_order().public_id])
    page.post(url, {"connection": "x"})
    assert state() == ("new", "no_route")
    page.post(url, {"connection": str(line.connection.public_id)})
    drain()
    assert state() == ("open", "")
    assert decided() == ["order.routed"]


def test_an_order_finds_a_connection_that_came_later(line: Line) -> None:
    planner = line.sandbox.ip.accounts[ACCOUNT]
    planner.orders[:] = [planner.order("1042")]
    set_up(line)
    there = remote(line, "1042")["warehouse"]
    Connection.objects.update(remote_warehouse="elsewhere")
    run_now(line.orders, "orders_import")
    Connection.objects.update(remote_warehouse=there)
    assert act(line, actions.reprocess) == "changed"
    drain()
    assert state() == ("open", "")


def test_an_order_that_could_not_be_read_is_read_again_when_asked(line: Line) -> None:
    """Its document is kept; what holds it stands, until the document can be read."""
    planner = line.sandbox.ip.accounts[ACCOUNT]
    planner.orders[:] = [planner.order("1042")]
    items = remote(line, "1042")["items"]
    remote(line, "1042")["items"] = "none"
    set_up(line)
    run_now(line.orders, "orders_import")
    assert state() == ("error", "unreadable")
    assert act(line, actions.reprocess) == "unreadable"
    order = the_order()
    order.document["items"] = items  # what a later version would make of it
    order.save()
    assert act(line, actions.reprocess) == "changed"
    assert state() == ("new", "")
    assert the_order().lines.count() == len(items)


# --- The pages


@pytest.fixture
def three(cast: Cast) -> list[PurchaseOrder]:
    """One that can be deleted, one at the warehouse, one of another merchant."""
    of = bare_line(cast.merchant)
    other = bare_line(cast.other_merchant)
    made = [bare_order(of, "A", "S"), bare_order(of, "B", "S", status="open")]
    HandOver.objects.create(
        account=cast.acme,
        store=of.store,
        external_id=made[1].external_id,
        file_name="f",
    )
    return [*made, bare_order(other, "C", "S")]


def send(client: Client, go: str, orders: list[PurchaseOrder], **more: str) -> str:
    sent = {"go": go, "row": [str(order.public_id) for order in orders], **more}
    return client.post(
        reverse("connections:order_act"), sent, follow=True
    ).content.decode()


def test_many_at_once_each_for_itself(cast: Cast, three: list[PurchaseOrder]) -> None:
    """Deleting asks first; what cannot be is said with its reason."""
    client = client_of(cast.staff)
    asked = send(client, "delete", three)
    assert "Delete these 3?" in asked
    assert PurchaseOrder.objects.count() == 3
    said = send(client, "delete", three, confirmed="1")
    assert "Delete: 2 done." in said
    assert "Delete: 1 not done. It was sent to the warehouse." in said
    assert the_order().reference == "B"
    said = send(client, "archive", three)
    assert "Archive: 1 done." in said
    assert "nothing to do for 1." in send(client, "archive", three)


def test_orders_out_of_sight_are_left_alone(
    cast: Cast, three: list[PurchaseOrder]
) -> None:
    """T1: as if they were not there."""
    send(client_of(cast.scoped_staff), "archive", three)
    statuses = dict(PurchaseOrder.objects.values_list("reference", "status"))
    assert statuses == {"A": "archived", "B": "archived", "C": "new"}
    assert "Choose at least one" in send(client_of(cast.stranger), "archive", three)
    url = reverse("connections:order_act")
    assert client_of(cast.merchant_user).post(url, {"go": "archive"}).status_code == 403


def test_force_delete_is_the_administrators(
    cast: Cast, three: list[PurchaseOrder]
) -> None:
    page = reverse("connections:order", args=[three[1].public_id])
    staff, boss = client_of(cast.staff), client_of(cast.administrator)
    assert "Force Delete" not in staff.get(page).content.decode()
    url = reverse("connections:order_act")
    sent = {"go": "force-delete", "row": str(three[1].public_id), "confirmed": "1"}
    assert staff.post(url, sent).status_code == 403
    assert "Force Delete" in boss.get(page).content.decode()
    boss.post(url, {**sent, "page": str(three[1].public_id)})
    assert not PurchaseOrder.objects.filter(reference="B").exists()


def test_sending_again_is_typed(cast: Cast, three: list[PurchaseOrder]) -> None:
    order = three[1]
    PurchaseOrder.objects.filter(pk=order.pk).update(status="new", held="sent_before")
    client = client_of(cast.staff)
    url = reverse("connections:order_send", args=[order.public_id])
    assert "f</code>" in client.get(url).content.decode()
    for typed in ("", "C", "b"):
        client.post(url, {"go": "send", "number": typed})
        assert PurchaseOrder.objects.get(pk=order.pk).held == "sent_before"
    client.post(url, {"go": "send", "number": " B "})
    assert PurchaseOrder.objects.get(pk=order.pk).held != "sent_before"
    assert decided() == ["order.sent_again"]


def test_keeping_as_sent_needs_no_typing(
    cast: Cast, three: list[PurchaseOrder]
) -> None:
    order = three[0]
    PurchaseOrder.objects.filter(pk=order.pk).update(held="restored")
    url = reverse("connections:order_send", args=[order.public_id])
    client_of(cast.staff).post(url, {"go": "keep"})
    order.refresh_from_db()
    assert (order.status, order.held) == ("open", "")
