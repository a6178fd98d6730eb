"""Import purchase orders: each remote order is one row, whatever happens in between.

A page is a transaction and a fixed number of statements, however many orders it has;
one whose documents are all known costs one query.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import connection as database
from django.utils import timezone

from connections import platforms
from connections.alerts import ledger
from connections.failpoints import failpoint
from connections.models import (
    HandOver,
    PurchaseOrder,
    PurchaseOrderLine,
    activity,
)
from connections.orders import hand_over, reading, receipts, same_account
from connections.orders.difference import difference
from connections.orders.routing import Routes, held_by_content
from connections.platforms import (
    OrderPage,
    OrderSession,
    RemoteOrder,
    UnreadableOrder,
)
from connections.runs.context import DUPLICATES_PREVENTED, RunContext

Held = PurchaseOrder.Held
Status = PurchaseOrder.Status

# Then other stores have their turn, and the run goes on behind them (I15).
PAGES_A_TURN = 50
# After the hand-over the warehouse knows these; the platform's words are kept current.
KEPT_CURRENT = ("remote_status", "remote_modified_at")
CHANGEABLE = (
    *("connection", "reference", "vendor", "remote_warehouse", "remote_status"),
    *("remote_modified_at", "remote_created_at", "expected_on", "document"),
    *("content_hash", "status", "held", "error", "difference", "changed_at"),
)
# Where the warehouse was told something that may differ by now.
TOLD = (Status.OPEN, Status.PARTIALLY_RECEIVED, Status.DELAYED, Status.RECEIVED)

ALERTS = {"order_unreadable": "orders_unreadable", "order_differs": "order_differs"}

TAKE_IDS = """
    SELECT nextval(pg_get_serial_sequence('connections_purchaseorder', 'id'))
    FROM generate_series(1, %s)
"""
# Documents are large: as parameters of an INSERT they would be quoted letter by letter.
COPY_ORDERS = """
    COPY connections_purchaseorder
        (id, public_id, account_id, store_id,
         connection_id, external_id, reference, vendor,
         remote_warehouse, remote_status,
         remote_modified_at, remote_created_at, expected_on,
         status, held, error,
         document, content_hash, imported_at, changed_at,
         acknowledgement, write_effect, write_attempts, write_refused)
    FROM STDIN
"""
COPY_LINES = """
    COPY connections_purchaseorderline
        (order_id, store_id, external_id, line_id, sku, title,
         quantity, received, received_there)
    FROM STDIN
"""


def import_orders(context: RunContext, session: OrderSession) -> None:
    """Read the orders that match and changed; store each page, then mark how far.

    Raises WireError, and Problem("other_account").
    """
    mark, routes = reading.begin(context, session.scope), Routes(context.store)
    for number, page in enumerate(reading.pages(mark, session), start=1):
        if number == 1:
            same_account.check_page(context.store, session, page)
        with context.fenced():
            _store(context, page, routes)
            reading.turn(mark, page)
            failpoint("orders.storing")
        failpoint("orders.stored")
        if number >= PAGES_A_TURN and page.next_page is not None:
            context.goes_on = True
            return
    reading.finish(context, mark)
    _close_alert(context)
    failpoint("orders.marked")


def _store(context: RunContext, page: OrderPage, routes: Routes) -> None:
    # The same order may stand on two pages when rows moved meanwhile (I8).
    wanted = {order.external_id: order for order in page.orders}
    found = {order.external_id: order for order in page.others} | wanted
    known = dict(
        PurchaseOrder.objects.filter(
            store=context.store, external_id__in=found
        ).values_list("external_id", "content_hash")
    )
    unreadable = sum(isinstance(order, UnreadableOrder) for order in wanted.values())
    if unreadable:
        context.count("orders_unreadable", unreadable)
    new = [order for order in wanted.values() if order.external_id not in known]
    changed = {
        external_id: found[external_id]
        for external_id, digest in known.items()
        if digest != found[external_id].digest
    }
    if new or changed:
        sent = _sent(context, [*changed, *wanted])
        if new:
            _add(context, new, routes, sent)
        if changed:
            _change(context, changed, routes, sent)


def _sent(context: RunContext, external_ids: Iterable[str]) -> set[str]:
    """Those that have a tombstone."""
    sent = HandOver.objects.filter(store=context.store, external_id__in=external_ids)
    return set(sent.values_list("external_id", flat=True))


def _add(
    context: RunContext,
    new: Sequence[RemoteOrder | UnreadableOrder],
    routes: Routes,
    sent: set[str],
) -> None:
    rows = []
    for pk, order in zip(_ids(len(new)), new, strict=True):
        row = PurchaseOrder(
            pk=pk,
            account_id=context.run.account_id,
            store=context.store,
            external_id=order.external_id,
        )
        _take(row, order, routes, sent)
        rows.append(row)
    pairs = list(zip(rows, new, strict=True))
    _write_orders(pairs)
    _write_lines(pairs)
    readable = [row for row in rows if row.held != Held.UNREADABLE]
    if readable:
        context.count("orders_imported", len(readable))
    repeated = sum(row.held == Held.SENT_BEFORE for row in rows)
    if repeated:
        context.count(DUPLICATES_PREVENTED, repeated)
    events = [
        _event("order_unreadable", row, reason=row.error)
        if row.held == Held.UNREADABLE
        else _event("order_imported", row, held=row.held)
        for row in rows
    ]
    _tell(context, events)
    receipts.read_again(readable)  # after its import on the timeline


def _change(
    context: RunContext,
    changed: Mapping[str, RemoteOrder | UnreadableOrder],
    routes: Routes,
    sent: set[str],
) -> None:
    """Take changes over before the hand-over; afterwards only record them."""
    rows = list(
        PurchaseOrder.objects.select_for_update(of=("self",))
        .filter(store=context.store, external_id__in=changed)
        .select_related("connection")
        .prefetch_related("lines")
        .order_by("pk")
    )
    hand_over.take_back([row for row in rows if _is_over(changed[row.external_id])])
    under_way = set(hand_over.under_way(rows).values_list("subject", flat=True))
    now = timezone.now()
    events: list[Event] = []
    taken: list[tuple[PurchaseOrder, RemoteOrder | UnreadableOrder]] = []
    for row in rows:
        order = changed[row.external_id]
        # A file that is on its way was told what stood here when it was made. What a
        # person has edited is theirs; the platform's change is shown beside it.
        is_under_way = str(row.public_id) in under_way
        is_told = is_under_way or row.edited_at is not None
        is_new = row.status == Status.NEW and not is_told
        is_set_aside = row.status == Status.ERROR and row.held == Held.UNREADABLE
        if is_new or is_set_aside:
            events += _take_over(row, order, routes, sent)
            taken.append((row, order))
        elif isinstance(order, UnreadableOrder):
            events.append(_event("order_unreadable", row, reason=order.reason))
        else:
            events += _record(row, order, is_told=is_told)
            is_waiting = row.status == Status.NEW and not (is_under_way or row.held)
            if is_waiting and not order.sendable:
                row.held = Held.NOT_SENDABLE
        row.document, row.content_hash = json.loads(order.document), order.digest
        row.changed_at = now
    PurchaseOrder.objects.bulk_update(rows, CHANGEABLE)
    readable = [(row, order) for row, order in taken if row.held != Held.UNREADABLE]
    PurchaseOrderLine.objects.filter(order__in=[row for row, _ in readable]).delete()
    _write_lines(readable)
    receipts.count_anew([row for row, _ in readable])
    context.count("orders_changed", len(rows))
    _tell(context, events)


def _is_over(order: RemoteOrder | UnreadableOrder) -> bool:
    """Whether nothing of it is to be sent any more."""
    return isinstance(order, RemoteOrder) and (order.canceled or not order.sendable)


@dataclass(frozen=True)
class Event:
    """A line of an order's timeline, to be written with the others of its page."""

    name: str
    row: PurchaseOrder
    facts: Mapping[str, Any]


def _event(name: str, row: PurchaseOrder, **facts: Any) -> Event:
    return Event(name, row, {"number": str(row), **facts})


def _take(
    row: PurchaseOrder,
    order: RemoteOrder | UnreadableOrder,
    routes: Routes,
    sent: set[str],
) -> None:
    """Let a row be what came, and decide what becomes of it."""
    row.connection = routes.of(order.warehouse)
    if isinstance(order, UnreadableOrder):
        row.reference = order.reference[:256]
        row.remote_warehouse = order.warehouse[:256]
        _set_aside(row, order)
        return
    _set_header(row, order)
    row.status, row.error = Status.NEW, ""
    row.held = routes.held(order, row.connection, sent_before=order.external_id in sent)


def _take_over(
    row: PurchaseOrder,
    order: RemoteOrder | UnreadableOrder,
    routes: Routes,
    sent: set[str],
) -> list[Event]:
    """Change a row that no warehouse knows yet."""
    if isinstance(order, UnreadableOrder):
        _set_aside(row, order)
        return [_event("order_unreadable", row, reason=order.reason)]
    if row.held in (Held.UNREADABLE, Held.NO_ROUTE):
        _take(row, order, routes, sent)
    else:
        if row.remote_warehouse != order.warehouse[:256]:
            row.connection = routes.of(order.warehouse)
        _set_header(row, order)
        if row.connection is None:
            row.held = Held.NO_ROUTE
        elif row.held in ("", Held.NOT_SENDABLE, Held.LINE_ERROR):
            row.held = held_by_content(order)
    if order.canceled:
        row.status, row.held = Status.CANCELED, ""
    return [_event("order_changed", row, status=order.status)]


def _record(row: PurchaseOrder, order: RemoteOrder, *, is_told: bool) -> list[Event]:
    """Keep the platform's words current, and say what differs from what was sent."""
    status_before, told = row.remote_status, row.difference
    header = _header(order)
    for name in KEPT_CURRENT:
        setattr(row, name, header[name])
    if row.status in TOLD or is_told:
        given_up = [order.status] if order.canceled else []
        row.difference = given_up + difference(row, order)
    if order.canceled and row.status in (Status.NEW, Status.OPEN, Status.DELAYED):
        row.status = Status.CANCELED
    if row.difference and row.difference != told:
        text = "; ".join(row.difference)
        return [_event("order_differs", row, difference=text)]
    if row.remote_status != status_before:
        return [_event("order_changed_after", row, status=order.status)]
    return []


def _set_aside(row: PurchaseOrder, order: UnreadableOrder) -> None:
    row.status, row.held = Status.ERROR, Held.UNREADABLE
    row.error = order.reason[:500]


def _set_header(row: PurchaseOrder, order: RemoteOrder) -> None:
    for name, value in _header(order).items():
        setattr(row, name, value)


def _header(order: RemoteOrder) -> dict[str, Any]:
    return {
        "reference": order.reference[:256],
        "vendor": order.vendor[:256],
        "remote_warehouse": order.warehouse[:256],
        "remote_status": order.status[:256],
        "remote_modified_at": order.modified_at,
        "remote_created_at": order.created_at,
        "expected_on": order.expected_on,
    }


def _ids(count: int) -> list[int]:
    """Take primary keys, so that orders and lines can be copied in one go each."""
    with database.cursor() as cursor:
        cursor.execute(TAKE_IDS, [count])
        return [pk for (pk,) in cursor.fetchall()]


def _write_orders(
    pairs: Iterable[tuple[PurchaseOrder, RemoteOrder | UnreadableOrder]],
) -> None:
    now = timezone.now()
    with database.cursor() as cursor, cursor.copy(COPY_ORDERS) as copy:
        for row, order in pairs:
            copy.write_row(
                (
                    *(row.pk, row.public_id, row.account_id, row.store_id),
                    *(row.connection_id, row.external_id, row.reference, row.vendor),
                    *(row.remote_warehouse, row.remote_status),
                    *(row.remote_modified_at, row.remote_created_at, row.expected_on),
                    *(row.status, row.held, row.error),
                    *(order.document, order.digest, now, now, "", "", 0, ""),
                )
            )


def _write_lines(
    pairs: Iterable[tuple[PurchaseOrder, RemoteOrder | UnreadableOrder]],
) -> None:
    with database.cursor() as cursor, cursor.copy(COPY_LINES) as copy:
        for row, order in pairs:
            if isinstance(order, UnreadableOrder):
                continue
            for line in order.lines:
                copy.write_row(
                    (
                        row.pk,
                        row.store_id,
                        line.external_id,
                        line.line_id,
                        line.sku[:256],
                        line.title[:256],
                        line.quantity,
                        0,
                        line.received,
                    )
                )


def _tell(context: RunContext, events: Sequence[Event]) -> None:
    """Write the timelines, and raise an alert for what a person must see to."""
    activity.write(
        activity.line_of(
            event.name,
            connection=event.row.connection,
            run=context.run,
            order=event.row,
            **event.facts,
        )
        for event in events
        if event.row.connection is not None
    )
    for name, code in ALERTS.items():
        concerned = [str(event.row) for event in events if event.name == name]
        if concerned:
            ledger.raise_alert(
                code,
                channel=context.channel,
                job=context.run.job,
                detail=", ".join(concerned)[:500],
            )


def _close_alert(context: RunContext) -> None:
    """Nothing is unreadable any more, or a person has put it aside."""
    waiting = PurchaseOrder.objects.filter(
        store=context.store, status=Status.ERROR, held=Held.UNREADABLE
    )
    if not waiting.exists():
        ledger.close_alert("orders_unreadable", channel=context.channel)


def open_session(context: RunContext) -> OrderSession | None:
    """Start a session, or note what the store waits for and return None."""
    source = platforms.order_source(context.store)
    waits_for = source.missing(context.store)
    if waits_for:
        context.counts["waiting_for"] = waits_for
        return None
    return source.open(context.store, context.deadline())
