"""What a store's platform was sent of its levels, and why not the rest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import IntEnum
from uuid import UUID

from psycopg import sql

from connections import platforms
from connections.deliveries.preflight import SHOWN_KEY, SHOWN_PROBLEMS
from connections.models import Channel, Connection, Delivery
from connections.query import read
from connections.stock import levels


class State(IntEnum):
    """Where a level stands; of several connections the greatest counts."""

    SENT = 0
    WAITS = 1  # goes with the next update
    ON_HOLD = 2  # a setting of the store is missing
    CHANNEL_OFF = 3
    CONNECTION_OFF = 4
    UNREPORTED = 5  # no connected warehouse reports it
    NOT_CONNECTED = 6
    TAKEN = 7  # a listing of another SKU has this id
    REFUSED = 8  # the file that reached it leaves it out
    NO_FILE = 9  # it counts as sent, but no file that holds it is on record


@dataclass(frozen=True)
class Level:
    """What a connection sells under a variant id, at a location or ("") at all together.

    The file is the first that reached its number. `refused`: why its update leaves the
    level out, if it is named there; `left_out`: how many rows the update leaves out.
    """

    connection_id: int
    variant_id: str
    location_id: str
    available: Decimal
    change_number: int
    changed_at: datetime
    is_sent: bool
    sent_at: datetime | None
    file: str | None
    delivery: UUID | None
    parts: int | None  # how many files the update was; `file` is the last of them
    left_out: int | None
    refused: str | None

    @property
    def may_be_left_out(self) -> bool:
        """Whether the file leaves out more rows than it names, and not this by name."""
        unnamed = (self.left_out or 0) > SHOWN_PROBLEMS
        return self.is_sent and self.refused is None and unnamed

    def state(self, otherwise: State) -> State:
        """Where it stands; `otherwise`: where its connection's unsent levels do."""
        if not self.is_sent:
            return otherwise
        if self.file is None:
            return State.NO_FILE
        return State.SENT if self.refused is None else State.REFUSED


# The index connections_delivery_bound finds the file of each row. A file names what it
# left out by its first columns, cut as `clean_detail` does.
_SENT = """
    SELECT level.connection_id, level.variant_id, level.location_id, level.available,
           level.change_number, level.changed_at,
           coalesce(level.change_number <= channel.sent_through, false) AS is_sent,
           file.delivered_at AS sent_at, file.name AS file,
           file.public_id AS delivery, file.parts, file.left_out,
           CASE WHEN file.left_out > 0 THEN (
               SELECT concat_ws(' ', problem->>'column', problem->>'reason')
               FROM jsonb_array_elements(file.problems) problem
               WHERE problem->'key'->>0 = CASE WHEN length(level.variant_id) > {longest}
                         THEN left(level.variant_id, {longest} - 1) || '…'
                         ELSE level.variant_id END
                 AND (level.location_id = '' OR problem->'key'->>1 = level.location_id)
               LIMIT 1) END AS refused
    FROM ({levels}) level
    LEFT JOIN connections_channel channel
        ON channel.connection_id = level.connection_id AND channel.type = {inventory}
    LEFT JOIN LATERAL (
        SELECT name, public_id, delivered_at, parts, left_out, problems
        FROM connections_delivery delivery
        WHERE delivery.channel_id = channel.id AND state = {delivered}
          AND entity = {stock} AND upper_bound >= level.change_number
        ORDER BY upper_bound, id
        LIMIT 1
    ) file ON true
"""

_EVERYWHERE = """
    SELECT connection_id, variant_id, '' AS location_id, sum(available) AS available,
           max(change_number) AS change_number, max(changed_at) AS changed_at
    FROM ({levels}) place
    GROUP BY connection_id, variant_id
"""

# Of several connections the greatest state counts. Each part stands in the order of its
# indexes: sorted, somebody would wait for the first.
_TOGETHER = """
    SELECT variant_id, sum(available) AS available, max(state) AS state,
           max(sent_at) AS sent_at
    FROM ({parts}) part
    GROUP BY variant_id
"""
_PART = """
    (
        SELECT variant_id, available,
               CASE WHEN NOT is_sent THEN {unsent}
                    WHEN file IS NULL THEN {no_file}
                    WHEN refused IS NOT NULL THEN {refused}
                    ELSE {sent} END AS state,
               CASE WHEN is_sent THEN sent_at END AS sent_at
        FROM ({levels}) level
        ORDER BY variant_id
    )
"""
_NOTHING = """
    SELECT NULL::text AS variant_id, NULL::numeric AS available, NULL::int AS state,
           NULL::timestamptz AS sent_at
    WHERE false
"""
_NAMES = {
    "inventory": sql.Literal(Channel.Type.INVENTORY.value),
    "delivered": sql.Literal(Delivery.State.DELIVERED.value),
    "stock": sql.Literal(Delivery.Entity.STOCK.value),
    "longest": sql.Literal(SHOWN_KEY),
}


def state_of(connection: Connection) -> State:
    """Where a connection's levels stand that were not sent.

    Channels must be prefetched, the store and its platform's settings joined.
    """
    if not connection.is_on:
        return State.CONNECTION_OFF
    of_stock = (
        c for c in connection.channels.all() if c.type == Channel.Type.INVENTORY
    )
    if not any(channel.is_on for channel in of_stock):
        return State.CHANNEL_OFF
    store = connection.store
    if platforms.of_store(store).missing(store, Channel.Type.INVENTORY):
        return State.ON_HOLD
    return State.WAITS


def nowhere(connections: Sequence[Connection]) -> State:
    """Where an id stands that has no level at a store with these connections."""
    return State.UNREPORTED if connections else State.NOT_CONNECTED


def of_variants(wanted: Mapping[Connection, Sequence[str]]) -> list[Level]:
    """What connections sell under some variant ids in all, and when it was sent."""
    if not wanted:
        return []
    found = sql.SQL(_EVERYWHERE).format(levels=levels.of_connections(wanted))
    return [Level(*row) for row in read(_SENT, levels=found, **_NAMES)]


def of_places(wanted: Mapping[Connection, Sequence[str]]) -> list[Level]:
    """The same at each location, by variant id and location."""
    if not wanted:
        return []
    found = read(_SENT, levels=levels.of_connections(wanted), **_NAMES)
    return sorted(
        (Level(*row) for row in found),
        key=lambda row: (row.variant_id, row.location_id),
    )


def together(connections: Sequence[Connection]) -> sql.Composable:
    """All that a store's connections sell, by variant id, as SQL.

    Columns: variant_id, available, state, sent_at. The connections as of `state_of`.
    """
    if not connections:
        return sql.SQL(_NOTHING)
    parts = [_part(line) for line in connections]
    return sql.SQL(_TOGETHER).format(parts=sql.SQL(" UNION ALL ").join(parts))


def _part(line: Connection) -> sql.Composed:
    everywhere = sql.SQL(_EVERYWHERE).format(levels=levels.of_connections([line]))
    return sql.SQL(_PART).format(
        levels=sql.SQL(_SENT).format(levels=everywhere, **_NAMES),
        unsent=sql.Literal(state_of(line).value),
        sent=sql.Literal(State.SENT.value),
        no_file=sql.Literal(State.NO_FILE.value),
        refused=sql.Literal(State.REFUSED.value),
    )
