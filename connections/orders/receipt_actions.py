"""What people decide about receipts; quantities never count twice (dropstream.md §6)."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from django.db import transaction

from connections.models import PurchaseOrder, Receipt
from connections.orders import actions, receipts
from connections.orders.actions import Outcome, RefusedError
from stores import audit
from stores.models import User

State = Receipt.State
ReceiptAction = Callable[[Receipt, User], bool]


def each(action: ReceiptAction, rows: Iterable[Receipt], by: User) -> Outcome:
    """Do an action on each receipt; what it changes on orders is told to the platform."""
    rows = list(rows)
    outcome, changed = actions.one_by_one(action, rows, by)
    touched = Receipt.objects.filter(pk__in=changed).exclude(order=None)
    actions.begin_next_step(touched.values_list("order", flat=True), by)
    return outcome


@transaction.atomic
def archive(receipt: Receipt, by: User) -> bool:
    """Let it count no more; what the store platform was told already stays told."""
    row, order = _locked(receipt)
    if row is None or row.state == State.ARCHIVED:
        return False
    _set(row, State.ARCHIVED)
    if order is not None:
        receipts.add_up_anew(order)
    _record(row, by, "archived")
    return True


@transaction.atomic
def reprocess(receipt: Receipt, by: User) -> bool:
    """Try the latest step again: find its order, match its lines, add up, tell.

    A file that was refused is read again by the next run, if it is still in /out.
    """
    row, order = _locked(receipt)
    if row is None:
        return False
    if row.is_refused_file:
        _record(row, by, "reprocessed")
        row.delete()
        return True
    if order is None:
        _adopt(row)
    else:
        if row.state in (State.ARCHIVED, State.ERROR):
            _set(row, receipts.first_state(order))
        receipts.match_lines(row, order, only_unknown=True)
        receipts.add_up(order)
    _record(row, by, "reprocessed")
    return True


@transaction.atomic
def reset(receipt: Receipt, by: User) -> bool:
    """As if it had just come: its order and its lines are looked for anew."""
    row, before = _locked(receipt)
    if row is None:
        return False
    if row.is_refused_file:
        return reprocess(row, by)
    row.order_name = row.order_name or (before.external_id if before else "")
    row.order = None
    row.save(update_fields=["order", "order_name"])
    row.lines.update(line=None)
    if before is not None:
        receipts.add_up_anew(before)
    _adopt(row)
    _record(row, by, "reset")
    return True


def why_not(receipt: Receipt) -> dict[str, str]:
    """The actions that a receipt bars by what it is, each with the code of the reason."""
    return {"archive": "is_archived"} if receipt.state == State.ARCHIVED else {}


def _adopt(receipt: Receipt) -> None:
    if receipts.adopt(receipt) is None:
        raise RefusedError("order_unknown")


def _locked(receipt: Receipt) -> tuple[Receipt | None, PurchaseOrder | None]:
    """The receipt and its order, locked: the order first, as the runs do."""
    order = None
    if receipt.order_id is not None:
        rows = PurchaseOrder.objects.select_for_update(of=("self",))
        joined = rows.select_related("store", "account", "connection")
        order = joined.filter(pk=receipt.order_id).first()
    rows_ = Receipt.objects.select_for_update(of=("self",)).select_related("warehouse")
    row = rows_.filter(pk=receipt.pk).first()
    if row is not None and row.order_id != receipt.order_id:
        return _locked(row)  # it moved while we waited
    return row, order


def _set(receipt: Receipt, state: State) -> None:
    receipt.state, receipt.error = state, ""
    receipt.save(update_fields=["state", "error"])


def _record(receipt: Receipt, by: User, what: str) -> None:
    audit.record(f"receipt.{what}", receipt, by=by, after={"state": receipt.state})
