"""A store's live listings: by page, by their ids, and all of them for a download."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from psycopg import sql

from connections.models import Listing
from connections.query import begins, read, stream
from stores.models import Store

# What a listing is searched by, in this order; it stands where it is found first.
_SEARCHED = ("channel_sku", "sku", "variant_id")

_GROUP = """
    (
        SELECT {group} AS found_by, {key} AS key, id
        FROM connections_listing
        WHERE store_id = {store} AND retired_at IS NULL AND {matches} AND {beyond}
        ORDER BY {key}, variant_id
        LIMIT {limit}
    )
"""
_GROUPS = "SELECT * FROM ({groups}) found LIMIT {limit}"
_BEYOND = "{key} >= {last} AND ({key}, variant_id) > ({last}, {last_variant})"

_COUNT = """
    SELECT count(*) FROM (
        SELECT FROM connections_listing
        WHERE store_id = {store} AND retired_at IS NULL AND {matches}
        LIMIT {limit}
    ) counted
"""

# As docs/formats.md says: a line for each listing, of a bundle one for each component.
_FILE = """
    SELECT listing.sku, channel_sku, variant_id, title, component.sku,
           trim_scale(component.quantity), NULL
    FROM connections_listing listing
    LEFT JOIN connections_component component ON component.listing_id = listing.id
    WHERE store_id = {store} AND retired_at IS NULL
    ORDER BY channel_sku, variant_id, component.sku
"""

Found = tuple[Listing, tuple[int, str, str]]


def page(store: Store, prefix: str, after: Sequence[Any], *, limit: int) -> list[Found]:
    """The listings that follow a place, each with its own; without one, the first."""
    first = after[0] if after else 0
    groups = range(len(_SEARCHED) if prefix else 1)
    parts = [
        _group(store, prefix, group, after[1:] if group == first else (), limit)
        for group in groups
        if group >= first
    ]
    if not parts:
        return []
    together = sql.SQL(" UNION ALL ").join(parts)
    found = read(_GROUPS, groups=together, limit=sql.Literal(limit))
    rows = Listing.objects.prefetch_related("components").in_bulk(
        [pk for _, _, pk in found]
    )
    # One that ended just now is left out.
    return [
        (rows[pk], (group, key, rows[pk].variant_id))
        for group, key, pk in found
        if pk in rows
    ]


def count(store: Store, prefix: str, *, limit: int) -> int:
    """How many there are, up to `limit`."""
    any_of = [begins(column, prefix) for column in _SEARCHED]
    [[found]] = read(
        _COUNT,
        store=sql.Literal(store.pk),
        matches=sql.SQL("({})").format(sql.SQL(" OR ").join(any_of)),
        limit=sql.Literal(limit),
    )
    return int(found)


def rows(store: Store) -> Iterator[Sequence[str | None]]:
    """Every listing as the texts of its lines, the columns as in the format."""
    yield from stream(sql.SQL(_FILE).format(store=sql.Literal(store.pk)))


def _group(
    store: Store, prefix: str, group: int, after: Sequence[Any], limit: int
) -> sql.Composed:
    key = sql.Identifier(_SEARCHED[group])
    earlier = [
        sql.SQL("NOT {}").format(begins(column, prefix)) for column in _SEARCHED[:group]
    ]
    beyond: sql.Composable = sql.SQL("true")
    if after:
        last, last_variant = (sql.Literal(part) for part in after)
        beyond = sql.SQL(_BEYOND).format(key=key, last=last, last_variant=last_variant)
    return sql.SQL(_GROUP).format(
        group=sql.Literal(group),
        key=key,
        store=sql.Literal(store.pk),
        matches=sql.SQL(" AND ").join([begins(_SEARCHED[group], prefix), *earlier]),
        beyond=beyond,
        limit=sql.Literal(limit),
    )
