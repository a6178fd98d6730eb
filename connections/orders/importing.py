"""Import purchase orders: each remote order is one row, whatever happens in between."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

from django.utils import timezone

from connections import platforms
from connections.failpoints import failpoint
from connections.models import (
    Connection,
    HandOver,
    OffPeriod,
    PurchaseOrder,
    PurchaseOrderLine,
)
from connections.models.activity import note
from connections.orders import receipts
from connections.platforms import OrderSession, RemoteOrder, UnreadableOrder
from connections.runs.context import RunContext
from connections.warehouses.platforms import exchanges_files

Held = PurchaseOrder.Held
Status = PurchaseOrder.Status


def import_orders(context: RunContext, session: OrderSession) -> None:
    """Read every matching order and store it; one transaction a page. Raises WireError."""
    for page in session.orders():
        readable = [order for order in page if isinstance(order, RemoteOrder)]
        for order in page:
            if isinstance(order, UnreadableOrder):
                context.count("orders_unreadable")
                context.note(
                    "order_unreadable",
                    number=order.external_id,
                    reason=order.reason,
                )
        with context.fenced():
            _store(context, readable)
            failpoint("orders.storing")
        failpoint("orders.stored")


def _store(context: RunContext, remote: Sequence[RemoteOrder]) -> None:
    # The same order may stand on two pages when rows moved meanwhile (I8).
    by_id = {order.external_id: order for order in remote}
    known = {
        order.external_id: order
        for order in PurchaseOrder.objects.select_for_update()
        .filter(store=context.store, external_id__in=by_id)
        .order_by("pk")
    }
    sent_before = set(
        HandOver.objects.filter(store=context.store, external_id__in=by_id).values_list(
            "external_id", flat=True
        )
    )
    routes = _Routes(context)
    added = []
    for external_id, order in by_id.items():
        row = known.get(external_id)
        if row is None:
            sent = external_id in sent_before
            added.append(_add(context, order, routes, sent_before=sent))
        elif row.content_hash != _hash(order.document):
            _change(context, row, order)
    if added:
        receipts.read_again(added)


class _Routes:
    """Which connection of the store an order goes to: exactly one, never a guess."""

    def __init__(self, context: RunContext) -> None:
        self._connections = list(
            Connection.objects.filter(store=context.store).select_related("warehouse")
        )
        self._off_periods = list(
            OffPeriod.objects.filter(
                connection__in=self._connections, ended_at__isnull=False
            )
        )

    def of(self, order: RemoteOrder) -> Connection | None:
        matching = [
            connection
            for connection in self._connections
            if connection.remote_warehouse == order.warehouse
        ]
        if len(matching) == 1:
            return matching[0]
        only = self._connections[0] if len(self._connections) == 1 else None
        return only if only and not only.remote_warehouse else None

    def made_while_off(self, order: RemoteOrder, connection: Connection) -> bool:
        at = order.created_at
        return at is not None and any(
            period.connection_id == connection.pk
            and period.started_at <= at
            and (period.ended_at is None or at < period.ended_at)
            for period in self._off_periods
        )

    def perhaps_sent(self, order: RemoteOrder, connection: Connection) -> bool:
        """Made before the database was restored: by now lost rows may have sent it."""
        before, at = connection.orders_doubted_before, order.created_at
        if before is None or not exchanges_files(connection.warehouse):
            return False
        return at is None or at < before


def _add(
    context: RunContext, order: RemoteOrder, routes: _Routes, *, sent_before: bool
) -> PurchaseOrder:
    connection = routes.of(order)
    held = _held(order)
    if connection is None:
        held = Held.NO_ROUTE
    elif sent_before:
        held = Held.SENT_BEFORE
    elif routes.perhaps_sent(order, connection):
        held = Held.RESTORED
    elif routes.made_while_off(order, connection):
        held = Held.OFF_PERIOD
    row = PurchaseOrder.objects.create(
        account_id=context.run.account_id,
        store=context.store,
        external_id=order.external_id,
        connection=connection,
        held=held,
        **_header(order),
    )
    _write_lines(row, order)
    context.count("orders_imported")
    if connection is not None:
        note(
            "order_imported",
            connection=connection,
            run=context.run,
            order=row,
            number=str(row),
            held=held,
        )
    return row


def _change(context: RunContext, row: PurchaseOrder, order: RemoteOrder) -> None:
    """Take a change over before the hand-over; afterwards only record it."""
    before_hand_over = row.status == Status.NEW
    canceled = _means_canceled(order) and row.status in (Status.NEW, Status.OPEN)
    header = _header(order)
    if not before_hand_over:
        # What the warehouse was told stays; the platform's words are kept current.
        kept = ("remote_status", "remote_modified_at", "document", "content_hash")
        header = {name: header[name] for name in kept}
    for name, value in header.items():
        setattr(row, name, value)
    if canceled and before_hand_over:
        row.status, row.held = Status.CANCELED, ""
    elif before_hand_over and row.held in ("", Held.NOT_SENDABLE, Held.LINE_ERROR):
        row.held = _held(order)
    row.changed_at = timezone.now()
    row.save()
    if before_hand_over:
        _write_lines(row, order)
    context.count("orders_changed")
    if row.connection is not None:
        note(
            "order_changed" if before_hand_over else "order_changed_after",
            connection=row.connection,
            run=context.run,
            order=row,
            number=str(row),
            status=order.status,
        )


def _header(order: RemoteOrder) -> dict[str, Any]:
    return {
        "reference": order.reference[:256],
        "vendor": order.vendor[:256],
        "remote_warehouse": order.warehouse[:256],
        "remote_status": order.status[:256],
        "remote_modified_at": order.modified_at,
        "remote_created_at": order.created_at,
        "expected_on": order.expected_on,
        "document": order.document,
        "content_hash": _hash(order.document),
        "changed_at": timezone.now(),
    }


def _held(order: RemoteOrder) -> str:
    if not order.sendable:
        return Held.NOT_SENDABLE
    if not order.lines or any(
        not line.sku or line.quantity <= 0 for line in order.lines
    ):
        return Held.LINE_ERROR
    return ""


def _means_canceled(order: RemoteOrder) -> bool:
    return order.status.strip().casefold() in ("cancelled", "canceled")


def _write_lines(row: PurchaseOrder, order: RemoteOrder) -> None:
    row.lines.all().delete()
    PurchaseOrderLine.objects.bulk_create(
        PurchaseOrderLine(
            order=row,
            store_id=row.store_id,
            external_id=line.external_id,
            line_id=line.line_id,
            sku=line.sku[:256],
            title=line.title[:256],
            quantity=line.quantity,
            received_there=line.received,
        )
        for line in order.lines
    )


def _hash(document: dict[str, Any]) -> str:
    text = json.dumps(document, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def open_session(context: RunContext) -> OrderSession | None:
    """Start a session, or note what the store waits for and return None."""
    source = platforms.order_source(context.store)
    waits_for = source.missing(context.store)
    if waits_for:
        context.counts["waiting_for"] = waits_for
        return None
    return source.open(context.store, context.deadline())
