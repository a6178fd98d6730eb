"""Where an order stands by what is known of it, whatever its status says."""

from __future__ import annotations

from collections.abc import Collection

from connections import platforms
from connections.models import (
    Connection,
    Delivery,
    PurchaseOrder,
    PurchaseOrderLine,
)
from connections.orders.overdue import is_overdue
from connections.orders.routing import Routes
from connections.platforms import RemoteOrder

Held = PurchaseOrder.Held
Status = PurchaseOrder.Status

# Whoever answers these says that the warehouse has, or has not, got the order.
PERHAPS_SENT = (Held.SENT_BEFORE, Held.RESTORED)
ASKING = (*PERHAPS_SENT, Held.OFF_PERIOD)


def standing(order: PurchaseOrder) -> tuple[str, str]:
    """The status of an order that is to go on, and what holds it; from its facts alone."""
    received = status_of(order, order.lines.all())
    if received is not None:
        return received, ""
    if order.held:
        return Status.NEW, order.held
    if _is_at_warehouse(order):
        return Status.OPEN, ""  # the sweep finds it if it is late
    if order.tombstones().exists():
        return Status.NEW, Held.SENT_BEFORE  # by a row that is gone, or before a reset
    if order.connection_id is None:
        return Status.NEW, Held.NO_ROUTE
    return Status.NEW, hold_of_content(order)


def status_of(
    order: PurchaseOrder, lines: Collection[PurchaseOrderLine]
) -> Status | None:
    """What the received quantities make of an order; None while nothing has come."""
    if not any(line.received > 0 for line in lines):
        return None
    if all(line.received >= line.quantity for line in lines):
        return Status.RECEIVED
    return Status.DELAYED if is_overdue(order) else Status.PARTIALLY_RECEIVED


def hold_at(
    connection: Connection, order: PurchaseOrder, routes: Routes, *, sent_before: bool
) -> str:
    """What holds an order that had no connection when it gets this one.

    What is not New is at the warehouse, or at its end: it is not sent.
    """
    if order.status != Status.NEW or order.held in ASKING:
        return order.held
    there = platforms.order_source(order.store).parse(order.store, order.document)
    if isinstance(there, RemoteOrder):
        held = routes.held(there, connection, sent_before=sent_before)
        if held in ASKING:
            return held
    return hold_of_content(order)  # lines may have been edited


def hold_of_content(order: PurchaseOrder) -> str:
    """What in the order itself, as it stands here, keeps it from the warehouse."""
    there = platforms.order_source(order.store).parse(order.store, order.document)
    if not isinstance(there, RemoteOrder) or not there.sendable:
        return Held.NOT_SENDABLE
    lines = order.lines.all()
    if not lines or any(not line.sku or line.quantity <= 0 for line in lines):
        return Held.LINE_ERROR
    return ""


def _is_at_warehouse(order: PurchaseOrder) -> bool:
    """Whether this very row was sent, or said to be there by a person."""
    sent = Delivery.objects.filter(
        subject=str(order.public_id), state=Delivery.State.DELIVERED
    )
    return sent.exists() or order.tombstones().filter(file_name="").exists()
