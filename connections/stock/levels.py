"""What a connection's store should hear: stock by variant id and location, as SQL.

The one place that knows listings, bundles and locations; a push, the inventory pages
and their downloads all read levels through it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from psycopg import sql

from connections.models import Connection, Location
from connections.query import read

# More changes than this are found by reading everything once.
NARROW_LIMIT = 50_000

# Where a facility's stock counts, and (`live` false) where it once did: zero there. A
# facility without a link counts at the warehouse's own code.
_PLACE = """
    place AS MATERIALIZED (
        SELECT facility, location_id, retired_at IS NULL AS live,
               max(change_number) OVER of_facility AS change_number,
               max(changed_at) OVER of_facility AS changed_at
        FROM connections_location
        WHERE connection_id = {connection}
        WINDOW of_facility AS (PARTITION BY facility)
        UNION ALL
        SELECT facility, {code}, true, max(change_number), max(changed_at)
        FROM connections_location
        WHERE connection_id = {connection}
        GROUP BY facility
        HAVING bool_and(retired_at IS NOT NULL)
    ),
    held AS NOT MATERIALIZED (
        SELECT level.sku,
               coalesce(place.location_id, {code}) AS location_id,
               CASE WHEN place.live IS FALSE THEN 0 ELSE level.available END
                   AS available,
               greatest(level.change_number, level.relisted_number,
                        place.change_number) AS change_number,
               greatest(level.changed_at, level.relisted_at, place.changed_at)
                   AS changed_at
        FROM connections_stocklevel level
        LEFT JOIN place USING (facility)
        WHERE level.warehouse_id = {warehouse}
    )
"""

# Without any link the location is a constant, and the rows stay in their index's order.
_ONE_PLACE = """
    held AS NOT MATERIALIZED (
        SELECT sku, {code}::text AS location_id, available,
               greatest(change_number, relisted_number) AS change_number,
               greatest(changed_at, relisted_at) AS changed_at
        FROM connections_stocklevel
        WHERE warehouse_id = {warehouse}
    )
"""

_WANTED = "wanted AS MATERIALIZED (SELECT unnest({variants}::text[]) AS variant_id)"

# Nothing is doubled: an id is one live listing's, or a SKU's as it is reported, and all
# that counts for it at a location adds up to one row. SKUs that listings do not touch
# are kept apart: they are the most, and need no sorting.
_LEVELS = """
    live AS NOT MATERIALIZED (
        SELECT id, sku, variant_id
        FROM connections_listing
        WHERE store_id = {store} AND retired_at IS NULL
    ),
    former AS NOT MATERIALIZED (
        SELECT variant_id, sku
        FROM connections_formersource
        WHERE store_id = {store}
    ),
    unlisted AS NOT MATERIALIZED (
        SELECT held.*
        FROM held
        {wanted_held}
        WHERE NOT EXISTS (SELECT FROM live WHERE live.sku = held.sku)
          AND NOT EXISTS (SELECT FROM live WHERE live.variant_id = held.sku)
    ),
    -- As many whole bundles as the scarcest component allows at a location; one that
    -- does not lie there allows none. div() cuts towards zero.
    bundle AS NOT MATERIALIZED (
        SELECT variant_id, location_id,
               least(
                   min(div(available, quantity)
                       - CASE WHEN mod(available, quantity) < 0 THEN 1 ELSE 0 END),
                   CASE WHEN count(*) < (
                       SELECT count(*) FROM connections_component component
                       WHERE component.listing_id = part.id) THEN 0 END
               ) AS available,
               max(change_number) AS change_number,
               max(changed_at) AS changed_at
        FROM (
            SELECT live.id, live.variant_id, held.location_id, component.quantity,
                   sum(held.available) AS available,
                   max(held.change_number) AS change_number,
                   max(held.changed_at) AS changed_at
            FROM live
            JOIN connections_component component ON component.listing_id = live.id
            JOIN held ON held.sku = component.sku
            {wanted_live}
            GROUP BY live.id, live.variant_id, held.location_id, component.sku,
                     component.quantity
        ) part
        GROUP BY id, variant_id, location_id
    ),
    level AS NOT MATERIALIZED (
        SELECT sku AS variant_id, location_id, sum(available) AS available,
               max(change_number) AS change_number, max(changed_at) AS changed_at
        FROM unlisted
        WHERE NOT EXISTS (SELECT FROM former WHERE former.variant_id = unlisted.sku)
        GROUP BY sku, location_id
        UNION ALL
        SELECT variant_id, location_id, sum(available), max(change_number),
               max(changed_at)
        FROM (
            SELECT sku AS variant_id, location_id, available, change_number, changed_at
            FROM unlisted
            WHERE EXISTS (SELECT FROM former WHERE former.variant_id = unlisted.sku)
            UNION ALL
            SELECT live.variant_id, held.location_id, held.available,
                   held.change_number, held.changed_at
            FROM live JOIN held USING (sku)
            {wanted_live}
            WHERE NOT EXISTS (
                SELECT FROM connections_component WHERE listing_id = live.id)
            UNION ALL
            SELECT variant_id, location_id, available, change_number, changed_at
            FROM bundle
            UNION ALL
            SELECT former.variant_id, held.location_id, 0,
                   held.change_number, held.changed_at
            FROM former JOIN held USING (sku)
            {wanted_former}
        ) part
        GROUP BY variant_id, location_id
    )
    SELECT level.variant_id, coalesce(live.channel_sku, level.variant_id) AS sku,
           level.location_id, level.available, level.change_number, level.changed_at
    FROM level
    LEFT JOIN connections_listing live
        ON live.store_id = {store} AND live.variant_id = level.variant_id
       AND live.retired_at IS NULL
    WHERE {since}
    ORDER BY {order}
"""

# Every id that a changed SKU counts for, or once counted for.
_CHANGED = """
    WITH changed AS MATERIALIZED (
        (SELECT sku FROM connections_stocklevel
         WHERE warehouse_id = {warehouse} AND change_number > {since}
         LIMIT {limit})
        UNION
        (SELECT sku FROM connections_stocklevel
         WHERE warehouse_id = {warehouse} AND relisted_number > {since}
         LIMIT {limit})
        {moved}
    )
    SELECT sku FROM changed
    UNION
    SELECT listing.variant_id
    FROM changed JOIN connections_listing listing USING (sku)
    WHERE listing.store_id = {store}
    UNION
    SELECT listing.variant_id
    FROM changed
    JOIN connections_component component
        ON component.sku = changed.sku AND component.account_id = {account}
    JOIN connections_listing listing ON listing.id = component.listing_id
    WHERE listing.store_id = {store}
    UNION
    SELECT former.variant_id
    FROM changed JOIN connections_formersource former USING (sku)
    WHERE former.store_id = {store}
    LIMIT {limit}
"""
# Too many are only counted: nobody asks for them one by one.
_FEW_CHANGED = """
    SELECT count(*), CASE WHEN count(*) < {limit} THEN array_agg(sku) END
    FROM ({changed}) found
"""
_MOVED = """
        UNION
        (SELECT sku FROM connections_stocklevel
         WHERE warehouse_id = {warehouse} AND facility = ANY({facilities})
         LIMIT {limit})
"""

# A figure is told again when a multiple of seven days since its change has gone by since
# figures were last told again.
_DUE = """
    SELECT * FROM ({levels}) level
    WHERE change_number > {since}
       OR floor(extract(epoch FROM {now} - changed_at) / {seconds})
          > floor(greatest(extract(epoch FROM {last} - changed_at), 0) / {seconds})
    ORDER BY variant_id, location_id
"""


def of_all(connection: Connection) -> sql.Composed:
    """Every level of a connection, by variant id and location.

    Columns: variant_id, sku (the store's), location_id, available, change_number,
    changed_at.
    """
    return _levels(connection)


def of_variants(connection: Connection, variants: Sequence[str]) -> sql.Composed:
    """The levels of some variant ids; columns as of `of_all`."""
    return _levels(connection, variants=variants)


def of_connections(
    wanted: Sequence[Connection] | Mapping[Connection, Sequence[str]],
) -> sql.Composed:
    """The levels of connections, of one at least; of a mapping, of some variant ids.

    Columns: connection_id, then as of `of_all`.
    """
    linked = set(
        Location.objects.filter(connection__in=list(wanted)).values_list(
            "connection", flat=True
        )
    )
    parts = [
        sql.SQL("SELECT {}::bigint AS connection_id, level.* FROM ({}) level").format(
            sql.Literal(connection.pk),
            _levels(
                connection,
                variants=wanted[connection] if isinstance(wanted, Mapping) else None,
                has_places=connection.pk in linked,
            ),
        )
        for connection in wanted
    ]
    return sql.SQL(" UNION ALL ").join(parts)


def of_changed(connection: Connection, since: int) -> sql.Composed | None:
    """The levels whose change number is above `since`; columns as of `of_all`.

    None when nothing of what changed is sold here. Up to NARROW_LIMIT changes the work
    grows with them, not with the warehouse.
    """
    # Asked before the levels are read: what is missed here is newer than any bound
    # that was read before, and counts the next time.
    count, variants = _changed_variants(connection, since)
    return _levels(connection, variants=variants, since=since) if count else None


def of_due(
    connection: Connection,
    since: int,
    *,
    every: timedelta,
    last: datetime,
    now: datetime,
) -> sql.Composed:
    """Those above `since`, and those that have stood still; columns as of `of_all`.

    `every`, `last`, `now`: a figure that stands still is due again every so often, and
    whatever came due before `last` was told. Reads every level.
    """
    return sql.SQL(_DUE).format(
        levels=_levels(connection),
        since=sql.Literal(since),
        seconds=sql.Literal(every.total_seconds()),
        last=sql.Literal(last),
        now=sql.Literal(now),
    )


def _changed_variants(
    connection: Connection, since: int
) -> tuple[int, list[str] | None]:
    """How many ids are concerned, and which; None when they are more than NARROW_LIMIT."""
    moved = Location.objects.filter(connection=connection, change_number__gt=since)
    names: dict[str, sql.Composable] = {
        **_names(connection),
        "since": sql.Literal(since),
        "limit": sql.Literal(NARROW_LIMIT + 1),
        "facilities": sql.Literal(list(moved.values_list("facility", flat=True))),
    }
    names["moved"] = sql.SQL(_MOVED if moved else "").format(**names)
    names["changed"] = sql.SQL(_CHANGED).format(**names)
    [[count, variants]] = read(_FEW_CHANGED, **names)
    return count, variants


def _levels(
    connection: Connection,
    *,
    variants: Sequence[str] | None = None,
    since: int | None = None,
    has_places: bool | None = None,
) -> sql.Composed:
    if has_places is None:
        has_places = Location.objects.filter(connection=connection).exists()
    parts = [_PLACE if has_places else _ONE_PLACE, _LEVELS]
    if variants is not None:
        parts.insert(0, _WANTED)

    def wanted(column: str) -> sql.SQL:
        join = f"JOIN wanted ON wanted.variant_id = {column}"
        return sql.SQL(join if variants is not None else "")

    newer = sql.SQL("true" if since is None else "level.change_number > {}")
    return sql.SQL("WITH " + ", ".join(parts)).format(
        **_names(connection),
        variants=sql.Literal(list(variants or ())),
        wanted_held=wanted("held.sku"),
        wanted_live=wanted("live.variant_id"),
        wanted_former=wanted("former.variant_id"),
        since=newer.format(sql.Literal(since)),
        # One place, one row: a sort by it as well would go through all of them.
        order=sql.SQL(
            "level.variant_id, level.location_id" if has_places else "level.variant_id"
        ),
    )


def _names(connection: Connection) -> dict[str, Any]:
    """Literals, not parameters: COPY takes none, and each is planned for what it is."""
    return {
        "connection": sql.Literal(connection.pk),
        "store": sql.Literal(connection.store_id),
        "warehouse": sql.Literal(connection.warehouse_id),
        "account": sql.Literal(connection.account_id),
        "code": sql.Literal(connection.warehouse.code),
    }
