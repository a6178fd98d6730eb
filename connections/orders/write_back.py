"""Tell the store platform what was received: quantities first, then the status.

Read before write, absolute quantities that are never lowered, the echo verified by
reading again, at most two writes per effect (inventory-planner.md §3.6).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from decimal import Decimal

from django.db.models import Exists, F, OuterRef, Q, QuerySet
from django.utils import timezone

from connections import platforms
from connections.failpoints import failpoint
from connections.models import PurchaseOrder, PurchaseOrderLine
from connections.models.activity import note
from connections.orders import receipts, same_account
from connections.platforms import Acknowledgement, OrderSession, RemoteOrder
from connections.problems import Problem
from connections.runs.context import DUPLICATES_PREVENTED, RunContext
from connections.wire.errors import Kind, WireError

WRITES_PER_EFFECT = 2
# At a request a second and five for an order, within a run's deadline; then other stores
# have their turn, and the run goes on behind them.
ORDERS_A_TURN = 40
Status = PurchaseOrder.Status


class _ChangedMeanwhileError(Exception):
    """The order is not what it was when it was read; it is looked at anew."""


def write_back(context: RunContext, session: OrderSession) -> None:
    """Write what each order owes; one order's refusal never stops the others.

    Raises WireError for what concerns all of them: network, key, throttling; and
    Problem("other_account").
    """
    source = platforms.order_source(context.store)
    wanted = source.acknowledgement(context.store)
    stumbled: WireError | None = None
    owing = _owing(context, wanted).order_by("pk")
    todo = list(owing.values_list("pk", flat=True)[: ORDERS_A_TURN + 1])
    context.goes_on = context.goes_on or len(todo) > ORDERS_A_TURN
    for pk in todo[:ORDERS_A_TURN]:
        # Minutes may have passed since the list was made, and people decide meanwhile.
        order = owing.filter(pk=pk).first()
        if order is None:
            continue
        try:
            _write(context, session, order, wanted, source.same_status)
        except _ChangedMeanwhileError:
            context.goes_on = True
        except Problem as problem:
            if problem.code == "other_account":
                raise
            _refuse(context, order, problem)
        except WireError as error:
            if _is_refusal(error) or _is_tried_enough(order, error):
                _refuse(context, order, error)
            elif error.code == "api_server_error":
                # Perhaps this order's fault (§2.7): the others have their turn first.
                stumbled = error
            else:
                raise
    if stumbled is not None:
        raise stumbled


def _is_refusal(error: WireError) -> bool:
    """Whether the platform will not have this order's change, now or later (I4)."""
    return error.kind == Kind.NEEDS_PERSON and error.code != "api_key_refused"


def _is_tried_enough(order: PurchaseOrder, error: WireError) -> bool:
    """A 500 is how it refuses a bad write as well: one repetition tells (§2.7)."""
    return _is_500(error) and order.write_attempts >= WRITES_PER_EFFECT


def _is_500(error: WireError) -> bool:
    return error.code == "api_server_error" and error.status == 500


def _owing(context: RunContext, wanted: Acknowledgement) -> QuerySet[PurchaseOrder]:
    """Orders with quantities or a status that the platform does not hold yet."""
    owed = Q(pk__in=[])
    if wanted.send_quantities:
        lines = PurchaseOrderLine.objects.filter(order=OuterRef("pk"))
        owed |= Q(Exists(lines.filter(received__gt=F("received_there"))))
    if wanted.status:
        due = [Status.RECEIVED]
        if wanted.on_import:
            due += [Status.OPEN, Status.PARTIALLY_RECEIVED, Status.DELAYED]
        owed |= Q(status__in=due, acknowledged_at__isnull=True)
    orders = PurchaseOrder.objects.filter(
        owed, connection=context.connection, write_refused=""
    ).exclude(status=Status.ARCHIVED)
    # Documents are large, and no part of this.
    return orders.defer("document")


def _write(
    context: RunContext,
    session: OrderSession,
    order: PurchaseOrder,
    wanted: Acknowledgement,
    same: Callable[[str, str], bool],
) -> None:
    remote = _readable(session, order)
    done_there = bool(wanted.status) and same(remote.status, wanted.status)
    if not done_there:
        _check_untouched(remote)
    if wanted.send_quantities:
        remote = _write_quantities(context, session, order, remote)
    status_due = wanted.on_import or order.status == Status.RECEIVED
    if wanted.status and status_due and order.acknowledged_at is None:
        _write_status(context, session, order, remote, wanted.status, same)


def _write_quantities(
    context: RunContext,
    session: OrderSession,
    order: PurchaseOrder,
    remote: RemoteOrder,
) -> RemoteOrder:
    lines = list(order.lines.all())
    external_ids = [line.external_id for line in lines]
    if len(set(external_ids)) != len(external_ids):
        raise Problem("order_lines_ambiguous")
    there = {line.external_id: line.received for line in remote.lines}
    ours = {line.external_id: line.received for line in lines}
    owed = {
        external_id: received
        for external_id, received in ours.items()
        if external_id in there and received > there[external_id]
    }
    over: set[str] = set()
    if owed:
        try:
            _set_received(context, session, order, owed)
        except WireError as error:
            over = _received_too_much(remote, owed)
            if not over or not (_is_refusal(error) or _is_500(error)):
                raise
            owed = _as_ordered(remote, owed)
            _set_received(context, session, order, owed)
        remote = _readable(session, order)
        there = {line.external_id: line.received for line in remote.lines}
        if any(
            there.get(name, Decimal(0)) < received for name, received in owed.items()
        ):
            raise Problem("echo_mismatch", "received quantities")
        context.count("quantities_written", len(owed))
    with context.fenced():
        for line in lines:
            # A line that is gone there can never be told: it owes nothing any more. Nor
            # does one of which no more is taken than was ordered.
            known = line.external_id in there and line.external_id not in over
            told = there[line.external_id] if known else line.received
            line.received_there = max(told, line.received_there)
            line.save(update_fields=["received_there"])
        if owed:
            _note(context, order, "order_quantities_sent", lines=len(owed))
        if over:
            _note(context, order, "order_received_too_much", lines=len(over))
    failpoint("quantities.recorded")
    return remote


def _set_received(
    context: RunContext,
    session: OrderSession,
    order: PurchaseOrder,
    owed: dict[str, Decimal],
) -> None:
    if not owed:
        return
    _intend(context, order, f"received {sorted(owed.items())}")
    failpoint("quantities.intended")
    session.set_received(order.external_id, owed)
    failpoint("quantities.written")


def _received_too_much(remote: RemoteOrder, owed: dict[str, Decimal]) -> set[str]:
    """Lines of which more came than was ordered: not every account takes that (§3.6)."""
    return {
        line.external_id
        for line in remote.lines
        if owed.get(line.external_id, line.quantity) > line.quantity
    }


def _as_ordered(remote: RemoteOrder, owed: dict[str, Decimal]) -> dict[str, Decimal]:
    """What is left to tell when no line may hold more than was ordered."""
    return {
        line.external_id: received
        for line in remote.lines
        if line.external_id in owed
        and (received := min(owed[line.external_id], line.quantity)) > line.received
    }


def _write_status(
    context: RunContext,
    session: OrderSession,
    order: PurchaseOrder,
    remote: RemoteOrder,
    status: str,
    same: Callable[[str, str], bool],
) -> None:
    if not same(remote.status, status):
        _intend(context, order, _status_effect(status))
        failpoint("status.intended")
        session.set_status(order.external_id, status)
        failpoint("status.written")
        remote = _readable(session, order)
        if not same(remote.status, status):
            raise Problem("echo_mismatch", f"status is {remote.status}")
        context.count("statuses_written")
    elif order.write_effect == _digest(_status_effect(status)):
        context.count(DUPLICATES_PREVENTED)  # written, and not recorded
    with context.fenced():
        order.acknowledged_at = timezone.now()
        order.acknowledgement = status
        order.remote_status = remote.status
        order.save(
            update_fields=["acknowledged_at", "acknowledgement", "remote_status"]
        )
        _note(context, order, "order_acknowledged", status=status)
    failpoint("status.recorded")


def _readable(session: OrderSession, order: PurchaseOrder) -> RemoteOrder:
    remote = session.read(order.external_id)
    if remote is None:
        same_account.check(order.store, session, gone=order.external_id)
        raise Problem("order_gone")
    return remote


def _check_untouched(remote: RemoteOrder) -> None:
    """Leave alone what somebody else locked, closed or cancelled (I4, I10)."""
    if remote.readonly:
        raise Problem("order_readonly")
    if not remote.sendable:
        raise Problem("order_moved_there", remote.status)


def _status_effect(status: str) -> str:
    return f"status {status}"


def _digest(effect: str) -> str:
    return hashlib.sha256(effect.encode()).hexdigest()


def _intend(context: RunContext, order: PurchaseOrder, effect: str) -> None:
    """Count a write before it is made; a third one for the same effect is not (I11).

    What a person has decided since the order was read counts: a status cannot be taken
    back there.
    """
    digest = _digest(effect)
    with context.effect():
        rows = PurchaseOrder.objects.select_for_update(of=("self",))
        if not rows.filter(pk=order.pk, changed_at=order.changed_at).exists():
            raise _ChangedMeanwhileError
        attempts = order.write_attempts if order.write_effect == digest else 0
        if attempts < WRITES_PER_EFFECT:
            order.write_effect, order.write_attempts = digest, attempts + 1
            order.save(update_fields=["write_effect", "write_attempts"])
            receipts.notifying(order)
            return
    raise Problem("echo_mismatch", "two writes did not stick")


def _refuse(
    context: RunContext, order: PurchaseOrder, error: Problem | WireError
) -> None:
    with context.fenced():
        order.write_refused, order.error = error.code, error.detail
        order.save(update_fields=["write_refused", "error"])
        # One that somebody archived meanwhile stays so.
        row = PurchaseOrder.objects.filter(pk=order.pk)
        row.exclude(status=Status.ARCHIVED).update(status=Status.ERROR)
        receipts.not_notified(order)
        _note(context, order, "order_write_refused", code=error.code)
    context.count("orders_refused")


def _note(
    context: RunContext, order: PurchaseOrder, event: str, **facts: object
) -> None:
    note(
        event,
        connection=context.connection,
        run=context.run,
        order=order,
        number=str(order),
        **facts,
    )
