"""The list of purchase orders: the newest first, or what begins with what was typed.

Whoever calls has narrowed stores and connection to those that the person may see. A page
costs the same wherever it is cut and however many orders there are: every status of
every owner gives as many rows as a page holds, in the order of an index
(docs/decisions/0022-order-lists.md).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg import sql

from connections.models import PurchaseOrder
from connections.query import pattern, read

Status = PurchaseOrder.Status


@dataclass(frozen=True)
class Choice:
    """Which orders. `account`: all of its stores; otherwise those of `stores` alone.

    `prefix` is what the PO number, the vendor (whatever its case) or a SKU begins with.
    `held`: only those that wait for a person. `since` and `before`: when imported.
    """

    stores: Collection[int]
    account: int | None = None
    connection: int | None = None
    statuses: Collection[str] = tuple(Status)
    held: bool = False
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
    def _times(self) -> list[sql.Composable]:
        bounds = {">=": self.since, "<": self.before}
        return [
            sql.SQL(f"purchase.imported_at {sign} {{}}").format(sql.Literal(at))
            for sign, at in bounds.items()
            if at is not None
        ]

    @property
    def _held(self) -> list[sql.Composable]:
        return [sql.SQL("purchase.held <> ''")] if self.held else []

    @property
    def newest(self) -> dict[str, sql.Composable]:
        """What the statements for the newest orders need."""
        column, owners = self._owner
        return {
            "owner": sql.Identifier("purchase", column),
            "owners": sql.Literal(owners),
            "statuses": sql.Literal([str(status) for status in self.statuses]),
            "narrowed": _all([*self._times, *self._held]),
        }

    def begins(self, field: _Field) -> dict[str, sql.Composable]:
        """What the statements for one searched field need."""
        parts = [*self._times, *self._held]
        if len(self.statuses) < len(Status):
            statuses = sql.Literal([str(status) for status in self.statuses])
            parts.append(sql.SQL("purchase.status = ANY({})").format(statuses))
        if self.connection is not None:
            connection = sql.Literal(self.connection)
            parts.append(sql.SQL("purchase.connection_id = {}").format(connection))
        names = {"pattern": pattern(self.prefix)}
        # An order that was found by an earlier field is not found again.
        earlier = FIELDS[: FIELDS.index(field)]
        parts += [sql.SQL(f"NOT {one.matches}").format(**names) for one in earlier]
        parts.append(sql.SQL(field.matches).format(**names))
        parts.append(sql.SQL(field.once).format(**names))
        return {
            "source": sql.SQL(field.source),
            "owned": sql.SQL(f"{field.owner} = owner.id"),
            "key": sql.SQL(field.key),
            "stores": sql.Literal(list(self.stores)),
            "narrowed": _all(parts),
        }


@dataclass(frozen=True)
class _Field:
    """Something that a search looks at: where it stands and when it matches."""

    key: str
    matches: str
    source: str = "connections_purchaseorder purchase"
    owner: str = "purchase.store_id"
    once: str = "true"


FIELDS = (
    _Field("purchase.reference", "(purchase.reference LIKE {pattern})"),
    _Field(
        'lower(purchase.vendor) COLLATE "C"',
        '(lower(purchase.vendor) COLLATE "C" LIKE lower({pattern}))',
    ),
    _Field(
        "line.sku",
        "(line.sku LIKE {pattern})",
        source="connections_purchaseorderline line "
        "JOIN connections_purchaseorder purchase ON purchase.id = line.order_id",
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
class Found:
    """An order, and where it stands: the field that matched and its text, or the time."""

    pk: int
    field: int
    key: str


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

# One field after the other, each only while there is room left.
_BEGINS = """
    SELECT found.id, {field} AS field, found.key
    FROM unnest({stores}::bigint[]) AS owner (id)
    CROSS JOIN LATERAL (
        SELECT purchase.id, {key} AS key FROM {source}
        WHERE {owned} AND {narrowed} AND {beyond}
        ORDER BY {key}, purchase.id DESC
        LIMIT {limit}
    ) found
    WHERE {before} < {limit}
    ORDER BY found.key, found.id DESC
    LIMIT {limit}
"""

_BEGINS_COUNT = """
    SELECT FROM unnest({stores}::bigint[]) AS owner (id)
    CROSS JOIN LATERAL (
        SELECT FROM {source} WHERE {owned} AND {narrowed} LIMIT {limit}
    ) found
    WHERE {before} < {limit}
    LIMIT {limit}
"""

# The last order shown may be gone by now: its page then begins a little earlier.
_ROW = """coalesce(
    (SELECT id FROM connections_purchaseorder WHERE public_id = {row}::uuid),
    9223372036854775807
)"""
_OLDER = f"(purchase.imported_at, purchase.id) < ({{key}}::timestamptz, {_ROW})"
# The first part is the index's; the second leaves out what was shown.
_FURTHER = f"""
    ({{column}} >= {{key}} AND ({{column}} > {{key}} OR purchase.id < {_ROW}))
"""


def page(choice: Choice, place: Sequence[Any], *, limit: int) -> list[Found]:
    """The orders that follow a place (field, key, public id); without one, the first.

    A place that is none, or of another search, counts as without.
    """
    if choice.prefix:
        return _page_of_search(choice, place, limit)
    beyond: sql.Composable = sql.SQL("true")
    if place and (at := _time(place[1])):
        beyond = sql.SQL(_OLDER).format(key=sql.Literal(at), row=_row(place))
    names = {"beyond": beyond, "limit": sql.Literal(limit)}
    rows = read(_NEWEST, **names, **choice.newest)
    return [Found(pk, field, at.isoformat()) for pk, field, at in rows]


def count(choice: Choice, *, limit: int) -> int:
    """How many orders there are, up to `limit`."""
    cap = sql.Literal(limit)
    if choice.prefix:
        parts = [(_BEGINS_COUNT, choice.begins(field)) for field in FIELDS]
        statement = _in_turn("SELECT count(*)", parts, cap)
        [[found]] = read("{statement}", statement=statement)
        return min(int(found), limit)
    [[found]] = read(_NEWEST_COUNT, limit=cap, **choice.newest)
    return int(found)


def _page_of_search(choice: Choice, place: Sequence[Any], limit: int) -> list[Found]:
    first = int(place[0]) if place and 0 <= place[0] < len(FIELDS) else 0
    parts = []
    for number, field in enumerate(FIELDS[first:], start=first):
        beyond: sql.Composable = sql.SQL("true")
        if place and number == place[0]:
            beyond = sql.SQL(_FURTHER).format(
                column=sql.SQL(field.key), key=sql.Literal(place[1]), row=_row(place)
            )
        names = {"field": sql.Literal(number), "beyond": beyond}
        parts.append((_BEGINS, names | choice.begins(field)))
    cap = sql.Literal(limit)
    statement = _in_turn("SELECT id, field, key", parts, cap)
    order = "{statement} ORDER BY field, key, id DESC LIMIT {limit}"
    return [Found(*row) for row in read(order, statement=statement, limit=cap)]


def _in_turn(
    what: str,
    parts: Sequence[tuple[str, Mapping[str, sql.Composable]]],
    limit: sql.Composable,
) -> sql.Composable:
    """Select from all parts; one is looked at only while those before fill no page."""
    names = [sql.Identifier(f"part_{number}") for number in range(len(parts))]
    expressions = []
    for number, (statement, values) in enumerate(parts):
        counts = [
            sql.SQL("(SELECT count(*) FROM {})").format(name) for name in names[:number]
        ]
        before = sql.SQL(" + ").join([sql.SQL("0"), *counts])
        body = sql.SQL(statement).format(limit=limit, before=before, **values)
        head = sql.SQL("{} AS MATERIALIZED ({})").format(names[number], body)
        expressions.append(head)
    tables = (sql.SQL("SELECT * FROM {}").format(name) for name in names)
    return sql.SQL("WITH {} {} FROM ({}) found").format(
        sql.SQL(", ").join(expressions),
        sql.SQL(what),
        sql.SQL(" UNION ALL ").join(tables),
    )


def _row(place: Sequence[Any]) -> sql.Composable:
    return sql.Literal(place[2])


def _time(text: str) -> datetime | None:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return None
    return at if at.tzinfo else None


def _all(parts: Sequence[sql.Composable]) -> sql.Composable:
    return sql.SQL(" AND ").join(parts or [sql.SQL("true")])
