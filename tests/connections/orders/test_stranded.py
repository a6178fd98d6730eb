"""Orders whose connection was deleted, or that never had one, find their way."""

from __future__ import annotations

from decimal import Decimal

from django.urls import reverse

from connections.models import Connection, HandOver, PurchaseOrder, Receipt
from connections.orders import actions
from tests import factories
from tests.connections.orders.test_flow import remote, set_up
from tests.connections.views.test_inventory import client_of
from tests.engine import run_now
from tests.factories import Cast, Line
from tests.household import household


def delete(connection: Connection, line: Line) -> None:
    url = reverse("connections:delete", args=[connection.public_id])
    assert client_of(line.person).post(url).status_code == 302


def anew(line: Line) -> Connection:
    """The same store and warehouse, connected once more."""
    return factories.connection(line.store, line.warehouse)


def stands() -> dict[str, tuple[str, str, bool]]:
    return {
        order.reference: (order.status, order.held, order.connection_id is not None)
        for order in PurchaseOrder.objects.all()
    }


def test_orders_outlive_their_connection_and_go_on_with_the_next(line: Line) -> None:
    set_up(line)
    remote(line, "1044")["items"][0]["sku"] = ""
    run_now(line.orders, "orders_import")
    line.sandbox.warehouse.tick()
    delete(line.connection, line)
    assert stands() == {
        "1042": ("open", "", False),
        "1043": ("open", "", False),
        "1044": ("new", "no_route", False),
    }
    second = anew(line)
    channel = second.channels.get(type="purchase_orders")
    # The receipts are read before the orders have found their connection.
    run_now(channel, "orders_status")
    assert set(Receipt.objects.values_list("order", flat=True)) == {None}
    run = run_now(channel, "orders_import")
    assert run.counts["orders_routed"] == 3
    assert stands() == {
        "1042": ("received", "", True),
        "1043": ("received", "", True),
        "1044": ("new", "line_error", True),
    }
    run_now(channel, "orders_status")
    assert remote(line, "1042")["status"] == "CLOSED"
    assert HandOver.objects.count() == 2
    assert line.far_warehouse.doubled() == []
    assert "orders_routed" not in run_now(channel, "orders_import").counts


def test_no_other_warehouse_takes_what_was_for_the_one_that_is_gone(line: Line) -> None:
    """design.md §3, Routing: never guessed; a person may choose it."""
    set_up(line)
    remote(line, "1044")["items"][0]["sku"] = ""
    run_now(line.orders, "orders_import")
    delete(line.connection, line)
    other = factories.connection(
        line.store, factories.warehouse(line.warehouse.merchant, code="WH2")
    )
    run = run_now(other.channels.get(type="purchase_orders"), "orders_import")
    assert "orders_routed" not in run.counts
    assert {connected for _status, _held, connected in stands().values()} == {False}
    order = PurchaseOrder.objects.get(reference="1044")
    assert actions.each(
        lambda row, by: actions.choose_warehouse(row, other, by), [order], line.person
    ).changed
    order.refresh_from_db()
    assert order.connection == other


def test_what_was_sent_and_stands_as_new_asks_at_its_new_connection(
    line: Line,
) -> None:
    set_up(line)
    run_now(line.orders, "orders_import")
    PurchaseOrder.objects.filter(reference="1042").update(status="new")  # a reset
    delete(line.connection, line)
    run_now(anew(line).channels.get(type="purchase_orders"), "orders_import")
    assert stands()["1042"] == ("new", "sent_before", True)
    assert line.far_warehouse.doubled() == []


def test_where_nothing_matches_a_person_chooses_also_for_what_was_sent(
    cast: Cast,
) -> None:
    of = household(cast.merchant, cast.staff)
    order, line = of.order, of.order.lines.get()
    order.status = "open"
    order.connection = None
    order.save()
    second = factories.connection(
        of.store, factories.warehouse(cast.merchant, code="WH2")
    )
    assert actions.each(actions.reprocess, [order], cast.staff).refused == {
        "choose_warehouse": 1
    }
    client = client_of(cast.staff)
    page = client.get(reverse("connections:order", args=[order.public_id]))
    assert "Choose this warehouse" in page.content.decode()
    early = Receipt.objects.create(
        account=cast.acme,
        warehouse=second.warehouse,
        external_id="R-early",
        order_name=order.external_id,
        state="error",
    )
    early.lines.create(sku=line.sku, quantity=1)
    url = reverse("connections:order_route", args=[order.public_id])
    client.post(url, {"connection": str(second.public_id)})
    assert stands() == {order.reference: ("partially_received", "", True)}
    line.refresh_from_db()
    assert line.received == Decimal(3)  # with the household's own receipt
