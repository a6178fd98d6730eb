"""What a stock run does."""

from __future__ import annotations

from functools import partial

from connections.runs.context import RunContext
from connections.stock import ingest, push
from connections.stock import master_data as master

# Among a run's counts: every level was sent, whatever became of the rest.
ALL_SENT = "all_sent"


def changes(context: RunContext) -> None:
    """Smart Sync: read the warehouse's reports, push what changed.

    One side's trouble does not stop the other.
    """
    context.do_all(ingest.read_reports, partial(push.push, full=False))


def full(context: RunContext) -> None:
    """Full Sync: read the warehouse's reports, push every level.

    One side's trouble does not stop the other.
    """
    context.do_all(ingest.read_reports, _push_all)


def master_data(context: RunContext) -> None:
    """Tell the platform of warehouses, vendors and variants, as they are now."""
    ingest.read_reports(context)
    master.send(context)


def _push_all(context: RunContext) -> None:
    """Push every level; a later try, which is for the warehouse, what changed since.

    Not so when it was asked for again meanwhile.
    """
    run = context.run
    was_sent = run.tries > 1 and run.counts.get(ALL_SENT, False)
    context.counts[ALL_SENT] = was_sent
    push.push(context, full=not was_sent)
    context.counts[ALL_SENT] = "waiting_for" not in context.counts
