"""Say what the next update of a channel tells, and why; a push and a preview ask."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

from psycopg import sql

from connections.models import Channel, Connection, Delivery
from connections.platforms import Repeat, StockTarget
from connections.runs.schedule import database_now
from connections.stock import levels
from stores.models import Warehouse

# The 7-day rule and the weekly file (dropstream.md §5, inventory-planner.md §4.6).
STANDS_STILL = timedelta(days=7)
# Looking for what stood still reads every level: not at each run.
LOOK_EVERY = timedelta(days=1)


class Why(Enum):
    """Which levels an update tells."""

    ASKED = "asked"  # all: a full update
    FIRST = "first"  # all: nothing was sent there yet
    WEEKLY = "weekly"  # all: seven days have gone by
    STANDS_STILL = "stands_still"  # what changed, and what stood still for long
    CHANGES = "changes"  # what changed


@dataclass(frozen=True)
class Update:
    """What is to be told: rows, and what is reached when they are there."""

    why: Why
    rows: sql.Composed
    bound: int
    # Set when figures that stand still are told again.
    repeated_through: datetime | None = None


@dataclass(frozen=True)
class NothingSold:
    """Nothing of what changed up to the bound is sold here: it is reached already."""

    bound: int


def peer_of_newest(channel: Channel) -> str | None:
    """Whose drop has a channel's newest stock; "": not kept; None: nobody's.

    An update in parts is there with its last one. What a person had sent again is old.
    """
    updates = Delivery.objects.filter(
        channel=channel,
        entity=Delivery.Entity.STOCK,
        state=Delivery.State.DELIVERED,
        resend_of=None,
    ).order_by("-upper_bound", "-pk")
    return updates.values_list("peer", flat=True).first()


def plan(
    channel: Channel, connection: Connection, target: StockTarget, *, full: bool
) -> Update | NothingSold | None:
    """Find what there is to say; None when nothing is.

    Another drop than the newest file went to is told everything.
    """
    repeat, here = target.repeat(connection.store), target.peer(connection.store)
    newest = peer_of_newest(channel)
    mark, repeated_at = Channel.objects.values_list("sent_through", "repeated_at").get(
        pk=channel.pk
    )
    # Read before the rows: whatever carries a number up to this bound is visible to the
    # statement below, so moving the mark to it forgets nothing. A row that is newer is
    # sent now and once more.
    bound = Warehouse.objects.values_list("change_number", flat=True).get(
        pk=connection.warehouse_id
    )
    now, last = database_now(), repeated_at or connection.created_at
    to_all = {
        Why.ASKED: full,
        Why.FIRST: bound > 0 and (mark == 0 or newest not in (None, "", here)),
        Why.WEEKLY: repeat is Repeat.ALL and now - last >= STANDS_STILL,
    }
    for why, holds in to_all.items():
        if holds:
            return Update(why, levels.of_all(connection), bound, now)
    if repeat is Repeat.EACH and now - last >= LOOK_EVERY:
        due = levels.of_due(connection, mark, every=STANDS_STILL, last=last, now=now)
        return Update(Why.STANDS_STILL, due, bound, now)
    if bound <= mark:
        return None
    rows = levels.of_changed(connection, mark)
    return NothingSold(bound) if rows is None else Update(Why.CHANGES, rows, bound)
