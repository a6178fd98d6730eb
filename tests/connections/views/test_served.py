"""Which of the platform's warehouses a connection serves (design.md §3, Routing)."""

from __future__ import annotations

from django.test import Client

from connections.models import Connection, PurchaseOrder, SyncRun
from tests import factories
from tests.connections.orders.test_flow import remote, set_up
from tests.connections.views.test_inventory import client_of
from tests.connections.views.test_order_list import order
from tests.connections.wizard.walk import log_in
from tests.engine import drain, run_now
from tests.factories import Cast, Line
from tests.household import Household

WARNING = "does not say which warehouse it serves"


def page(client: Client, of: Connection) -> str:
    return client.get(f"/connections/{of.public_id}/").content.decode()


def say(client: Client, of: Connection, served: str) -> str:
    """Send the page's form; return the page that follows."""
    url = f"/connections/{of.public_id}/serves/"
    answer = client.post(url, {"remote_warehouse": served}, follow=True)
    return answer.content.decode()


def test_each_of_a_stores_connections_says_which_orders_are_its_own(
    line: Line,
) -> None:
    set_up(line)
    run_now(line.orders, "orders_import")
    sent = PurchaseOrder.objects.filter(status="open").count()
    second = factories.connection(
        line.store, factories.warehouse(line.warehouse.merchant, code="WH2")
    )
    new = line.sandbox.ip.make_order("123456")
    run_now(line.orders, "orders_import")
    lost = PurchaseOrder.objects.get(external_id=new["id"])
    assert lost.held == "no_route"
    client = client_of(line.person)
    assert WARNING in page(client, line.connection)
    assert f'<option value="{new["warehouse"]}">' in page(client, line.connection)
    shown = say(client, line.connection, new["warehouse"])
    assert "was saved" in shown
    assert WARNING not in shown
    assert WARNING in page(client, second)
    drain()
    lost.refresh_from_db()
    assert (lost.connection, lost.status) == (line.connection, "open")
    assert PurchaseOrder.objects.filter(status="open").count() == sent + 1
    assert remote(line, lost.reference)["warehouse"] == new["warehouse"]


def test_no_two_connections_of_a_store_serve_one_warehouse(
    cast: Cast, rows: Household
) -> None:
    other = factories.connection(
        rows.store, factories.warehouse(cast.merchant, code="WH2")
    )
    client = log_in(cast.staff)
    for _again in "12":
        say(client, rows.connection, " c501_WH1 ")
    rows.connection.refresh_from_db()
    assert rows.connection.remote_warehouse == "c501_WH1"
    assert SyncRun.objects.filter(job="orders_import").count() == 1
    refused = say(client, other, "c501_WH1")
    assert "takes the orders for this warehouse already" in refused
    assert 'value="c501_WH1"' in refused  # what was typed is not lost
    assert WARNING not in page(client, rows.connection)
    say(client, rows.connection, "")
    assert WARNING in page(client, rows.connection)


def test_a_stores_only_connection_is_not_warned_of_and_merchants_are_not_asked(
    cast: Cast, rows: Household
) -> None:
    order(rows.connection, "P-1", "A")
    shown = page(log_in(cast.staff), rows.connection)
    assert WARNING not in shown
    assert "Which orders come here" in shown
    assert "Which orders come here" not in page(
        log_in(cast.merchant_user), rows.connection
    )
