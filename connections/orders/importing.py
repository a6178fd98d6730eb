"""Import purchase orders: each remote order is one row, whatever happens in between.

A page is a transaction and a fixed number of statements, however many orders it has;
one whose documents are all known costs one query.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from django.utils import timezone

from connections.alerts import ledger
from connections.failpoints import failpoint
from connections.models import (
    Connection,
    HandOver,
    PurchaseOrder,
    PurchaseOrderLine,
    activity,
)
from connections.orders import hand_over, reading, receipts, same_account, storing
from connections.orders.difference import difference
from connections.orders.routing import Routes, held_by_content
from connections.orders.storing import LONGEST_ERROR, NewOrder
from connections.platforms import (
    OrderDocument,
    OrderPage,
    OrderSession,
    RemoteLine,
    RemoteOrder,
    UnreadableOrder,
)
from connections.runs.context import DUPLICATES_PREVENTED, RunContext

Held = PurchaseOrder.Held
Status = PurchaseOrder.Status

Order = RemoteOrder | UnreadableOrder

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
    known = storing.known(context.store, page.documents)
    new, changed = [], []
    for external_id, document in page.documents.items():
        row = known.get(external_id)
        if row is not None and row.digest != document.digest:
            changed.append(document)
        elif page.is_of_changes:
            continue  # not wanted, or read with those that match
        elif row is None:
            new.append(document)
        elif row.held == Held.UNREADABLE:
            context.count("orders_unreadable")
    if new or changed:
        sent = _sent(context, [document.external_id for document in (*new, *changed)])
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
    documents: Sequence[OrderDocument],
    routes: Routes,
    sent: set[str],
) -> None:
    """Take the wanted ones among those that are not known.

    Typed as they are written, so that the database has work meanwhile.
    """
    pks = storing.take_ids(len(documents))
    wanted: list[NewOrder] = []

    def lines() -> Iterator[tuple[int, Sequence[RemoteLine]]]:
        for pk, document in zip(pks, documents, strict=True):
            order = document.order()
            if order.wanted:
                fate = routes.fate(order, sent_before=order.external_id in sent)
                wanted.append(NewOrder(pk, document, order, fate))
                yield pk, order.lines if isinstance(order, RemoteOrder) else ()

    storing.write_lines(context.store, lines())
    if not wanted:
        return
    storing.write_orders(context.store, wanted)
    readable = [new for new in wanted if new.fate.held != Held.UNREADABLE]
    if readable:
        context.count("orders_imported", len(readable))
    if len(readable) < len(wanted):
        context.count("orders_unreadable", len(wanted) - len(readable))
    repeated = sum(new.fate.held == Held.SENT_BEFORE for new in wanted)
    if repeated:
        context.count(DUPLICATES_PREVENTED, repeated)
    events = [
        _event("order_unreadable", new, reason=new.order.reason[:LONGEST_ERROR])
        if isinstance(new.order, UnreadableOrder)
        else _event("order_imported", new, held=new.fate.held)
        for new in wanted
    ]
    _tell(context, events)
    receipts.read_again_for(  # after its import on the timeline
        {name for new in readable for name in (new.order.external_id, str(new))},
        {new.connection.warehouse_id for new in readable if new.connection},
    )


def _change(
    context: RunContext,
    documents: Sequence[OrderDocument],
    routes: Routes,
    sent: set[str],
) -> None:
    """Take changes over before the hand-over; afterwards only record them.

    Of one that the filter leaves out nothing is known when it cannot be read.
    """
    changed = {
        document.external_id: (document, order)
        for document in documents
        if isinstance(order := document.order(), RemoteOrder) or order.wanted
    }
    unreadable = sum(
        isinstance(order, UnreadableOrder) for _, order in changed.values()
    )
    if unreadable:
        context.count("orders_unreadable", unreadable)
    known = list(
        PurchaseOrder.objects.select_for_update(of=("self",))
        .filter(store=context.store, external_id__in=changed)
        .select_related("connection")
        .prefetch_related("lines")
        .order_by("pk")
    )
    rows = _take_documents(known, changed)
    if not rows:
        return
    now = timezone.now()
    perhaps_seen = hand_over.under_way(rows).filter(announced__gt=0)
    under_way = set(perhaps_seen.values_list("subject", flat=True))
    events: list[Event] = []
    taken: list[tuple[PurchaseOrder, Order]] = []
    for row in rows:
        _, order = changed[row.external_id]
        # A file that may be there tells what stood here when it was made; one that is
        # not gives way. What a person has edited is theirs; a change is shown beside it.
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
        row.changed_at = now
    PurchaseOrder.objects.bulk_update(rows, CHANGEABLE)
    hand_over.outdate([row for row, _ in taken])
    lines = {row: order.lines for row, order in taken if isinstance(order, RemoteOrder)}
    PurchaseOrderLine.objects.filter(order__in=lines).delete()
    storing.write_lines(context.store, ((row.pk, of) for row, of in lines.items()))
    receipts.count_anew(lines)
    context.count("orders_changed", len(rows))
    _tell(context, events)


def _take_documents(
    known: Sequence[PurchaseOrder], came: Mapping[str, tuple[OrderDocument, Order]]
) -> list[PurchaseOrder]:
    """Let rows hold what came; return those to which it says something new.

    To the others it says the same in other words, or their hash was made another way by
    an earlier version: only that is written.
    """
    changed: list[PurchaseOrder] = []
    as_before: list[PurchaseOrder] = []
    for row in known:
        document, _ = came[row.external_id]
        (as_before if row.document == document.content else changed).append(row)
        row.document, row.content_hash = document.content, document.digest
    PurchaseOrder.objects.bulk_update(as_before, ["content_hash"])
    return changed


class Event(NamedTuple):
    """A line of an order's timeline, to be written with the others of its page."""

    name: str
    order_id: int
    connection: Connection | None
    facts: dict[str, Any]


def _event(name: str, of: PurchaseOrder | NewOrder, **facts: Any) -> Event:
    return Event(name, of.pk, of.connection, {"number": str(of), **facts})


def _take_over(
    row: PurchaseOrder,
    order: Order,
    routes: Routes,
    sent: set[str],
) -> list[Event]:
    """Change a row that no warehouse knows yet."""
    if isinstance(order, UnreadableOrder):
        _set_aside(row, order)
        return [_event("order_unreadable", row, reason=order.reason)]
    if row.held in (Held.UNREADABLE, Held.NO_ROUTE):
        storing.set_header(row, order)
        row.status, row.error = Status.NEW, ""
        row.connection, row.held = routes.fate(
            order, sent_before=order.external_id in sent
        )
    else:
        if row.remote_warehouse != order.warehouse:
            row.connection = routes.of(order.warehouse)
        storing.set_header(row, order)
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
    header = storing.header(order)
    for name in KEPT_CURRENT:
        setattr(row, name, getattr(header, name))
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
    row.error = order.reason[:LONGEST_ERROR]


def _tell(context: RunContext, events: Sequence[Event]) -> None:
    """Write the timelines, and raise an alert for what a person must see to."""
    run = context.run
    activity.write(
        activity.Line(to.account_id, to.pk, run.pk, order_id, name, facts)
        for name, order_id, to, facts in events
        if to is not None
    )
    for name, code in ALERTS.items():
        concerned = [event.facts["number"] for event in events if event.name == name]
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
