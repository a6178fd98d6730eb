"""What people decide about purchase orders (dropstream.md §6, Actions).

Each decision is made on the locked row, audited in the same transaction, and counts once
however often it is made. What cannot be is refused, with its reason in
`connections/messages.py` (REFUSALS).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from django.db import transaction
from django.db.models import Model
from django.utils import timezone

from connections import platforms
from connections.models import (
    Channel,
    Connection,
    HandOver,
    PurchaseOrder,
    SyncRun,
)
from connections.orders import hand_over, reading, receipts, storing
from connections.orders.routing import Routes
from connections.orders.standing import (
    ASKING,
    PERHAPS_SENT,
    hold_at,
    hold_of_content,
    standing,
)
from connections.platforms import RemoteOrder
from connections.runs import queue
from connections.runs.jobs import ORDERS_IMPORT, ORDERS_STATUS, Job
from stores import audit
from stores.models import User

R = TypeVar("R", bound=Model)

Held = PurchaseOrder.Held
Status = PurchaseOrder.Status

# They do not move on by themselves.
ENDED = (Status.ERROR, Status.CANCELED, Status.CLOSED, Status.ARCHIVED)


class RefusedError(Exception):
    """It cannot be; `code` says why."""

    def __init__(self, code: str) -> None:
        self.code = code
        super().__init__(code)


@dataclass
class Outcome:
    """What became of an action on several orders."""

    changed: int = 0
    unchanged: int = 0  # it was so already, or the order is gone
    refused: Counter[str] = field(default_factory=Counter)


Action = Callable[[PurchaseOrder, User], bool]


def each(action: Action, orders: Iterable[PurchaseOrder], by: User) -> Outcome:
    """Do an action on each order, in a transaction of its own; the next step begins now.

    Where the connection or its channel is off it begins once they are on.
    """
    outcome, changed = one_by_one(action, orders, by)
    begin_next_step(changed, by)
    return outcome


def one_by_one(
    action: Callable[[R, User], bool], rows: Iterable[R], by: User
) -> tuple[Outcome, list[int]]:
    """Do it and count; returns the ids of the changed rows as well."""
    outcome, changed = Outcome(), []
    for row in rows:
        pk: int = row.pk  # gone when it is deleted
        try:
            if action(row, by):
                changed.append(pk)
            else:
                outcome.unchanged += 1
        except RefusedError as refusal:
            outcome.refused[refusal.code] += 1
    outcome.changed = len(changed)
    return outcome, changed


@transaction.atomic
def archive(order: PurchaseOrder, by: User) -> bool:
    """Stop it and keep it: it is not sent, and not imported again."""
    row = locked(order)
    if row is None or row.status == Status.ARCHIVED:
        return False
    _check(row, "archive")
    return _decide(row, by, "archived", status=Status.ARCHIVED)


@transaction.atomic
def reprocess(order: PurchaseOrder, by: User) -> bool:
    """Try the latest step again; revive what had come to its end."""
    row = locked(order)
    if row is None:
        return False
    if row.held == Held.UNREADABLE:
        return _take_as_it_came(row, by, "reprocessed")
    if has_no_route(row):
        to = Routes(row.store).of(row.remote_warehouse)
        if to is None:
            raise RefusedError("choose_warehouse")
        return _route(row, to, by, "reprocessed")
    if row.is_held:
        changes = {"held": _hold_after_look(row)}
    elif row.status in ENDED or row.write_refused:
        status, held = standing(row)
        changes = {"status": status, "held": held, **_NOT_REFUSED}
    else:
        changes = {}
    return _decide(row, by, "reprocessed", **changes)


@transaction.atomic
def reset(order: PurchaseOrder, by: User) -> bool:
    """Undo all that was done and edited here, as if it had just been imported.

    The tombstone survives: what was sent is held, and asks before it is sent again.
    """
    row = locked(order)
    if row is None:
        return False
    _check(row, "reset")
    return _take_as_it_came(row, by, "reset")


@transaction.atomic
def delete(order: PurchaseOrder, by: User, *, force: bool = False) -> bool:
    """Remove it for good; the source keeps it, so it may be imported again.

    Its tombstone survives: then it asks before it is sent again. So do its receipts,
    as those of an order that is not known; they count on it when it is back.
    `force`: what was sent to the warehouse as well, without archiving it first.
    """
    row = locked(order)
    if row is None:
        return False
    _check(row, "delete", but="was_sent" if force else "")
    facts = {"status": row.status, "external_id": row.external_id}
    name = "order.force_deleted" if force else "order.deleted"
    audit.record(name, row, by=by, before=facts)
    receipts.let_go(row)
    row.delete()
    reading.read_all_next(row.store)
    return True


def force_delete(order: PurchaseOrder, by: User) -> bool:
    """The same of one that was sent to the warehouse; for administrators."""
    return delete(order, by, force=True)


@transaction.atomic
def release(order: PurchaseOrder, by: User) -> bool:
    """Import anyway what was made while the connection was off."""
    row = locked(order)
    if row is None or not row.is_held:
        return False
    if row.held != Held.OFF_PERIOD:
        raise RefusedError("asks_first")
    return _let_go_on(row, by, "imported_anyway")


@transaction.atomic
def send_again(order: PurchaseOrder, by: User) -> bool:
    """Hand over what was, or perhaps was, handed over before; whoever asks has typed it."""
    row = locked(order)
    if row is None or row.held not in PERHAPS_SENT or not row.is_held:
        return False
    return _let_go_on(row, by, "sent_again")


@transaction.atomic
def keep_as_sent(order: PurchaseOrder, by: User) -> bool:
    """Say that the warehouse has it: it waits for receipts and is not sent again."""
    row = locked(order)
    if row is None or row.held not in PERHAPS_SENT or not row.is_held:
        return False
    HandOver.objects.get_or_create(
        store=row.store,
        external_id=row.external_id,
        file_name="",  # none of ours
        defaults={"account_id": row.account_id},
    )
    return _decide(row, by, "kept_as_sent", status=Status.OPEN, held="")


@transaction.atomic
def choose_warehouse(order: PurchaseOrder, to: Connection, by: User) -> bool:
    """Route an order that has no connection to one of its store's."""
    row = locked(order)
    if row is None or row.connection_id == to.pk:
        return False
    if row.store_id != to.store_id or not has_no_route(row):
        raise RefusedError("has_warehouse")
    return _route(row, to, by, "routed")


def has_no_route(order: PurchaseOrder) -> bool:
    """Whether it goes nowhere: it matched no connection, or its own was deleted."""
    goes_on = order.status in (*order.RECEIVING, Status.RECEIVED)
    return order.connection_id is None and goes_on and order.held not in ASKING


def why_not(order: PurchaseOrder) -> dict[str, str]:
    """The actions that an order bars by what it is, each with the code of the reason."""
    barred = {}
    if order.status == Status.ARCHIVED:
        barred["archive"] = "is_archived"
    elif order.tombstones().exists():
        barred["delete"] = "was_sent"
    if order.receipts.exists():
        barred["reset"] = "has_receipts"
    if order.status != Status.NEW:
        barred["edit"] = "is_sent"
    if hand_over.under_way([order]).exists():  # it is followed to its end first
        todo = ("archive", "delete", "force-delete", "reset", "edit")
        barred |= dict.fromkeys(todo, "on_its_way")
    return barred


def _check(order: PurchaseOrder, action: str, *, but: str = "") -> None:
    """Raise RefusedError where the order bars an action for another reason than `but`."""
    refusal = why_not(order).get(action, "")
    if refusal not in ("", but):
        raise RefusedError(refusal)


_NOT_REFUSED: dict[str, Any] = {
    "write_refused": "",
    "error": "",
    "write_effect": "",
    "write_attempts": 0,
}


def locked(order: PurchaseOrder) -> PurchaseOrder | None:
    """The order as it stands now, locked; None when it is gone."""
    rows = PurchaseOrder.objects.select_for_update(of=("self",))
    joined = rows.select_related("store", "account", "connection__warehouse")
    return joined.filter(pk=order.pk).first()


def _take_as_it_came(order: PurchaseOrder, by: User, what: str) -> bool:
    """Let the row be what its document says, as at its import; but for the tombstone."""
    there = _as_it_came(order)
    routes = Routes(order.store)
    connection = routes.of(there.warehouse)
    sent_before = order.tombstones().exists()
    order.lines.all().delete()
    storing.write_lines(order.store, [(order.pk, there.lines)])
    changed = _decide(
        order,
        by,
        what,
        status=Status.NEW,
        held=routes.held(there, connection, sent_before=sent_before),
        connection=connection,
        difference=[],
        edited_at=None,
        acknowledged_at=None,
        acknowledgement="",
        **storing.header(there)._asdict(),
        **_NOT_REFUSED,
    )
    receipts.count_anew([order])
    return changed


def _as_it_came(order: PurchaseOrder) -> RemoteOrder:
    """The platform's document, typed. Raises RefusedError when it cannot be read."""
    there = platforms.order_source(order.store).parse(order.store, order.document)
    if isinstance(there, RemoteOrder):
        return there
    raise RefusedError("unreadable")


def _route(order: PurchaseOrder, to: Connection, by: User, what: str) -> bool:
    sent_before = order.tombstones().exists()
    held = hold_at(to, order, Routes(order.store), sent_before=sent_before)
    _decide(order, by, what, connection=to, held=held)
    receipts.read_again([order])
    return True


def _let_go_on(order: PurchaseOrder, by: User, what: str) -> bool:
    """End a hold; what in the order itself is wrong holds it all the same."""
    lost = order.connection_id is None  # its connection was deleted meanwhile
    held = Held.NO_ROUTE if lost else hold_of_content(order)
    return _decide(order, by, what, held=held)


def _hold_after_look(order: PurchaseOrder) -> str:
    """Look again at what holds an order. Raises RefusedError while it does."""
    if order.held in ASKING:
        raise RefusedError("asks_first")
    held = hold_of_content(order)
    if held:
        raise RefusedError(held)  # its name is that of the reason
    return held


def _decide(order: PurchaseOrder, by: User, what: str, **changes: Any) -> bool:
    """Change the locked row and record who decided it."""
    before = {name: _plain(getattr(order, name)) for name in changes}
    for name, value in changes.items():
        setattr(order, name, value)
    order.changed_at = timezone.now()
    order.save(update_fields=[*changes, "changed_at"])
    after = {name: _plain(value) for name, value in changes.items()}
    audit.record(f"order.{what}", order, by=by, before=before, after=after)
    return True


def _plain(value: Any) -> Any:
    """As the audit keeps it."""
    return value if value is None or isinstance(value, str | int) else str(value)


def begin_next_step(orders: Collection[int], by: User) -> None:
    """Queue the next step of these orders, as a person who does not want to wait would."""
    rows = PurchaseOrder.objects.filter(pk__in=orders)
    jobs: set[tuple[int, Job]] = set()
    for connection, status, held in rows.values_list("connection", "status", "held"):
        if connection is None:
            continue
        if status == Status.NEW and not held:
            jobs.add((connection, ORDERS_IMPORT))
        elif status in (*PurchaseOrder.RECEIVING, Status.RECEIVED):
            jobs.add((connection, ORDERS_STATUS))
    channels = {
        channel.connection_id: channel
        for channel in Channel.objects.filter(
            type=Channel.Type.PURCHASE_ORDERS,
            connection__in=[connection for connection, _job in jobs],
        ).select_related("connection")
    }
    for connection, job in jobs:
        if connection in channels:
            queue.enqueue(channels[connection], job, SyncRun.Trigger.PERSON, by=by)
