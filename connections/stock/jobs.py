"""What a stock run does."""

from __future__ import annotations

from connections.runs.context import RunContext
from connections.stock import ingest, push
from connections.stock import master_data as master


def changes(context: RunContext) -> None:
    """Smart Sync: read the warehouse's reports, push what changed."""
    ingest.read_reports(context)
    push.push(context, full=False)


def full(context: RunContext) -> None:
    """Full Sync: read the warehouse's reports, push every level."""
    ingest.read_reports(context)
    push.push(context, full=True)


def master_data(context: RunContext) -> None:
    """Tell the platform of warehouses, vendors and variants, as they are now."""
    ingest.read_reports(context)
    master.send(context)
