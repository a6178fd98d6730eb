"""Inventory → Channel: what stores sell, one row a listing and store.

A SKU without a listing is a row too: it is sold as it is reported. Whoever calls has
narrowed the stores to those that the person may see.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import UUID

from psycopg import sql

from connections.models import Connection
from connections.query import TIME, begins, read, stream
from connections.stock import sent


@dataclass(frozen=True)
class Sold:
    """A listing, or a SKU that a store sells as it is reported."""

    group: int  # which of the searched columns begins so
    key: str
    store_id: int
    store: UUID
    sku: str
    channel_sku: str
    variant_id: str
    title: str
    is_listed: bool
    is_bundle: bool
    taken_by: str | None  # the SKU of the listing that has this SKU for its id

    @property
    def place(self) -> tuple[int, str, str, str]:
        """What the rows are ordered by."""
        return self.group, self.key, str(self.store), self.variant_id


# What a search looks through, in its order; a row stands where it is found first.
_SEARCHED = ("sku", "channel_sku", "variant_id")


@dataclass(frozen=True)
class Choice:
    """Which rows: of these stores, SKU, channel SKU or variant id beginning so."""

    stores: Collection[int]
    prefix: str = ""

    @property
    def groups(self) -> range:
        return range(len(_SEARCHED) if self.prefix else 1)

    @property
    def _names(self) -> dict[str, sql.Composable]:
        parts = [begins(column, self.prefix) for column in _SEARCHED]
        return {
            "stores": sql.Literal(list(self.stores)),
            "matches": sql.SQL("({})").format(sql.SQL(" OR ").join(parts)),
            "level_matches": begins("sku", self.prefix),
        }


_LISTED = """
    SELECT {key} AS key, sku, channel_sku, variant_id, title, true AS is_listed,
           EXISTS (SELECT FROM connections_component
                   WHERE listing_id = listing.id) AS is_bundle,
           NULL AS taken_by
    FROM connections_listing listing
    WHERE store_id = place.id AND retired_at IS NULL AND {matches} AND {beyond}
    ORDER BY {key}, variant_id
    LIMIT {limit}
"""

# Asked for each row on purpose: a join would go through all that is listed.
_UNLISTED = """
    (SELECT true FROM connections_listing own
     WHERE own.store_id = place.id AND own.sku = level.sku AND own.retired_at IS NULL
     LIMIT 1) IS NULL
"""

# The listings of a page bound what has to be looked at besides: what is listed between
# the first and the last of them stands among them. No text is above the other bound.
_LISTED_AND_NOT = f"""
    WITH listed AS MATERIALIZED ({{listed}})
    SELECT * FROM listed
    UNION ALL
    (
        SELECT DISTINCT held.sku, held.sku, held.sku, held.sku, '', false, false, (
            SELECT other.sku FROM connections_listing other
            WHERE other.store_id = place.id AND other.variant_id = held.sku
              AND other.retired_at IS NULL)
        FROM connections_connection line
        CROSS JOIN LATERAL (
            SELECT DISTINCT sku
            FROM connections_stocklevel level
            WHERE warehouse_id = line.warehouse_id
              AND {{level_matches}} AND {{level_beyond}}
              AND sku <= coalesce(
                  (SELECT key FROM listed ORDER BY key OFFSET {{limit}} - 1 LIMIT 1),
                  repeat(chr(1114111), 256))
              AND {_UNLISTED}
            ORDER BY sku
            LIMIT {{limit}}
        ) held
        WHERE line.store_id = place.id
        ORDER BY 1
        LIMIT {{limit}}
    )
"""  # noqa: S608  put together from the constants above

_PAGE = """
    (
        SELECT {group}, sold.key, place.id, place.public_id, sold.sku, sold.channel_sku,
               sold.variant_id, sold.title, sold.is_listed, sold.is_bundle,
               sold.taken_by
        FROM stores_store place
        CROSS JOIN LATERAL ({sold}) sold
        WHERE place.id = ANY({stores})
        ORDER BY sold.key, place.public_id, sold.variant_id
        LIMIT {limit}
    )
"""

# One group after the other, and none that the page does not come to.
_GROUPS = "SELECT * FROM ({groups}) found LIMIT {limit}"

# The first part is the index's; the second leaves out what was shown.
_BEYOND = """
    {key} >= {last}
    AND ({key}, place.public_id, {variant}) > ({last}, {store}::uuid, {last_variant})
"""

_COUNT = f"""
    SELECT count(*) FROM (
        SELECT FROM unnest({{stores}}::bigint[]) AS place (id)
        CROSS JOIN LATERAL (
            (
                SELECT FROM connections_listing
                WHERE store_id = place.id AND retired_at IS NULL AND {{matches}}
                LIMIT {{limit}}
            )
            UNION ALL
            (
                SELECT FROM (
                    SELECT DISTINCT held.sku
                    FROM connections_connection line
                    CROSS JOIN LATERAL (
                        SELECT DISTINCT sku
                        FROM connections_stocklevel level
                        WHERE warehouse_id = line.warehouse_id AND {{level_matches}}
                          AND {_UNLISTED}
                        LIMIT {{limit}}
                    ) held
                    WHERE line.store_id = place.id
                ) unlisted
            )
        ) sold
        LIMIT {{limit}}
    ) counted
"""  # noqa: S608  the same

_COMMITTED = """
    SELECT line.store_id, level.sku, sum(level.committed)
    FROM unnest({stores}::bigint[], {skus}::text[]) AS wanted (store_id, sku)
    JOIN connections_connection line ON line.store_id = wanted.store_id
    JOIN connections_stocklevel level
        ON level.warehouse_id = line.warehouse_id AND level.sku = wanted.sku
    GROUP BY line.store_id, level.sku
"""

# Ordered as levels are, and each part by an index: sorted, a million rows would keep
# somebody waiting for the first.
_FILE = """
    SELECT sold.sku, sold.title, sold.channel_sku, sold.variant_id,
           trim_scale(level.available), trim_scale(sold.committed),
           CASE WHEN sold.taken_by IS NOT NULL THEN {taken}
                ELSE coalesce(level.state, {nowhere}) END,
           to_char(level.sent_at AT TIME ZONE 'UTC', {time})
    FROM (
        (
            SELECT sku, title, channel_sku, variant_id, NULL AS taken_by,
                   CASE WHEN NOT EXISTS (
                       SELECT FROM connections_component
                       WHERE listing_id = listing.id
                   ) THEN (
                       SELECT sum(committed) FROM ({held}) held
                       WHERE held.sku = listing.sku
                   ) END AS committed
            FROM connections_listing listing
            WHERE store_id = {store} AND retired_at IS NULL AND {matches}
            ORDER BY variant_id
        )
        UNION ALL
        (
            SELECT sku, '', sku, sku, (
                       SELECT other.sku FROM connections_listing other
                       WHERE other.store_id = {store} AND other.variant_id = held.sku
                         AND other.retired_at IS NULL
                   ), sum(committed)
            FROM ({held}) held
            WHERE {level_matches} AND NOT EXISTS (
                SELECT FROM connections_listing own
                WHERE own.store_id = {store} AND own.sku = held.sku
                  AND own.retired_at IS NULL)
            GROUP BY sku
            ORDER BY held.sku
        )
    ) sold
    LEFT JOIN ({levels}) level
        ON level.variant_id = sold.variant_id AND sold.taken_by IS NULL
    ORDER BY sold.variant_id
"""
_HELD = "SELECT sku, committed FROM connections_stocklevel WHERE warehouse_id = {}"
_NONE_HELD = "SELECT NULL::text AS sku, NULL::numeric AS committed WHERE false"


def page(choice: Choice, after: Sequence[Any], *, limit: int) -> list[Sold]:
    """The rows that follow a place (`Sold.place`); without one, the first."""
    first = after[0] if after else 0
    parts = [
        _group(choice, group, after[1:] if group == first else (), limit)
        for group in choice.groups
        if group >= first
    ]
    if not parts:
        return []
    groups = sql.SQL(" UNION ALL ").join(parts)
    return [
        Sold(*row) for row in read(_GROUPS, groups=groups, limit=sql.Literal(limit))
    ]


def _group(
    choice: Choice, group: int, after: Sequence[Any], limit: int
) -> sql.Composed:
    key = sql.Identifier(_SEARCHED[group])
    found = begins(_SEARCHED[group], choice.prefix)
    earlier = [
        sql.SQL("NOT {}").format(begins(column, choice.prefix))
        for column in _SEARCHED[:group]
    ]
    names: dict[str, sql.Composable] = {
        **choice._names,
        "group": sql.Literal(group),
        "key": key,
        "matches": sql.SQL(" AND ").join([found, *earlier]),
        "beyond": _beyond(key, sql.Identifier("variant_id"), after),
        "limit": sql.Literal(limit),
    }
    names["listed"] = sql.SQL(_LISTED).format(**names)
    # A SKU without a listing has no other id to be found by.
    if group == 0:
        names["level_beyond"] = _beyond(key, key, after)
        names["sold"] = sql.SQL(_LISTED_AND_NOT).format(**names)
    else:
        names["sold"] = names["listed"]
    return sql.SQL(_PAGE).format(**names)


def _beyond(
    key: sql.Identifier, variant: sql.Identifier, after: Sequence[Any]
) -> sql.Composable:
    if not after:
        return sql.SQL("true")
    last, store, last_variant = (sql.Literal(part) for part in after)
    return sql.SQL(_BEYOND).format(
        key=key, variant=variant, last=last, store=store, last_variant=last_variant
    )


def count(choice: Choice, *, limit: int) -> int:
    """How many rows there are, up to `limit`."""
    [[found]] = read(_COUNT, limit=sql.Literal(limit), **choice._names)
    return int(found)


def committed(rows: Iterable[Sold]) -> dict[tuple[int, str], Decimal]:
    """What warehouses say is promised to orders, by store and SKU; of no bundle."""
    pairs = {(row.store_id, row.sku) for row in rows if not row.is_bundle}
    found = read(
        _COMMITTED,
        stores=sql.Literal([store for store, _ in pairs]),
        skus=sql.Literal([sku for _, sku in pairs]),
    )
    return {(store, sku): total for store, sku, total in found if total is not None}


def rows(
    choice: Choice, lines: Mapping[int, Sequence[Connection]]
) -> Iterator[tuple[int, Sequence[str | None]]]:
    """Every row as texts, each with its store's id; one store after another.

    SKU, title, channel SKU, variant id, on hand, allocated, `sent.State`, when exported
    (UTC); by variant id. `lines`: the stores' connections, as of `sent.state_of`.
    """
    for store in choice.stores:
        of = lines.get(store, ())
        held = [sql.SQL(_HELD).format(sql.Literal(line.warehouse_id)) for line in of]
        names = choice._names | {
            "store": sql.Literal(store),
            "held": sql.SQL(" UNION ALL ").join(held) if of else sql.SQL(_NONE_HELD),
            "levels": sent.together(of),
            "taken": sql.Literal(sent.State.TAKEN.value),
            "nowhere": sql.Literal(sent.nowhere(of).value),
            "time": TIME,
        }
        for row in stream(sql.SQL(_FILE).format(**names)):
            yield store, row
