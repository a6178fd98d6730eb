"""The list of purchase orders: the newest first, or what begins with what was typed.

Whoever calls has narrowed stores and connection to those that the person may see. A page
costs the same wherever it is cut and however many orders there are: every status of
every owner gives as many rows as a page holds, in the order of an index
(docs/decisions/0022-order-lists.md).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg import sql

from connections.models import PurchaseOrder
from connections.orders.prefix_search import Field, Found, Search, all_of, id_of
from connections.query import read

Status = PurchaseOrder.Status

_TABLE = "connections_purchaseorder"
_PURCHASE = f"{_TABLE} purchase"
FIELDS = (
    Field(
        "purchase.reference",
        "(purchase.reference LIKE {pattern})",
        source=_PURCHASE,
        owner="purchase.store_id",
    ),
    Field(
        'lower(purchase.vendor) COLLATE "C"',
        '(lower(purchase.vendor) COLLATE "C" LIKE lower({pattern}))',
        source=_PURCHASE,
        owner="purchase.store_id",
    ),
    Field(
        "line.sku",
        "(line.sku LIKE {pattern})",
        source="connections_purchaseorderline line "
        f"JOIN {_PURCHASE} ON purchase.id = line.order_id",
        owner="line.store_id",
        # Of several lines that match, the first one stands for the order.
        once="""NOT EXISTS (
            SELECT FROM connections_purchaseorderline other
            WHERE other.order_id = line.order_id AND other.sku LIKE {pattern}
              AND (other.sku, other.id) < (line.sku, line.id)
        )""",
    ),
)


@dataclass(frozen=True)
class Choice:
    """Which orders. `account`: all of its stores; otherwise those of `stores` alone.

    `prefix` is what the PO number, the vendor (whatever its case) or a SKU begins with.
    `held`: only those that are held for one of these reasons. `since` and `before`: when
    imported.
    """

    stores: Collection[int]
    account: int | None = None
    connection: int | None = None
    statuses: Collection[str] = tuple(Status)
    held: Collection[str] = ()
    since: datetime | None = None
    before: datetime | None = None
    prefix: str = ""

    @property
    def _owner(self) -> tuple[str, list[int]]:
        """The column that the orders are found by, and its values."""
        if self.connection is not None:
            return "connection_id", [self.connection]
        if self.account is not None:
            return "account_id", [self.account]
        return "store_id", list(self.stores)

    @property
    def _narrowed(self) -> list[sql.Composable]:
        bounds = {">=": self.since, "<": self.before}
        parts: list[sql.Composable] = [
            sql.SQL(f"purchase.imported_at {sign} {{}}").format(sql.Literal(at))
            for sign, at in bounds.items()
            if at is not None
        ]
        if self.held:
            held = sql.Literal([str(one) for one in self.held])
            parts.append(sql.SQL("purchase.held = ANY({})").format(held))
        return parts

    @property
    def newest(self) -> dict[str, sql.Composable]:
        """What the statements for the newest orders need."""
        column, owners = self._owner
        return {
            "owner": sql.Identifier("purchase", column),
            "owners": sql.Literal(owners),
            "statuses": sql.Literal([str(status) for status in self.statuses]),
            "narrowed": all_of(self._narrowed),
        }

    @property
    def search(self) -> Search:
        """For what was typed."""
        parts = self._narrowed
        if len(self.statuses) < len(Status):
            statuses = sql.Literal([str(status) for status in self.statuses])
            parts.append(sql.SQL("purchase.status = ANY({})").format(statuses))
        if self.connection is not None:
            connection = sql.Literal(self.connection)
            parts.append(sql.SQL("purchase.connection_id = {}").format(connection))
        return Search(
            self.prefix,
            FIELDS,
            table=_TABLE,
            row="purchase",
            owners=self.stores,
            narrowed=parts,
        )


_NEWEST = """
    SELECT found.id, 0, found.imported_at
    FROM unnest({statuses}::text[]) AS state (name)
    CROSS JOIN unnest({owners}::bigint[]) AS owner (id)
    CROSS JOIN LATERAL (
        SELECT purchase.id, purchase.imported_at
        FROM connections_purchaseorder purchase
        WHERE {owner} = owner.id AND purchase.status = state.name
          AND {narrowed} AND {beyond}
        ORDER BY purchase.imported_at DESC, purchase.id DESC
        LIMIT {limit}
    ) found
    ORDER BY found.imported_at DESC, found.id DESC
    LIMIT {limit}
"""

_NEWEST_COUNT = """
    SELECT count(*) FROM (
        SELECT
        FROM unnest({statuses}::text[]) AS state (name)
        CROSS JOIN unnest({owners}::bigint[]) AS owner (id)
        CROSS JOIN LATERAL (
            SELECT FROM connections_purchaseorder purchase
            WHERE {owner} = owner.id AND purchase.status = state.name AND {narrowed}
            LIMIT {limit}
        ) found
        LIMIT {limit}
    ) counted
"""

_OLDER = "(purchase.imported_at, purchase.id) < ({key}::timestamptz, {last})"


def page(choice: Choice, place: Sequence[Any], *, limit: int) -> list[Found]:
    """The orders that follow a place (field, key, public id); without one, the first.

    A place that is none, or of another search, counts as without.
    """
    if choice.prefix:
        return choice.search.page(place, limit=limit)
    beyond: sql.Composable = sql.SQL("true")
    if place and (at := _time(place[1])):
        last = id_of(_TABLE, place[2])
        beyond = sql.SQL(_OLDER).format(key=sql.Literal(at), last=last)
    names = {"beyond": beyond, "limit": sql.Literal(limit)}
    rows = read(_NEWEST, **names, **choice.newest)
    return [Found(pk, field, at.isoformat()) for pk, field, at in rows]


def count(choice: Choice, *, limit: int) -> int:
    """How many orders there are, up to `limit`."""
    if choice.prefix:
        return choice.search.count(limit=limit)
    [[found]] = read(_NEWEST_COUNT, limit=sql.Literal(limit), **choice.newest)
    return int(found)


def _time(text: str) -> datetime | None:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return None
    return at if at.tzinfo else None
