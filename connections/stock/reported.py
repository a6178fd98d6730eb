"""Inventory → Warehouse: what warehouses report, one row a SKU and facility.

Whoever calls has narrowed the warehouses to those that the person may see.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from psycopg import sql

from connections.query import TIME, begins, read, stream


@dataclass(frozen=True)
class Reported:
    """A level as a warehouse reports it."""

    sku: str
    facility: str
    available: Decimal
    on_hand: Decimal | None
    committed: Decimal | None
    reported_at: datetime
    warehouse_id: int
    warehouse: UUID

    @property
    def place(self) -> tuple[str, str, str]:
        """What the rows are ordered by."""
        return self.sku, str(self.warehouse), self.facility


@dataclass(frozen=True)
class Choice:
    """Which levels: of these warehouses, SKUs that begin so, of one facility or any."""

    warehouses: Collection[int]
    prefix: str = ""
    facility: str | None = None

    @property
    def matches(self) -> sql.Composable:
        parts = [begins("sku", self.prefix)]
        if self.facility is not None:
            parts.append(sql.SQL("facility = {}").format(sql.Literal(self.facility)))
        return sql.SQL(" AND ").join(parts)

    @property
    def _names(self) -> dict[str, sql.Composable]:
        return {
            "warehouses": sql.Literal(list(self.warehouses)),
            "matches": self.matches,
        }


# A page costs the same wherever it is cut: each warehouse gives as many rows as a page
# holds, in the order of its index, and the first of them all are taken.
_PAGE = """
    SELECT level.*, place.id, place.public_id
    FROM stores_warehouse place
    CROSS JOIN LATERAL (
        SELECT sku, facility, available, on_hand, committed, reported_at
        FROM connections_stocklevel
        WHERE warehouse_id = place.id AND {matches} AND {beyond}
        ORDER BY sku, facility
        LIMIT {limit}
    ) level
    WHERE place.id = ANY({warehouses})
    ORDER BY level.sku, place.public_id, level.facility
    LIMIT {limit}
"""

# The first part is the index's; the second leaves out what was shown.
_BEYOND = """
    sku >= {sku}
    AND (sku, place.public_id, facility) > ({sku}, {warehouse}::uuid, {facility})
"""

_COUNT = """
    SELECT count(*) FROM (
        SELECT FROM unnest({warehouses}::bigint[]) AS place (id)
        CROSS JOIN LATERAL (
            SELECT FROM connections_stocklevel
            WHERE warehouse_id = place.id AND {matches}
            LIMIT {limit}
        ) level
        LIMIT {limit}
    ) counted
"""

_FILE = """
    SELECT sku, facility, trim_scale(available), trim_scale(on_hand),
           trim_scale(committed), to_char(reported_at AT TIME ZONE 'UTC', {time})
    FROM connections_stocklevel
    WHERE warehouse_id = {warehouse} AND {matches}
    ORDER BY sku, facility
"""


def page(choice: Choice, after: Sequence[Any], *, limit: int) -> list[Reported]:
    """The levels that follow a place (`Reported.place`); without one, the first."""
    beyond: sql.Composable = sql.SQL("true")
    if after:
        sku, warehouse, facility = (sql.Literal(part) for part in after)
        beyond = sql.SQL(_BEYOND).format(
            sku=sku, warehouse=warehouse, facility=facility
        )
    names = {"beyond": beyond, "limit": sql.Literal(limit)}
    return [Reported(*row) for row in read(_PAGE, **names, **choice._names)]


def count(choice: Choice, *, limit: int) -> int:
    """How many levels there are, up to `limit`."""
    [[found]] = read(_COUNT, limit=sql.Literal(limit), **choice._names)
    return int(found)


def rows(choice: Choice) -> Iterator[tuple[int, Sequence[str | None]]]:
    """Every level as texts, each with its warehouse's id; one warehouse after another.

    SKU, facility, available, on hand, committed, when reported.
    """
    for warehouse in choice.warehouses:
        query = sql.SQL(_FILE).format(
            warehouse=sql.Literal(warehouse), matches=choice.matches, time=TIME
        )
        for row in stream(query):
            yield warehouse, row
