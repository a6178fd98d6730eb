"""What a purchase-order run does (design.md §3, Channel → work)."""

from __future__ import annotations

from collections.abc import Callable

from connections import platforms
from connections.orders import hand_over, importing, receipts, stranded, write_back
from connections.platforms import OrderSession
from connections.runs.context import RunContext


def import_and_hand_over(context: RunContext) -> None:
    """Fetch, hand over, read receipts; one side's trouble does not stop the other."""
    steps = (_fetch, hand_over.hand_over, receipts.read_receipts)
    context.do_all(stranded.give_routes, *steps)


def update_status(context: RunContext) -> None:
    """Read receipts, write back; one side's trouble does not stop the other."""
    context.do_all(receipts.read_receipts, _write_back)


def _fetch(context: RunContext) -> None:
    _in_session(context, importing.import_orders)


def _write_back(context: RunContext) -> None:
    _in_session(context, write_back.write_back)
    with context.fenced():
        receipts.settle(context.connection)


def _in_session(
    context: RunContext, work: Callable[[RunContext, OrderSession], None]
) -> None:
    session = _open_session(context)
    if session is None:
        return
    try:
        work(context, session)
    finally:
        session.close()


def _open_session(context: RunContext) -> OrderSession | None:
    """Start a session, or note what the store waits for and return None."""
    source = platforms.order_source(context.store)
    waits_for = source.missing(context.store)
    if waits_for:
        context.counts["waiting_for"] = waits_for
        return None
    return source.open(context.store, context.deadline())
