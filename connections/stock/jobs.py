"""What a stock run does."""

from __future__ import annotations

from connections.runs.context import RunContext
from connections.stock import ingest, push


def changes(context: RunContext) -> None:
    """Smart Sync: read the warehouse's reports, push what changed."""
    ingest.read_reports(context)
    push.push(context, full=False)


def full(context: RunContext) -> None:
    """Full Sync: read the warehouse's reports, push every level."""
    ingest.read_reports(context)
    push.push(context, full=True)
