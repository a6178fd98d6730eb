"""What a purchase-order run does (design.md §3, Channel → work)."""

from __future__ import annotations

from connections.orders import hand_over, importing, receipts, write_back
from connections.runs.context import RunContext


def import_and_hand_over(context: RunContext) -> None:
    """Fetch, hand over, read receipts."""
    session = importing.open_session(context)
    if session is not None:
        try:
            importing.import_orders(context, session)
        finally:
            session.close()
    hand_over.hand_over(context)
    receipts.read_receipts(context)


def update_status(context: RunContext) -> None:
    """Read receipts, write back."""
    receipts.read_receipts(context)
    session = importing.open_session(context)
    if session is None:
        return
    try:
        write_back.write_back(context, session)
    finally:
        session.close()
