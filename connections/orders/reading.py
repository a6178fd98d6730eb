"""Where a store's reading of orders stands, so that the next run can go on from there.

A mark moves only after a reading that came to its end, and the next one overlaps it: an
outage of any length, or a page that moved, loses nothing (inventory-planner.md §3.5, I9).
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from django.db.models.functions import Now

from connections.models import OrderReading
from connections.platforms import OrderPage, OrderSession
from connections.runs.context import RunContext
from stores.models import Store

OVERLAP = timedelta(hours=24)
ALL_EVERY = timedelta(hours=24)


def begin(context: RunContext, scope: str) -> OrderReading:
    """Go on with the reading under way, or begin the next: a full one once a day."""
    with context.fenced():
        OrderReading.objects.bulk_create(
            [OrderReading(store=context.store, scope=scope)], ignore_conflicts=True
        )
        rows = OrderReading.objects.annotate(now=Now())
        reading = rows.get(store=context.store)
        now: datetime = reading.now
        if reading.scope != scope:
            reading.scope, reading.begun_at = scope, None
            reading.read_at = reading.all_read_at = None
        if reading.begun_at is None:
            all_at = reading.all_read_at
            is_full = all_at is None or all_at + ALL_EVERY <= now
            reading.begun_at, reading.next_page, reading.changes_page = now, 0, None
            reading.since = None if is_full else changed_since(reading)
        reading.save()
    return reading


def read_all_next(store: Store) -> None:
    """Let the next run read everything: what was deleted here is to be found again."""
    OrderReading.objects.filter(store=store).update(all_read_at=None, begun_at=None)


def pages(reading: OrderReading, session: OrderSession) -> Iterator[OrderPage]:
    """Yield what matches, then what may have left the filter since it was read.

    Goes on where an earlier run stood: the page before counts again, orders may have
    moved up. The write-back does not look at orders that wait here, so those of the
    second list tell what becomes of them.
    """
    if reading.changes_page is None:
        first = max(reading.next_page - 1, 0)
        yield from session.orders(since=reading.since, first_page=first)
        reading.changes_page = 0
    since = changed_since(reading)
    if since is not None:
        first = max(reading.changes_page - 1, 0)
        yield from session.changes(since, first_page=first)


def changed_since(reading: OrderReading) -> datetime | None:
    """Back to when changes have to be read; None: nothing was read to its end yet."""
    return reading.read_at - OVERLAP if reading.read_at else None


def turn(reading: OrderReading, page: OrderPage) -> None:
    """Note that a page is stored; in the transaction that stores it."""
    if page.next_page is None:
        return
    if reading.changes_page is None:
        reading.next_page = page.next_page
    else:
        reading.changes_page = page.next_page
    reading.save(update_fields=["next_page", "changes_page"])


def finish(context: RunContext, reading: OrderReading) -> None:
    """Move the marks to when the reading began.

    Not when everything was to be read anew meanwhile (`read_all_next`): then they stay.
    """
    marks = {"read_at": reading.begun_at, "begun_at": None}
    if reading.since is None:
        marks["all_read_at"] = reading.begun_at
    with context.fenced():
        OrderReading.objects.filter(
            store=context.store, begun_at=reading.begun_at
        ).update(**marks)
