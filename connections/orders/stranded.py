"""Orders without a connection: that matched none, or whose connection was deleted."""

from __future__ import annotations

from collections import defaultdict
from functools import reduce
from operator import or_

from django.db.models import Q
from django.utils import timezone

from connections.models import Connection, HandOver, PurchaseOrder, activity
from connections.orders import receipts
from connections.orders.routing import Routes
from connections.orders.standing import ASKING, hold_at
from connections.runs.context import RunContext

Held = PurchaseOrder.Held
Status = PurchaseOrder.Status

# They need none: nothing more is done with them.
ENDED = (Status.CANCELED, Status.CLOSED, Status.ARCHIVED)
# Then other stores have their turn, and the run goes on behind them.
ORDERS_A_TURN = 500


def strand(connection: Connection) -> None:
    """Hold the New orders of a connection that is about to be deleted.

    Nothing would send them. What asks a person goes on asking. All remember whose
    warehouse they were for.
    """
    connection.purchase_orders.update(stranded_from=connection.warehouse_id)
    waiting = connection.purchase_orders.filter(status=Status.NEW)
    waiting.exclude(held__in=ASKING).update(
        held=Held.NO_ROUTE, changed_at=timezone.now()
    )


def give_routes(context: RunContext) -> None:
    """Give orders without a connection the one of their warehouse, once there is one.

    What was sent is not sent again: its receipts reach it.
    """
    stranded = PurchaseOrder.objects.filter(
        store=context.store, connection=None
    ).exclude(status__in=ENDED)
    there = stranded.order_by().values_list("remote_warehouse", flat=True).distinct()
    routes = Routes(context.store)
    found = {name: to for name in there if (to := routes.of(name)) is not None}
    names = defaultdict(list)
    for name, to in found.items():
        names[to.warehouse_id].append(name)
    # One that a warehouse has, or was meant for, is no other warehouse's by itself.
    fitting = [
        Q(remote_warehouse__in=of, stranded_from=None)
        | Q(remote_warehouse__in=of, stranded_from=warehouse)
        for warehouse, of in names.items()
    ]
    if not fitting:
        return
    with context.fenced():
        rows = stranded.select_for_update().filter(reduce(or_, fitting))
        orders = list(rows.prefetch_related("lines").order_by("pk")[:ORDERS_A_TURN])
        if not orders:
            return
        sent = set(
            HandOver.objects.filter(
                store=context.store,
                external_id__in=[order.external_id for order in orders],
            ).values_list("external_id", flat=True)
        )
        for order in orders:
            to = found[order.remote_warehouse]
            order.store = context.store
            sent_before = order.external_id in sent
            order.held = hold_at(to, order, routes, sent_before=sent_before)
            order.connection, order.changed_at = to, timezone.now()
        PurchaseOrder.objects.bulk_update(orders, ["connection", "held", "changed_at"])
        receipts.read_again(orders)
        activity.write(
            activity.line_of(
                "order_routed",
                connection=found[order.remote_warehouse],
                run=context.run,
                order=order,
                number=str(order),
            )
            for order in orders
        )
    context.count("orders_routed", len(orders))
    context.goes_on = context.goes_on or len(orders) == ORDERS_A_TURN
