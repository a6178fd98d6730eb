"""What a store's platform was sent of its levels, and why not the rest."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import IntEnum

from psycopg import sql

from connections import platforms
from connections.models import Channel, Connection, Delivery
from connections.stock import levels
from connections.stock.query import read


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


@dataclass(frozen=True)
class Level:
    """What a connection sells under a variant id, all its locations together.

    `sent_at` and `file` are of the first file that reached its number.
    """

    connection_id: int
    variant_id: str
    available: Decimal
    change_number: int
    is_sent: bool
    sent_at: datetime | None
    file: str | None


_LEVELS = """
    SELECT level.connection_id, level.variant_id, level.available, level.change_number,
           coalesce(level.change_number <= channel.sent_through, false) AS is_sent,
           file.delivered_at AS sent_at, file.name AS file
    FROM (
        SELECT connection_id, variant_id, sum(available) AS available,
               max(change_number) AS change_number
        FROM ({levels}) place
        GROUP BY connection_id, variant_id
    ) level
    LEFT JOIN connections_channel channel
        ON channel.connection_id = level.connection_id AND channel.type = {inventory}
    LEFT JOIN LATERAL (
        SELECT name, delivered_at
        FROM connections_delivery delivery
        WHERE delivery.channel_id = channel.id AND state = {delivered}
          AND entity = {stock} AND upper_bound >= level.change_number
        ORDER BY upper_bound, id
        LIMIT 1
    ) file ON true
"""
_NAMES = {
    "inventory": sql.Literal(Channel.Type.INVENTORY.value),
    "delivered": sql.Literal(Delivery.State.DELIVERED.value),
    "stock": sql.Literal(Delivery.Entity.STOCK.value),
}

_TOGETHER = """
    SELECT level.variant_id, sum(level.available) AS available,
           max(CASE WHEN level.is_sent THEN {sent} ELSE line.state END) AS state,
           max(level.sent_at) FILTER (WHERE level.is_sent) AS sent_at
    FROM ({levels}) level
    JOIN (VALUES {states}) AS line (id, state) ON line.id = level.connection_id
    GROUP BY level.variant_id
"""


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
    """What connections sell under some variant ids, and when it was sent."""
    if not wanted:
        return []
    found = read(_LEVELS, levels=levels.of_connections(wanted), **_NAMES)
    return [Level(*row) for row in found]


def together(connections: Iterable[Connection]) -> sql.Composable:
    """All levels of a store's connections as SQL: variant_id, available, state, sent_at."""
    lines = list(connections)
    if not lines:
        return sql.SQL(
            "SELECT NULL::text AS variant_id, NULL::numeric AS available, "
            "NULL::int AS state, NULL::timestamptz AS sent_at WHERE false"
        )
    states = [
        sql.SQL("({}::bigint, {})").format(
            sql.Literal(line.pk), sql.Literal(state_of(line).value)
        )
        for line in lines
    ]
    return sql.SQL(_TOGETHER).format(
        levels=sql.SQL(_LEVELS).format(levels=levels.of_connections(lines), **_NAMES),
        states=sql.SQL(", ").join(states),
        sent=sql.Literal(State.SENT.value),
    )
