"""Search in several fields: what begins so, one field after the other, by their indexes.

An owner's rows of each field are read in the order of an index, up to as many as a page
holds, and a field only while those before it fill no page. So a page costs the same
wherever it is cut and however many rows there are
(docs/decisions/0022-order-lists.md). Texts here are SQL of this package, never a person's.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from psycopg import sql

from connections.query import pattern, read


@dataclass(frozen=True)
class Field:
    """Something that a search looks at: where it stands, when it matches `{pattern}`.

    `owner` is the column whose index it begins with. `once`: which of several matches of
    the same row stands for it.
    """

    key: str
    matches: str
    source: str
    owner: str
    once: str = "true"


@dataclass(frozen=True)
class Search:
    """What is looked for, among the rows of `owners` that also hold `narrowed`.

    `row` is the alias of what is found, in every field's source; `table` its table.
    """

    prefix: str
    fields: Sequence[Field]
    table: str
    row: str
    owners: Collection[int]
    narrowed: Sequence[sql.Composable] = field(default=())

    def page(self, place: Sequence[Any], *, limit: int) -> list[Found]:
        """The rows after a place (field, key, public id); without one, the first.

        A place that is none, or of another search, counts as without.
        """
        first = int(place[0]) if place and 0 <= place[0] < len(self.fields) else 0
        parts = []
        for number, one in enumerate(self.fields[first:], start=first):
            beyond: sql.Composable = sql.SQL("true")
            if place and number == place[0]:
                beyond = self._further(one, place)
            names = {"field": sql.Literal(number), "beyond": beyond}
            parts.append((_BEGINS, names | self._names(one)))
        cap = sql.Literal(limit)
        statement = _in_turn("SELECT id, field, key", parts, cap)
        order = "{statement} ORDER BY field, key, id DESC LIMIT {limit}"
        return [Found(*row) for row in read(order, statement=statement, limit=cap)]

    def count(self, *, limit: int) -> int:
        """How many rows match, up to `limit`."""
        parts = [(_BEGINS_COUNT, self._names(one)) for one in self.fields]
        cap = sql.Literal(limit)
        statement = _in_turn("SELECT count(*)", parts, cap)
        [[found]] = read("{statement}", statement=statement)
        return min(int(found), limit)

    def _names(self, of: Field) -> dict[str, sql.Composable]:
        names = {"pattern": pattern(self.prefix)}
        # A row that was found by an earlier field is not found again.
        earlier = self.fields[: self.fields.index(of)]
        parts = [*self.narrowed]
        parts += [sql.SQL(f"NOT {one.matches}").format(**names) for one in earlier]
        parts.append(sql.SQL(of.matches).format(**names))
        parts.append(sql.SQL(of.once).format(**names))
        return {
            "source": sql.SQL(of.source),
            "row": sql.Identifier(self.row),
            "owned": sql.SQL(f"{of.owner} = owner.id"),
            "key": sql.SQL(of.key),
            "owners": sql.Literal(list(self.owners)),
            "narrowed": all_of(parts),
        }

    def _further(self, of: Field, place: Sequence[Any]) -> sql.Composable:
        return sql.SQL(_FURTHER).format(
            column=sql.SQL(of.key),
            key=sql.Literal(place[1]),
            id=sql.Identifier(self.row, "id"),
            last=id_of(self.table, place[2]),
        )


@dataclass(frozen=True)
class Found:
    """A row, and where it stands: the field that matched and its text, or the time."""

    pk: int
    field: int
    key: str


_BEGINS = """
    SELECT found.id, {field} AS field, found.key
    FROM unnest({owners}::bigint[]) AS owner (id)
    CROSS JOIN LATERAL (
        SELECT {row}.id, {key} AS key FROM {source}
        WHERE {owned} AND {narrowed} AND {beyond}
        ORDER BY {key}, {row}.id DESC
        LIMIT {limit}
    ) found
    WHERE {before} < {limit}
    ORDER BY found.key, found.id DESC
    LIMIT {limit}
"""

_BEGINS_COUNT = """
    SELECT FROM unnest({owners}::bigint[]) AS owner (id)
    CROSS JOIN LATERAL (
        SELECT FROM {source} WHERE {owned} AND {narrowed} LIMIT {limit}
    ) found
    WHERE {before} < {limit}
    LIMIT {limit}
"""

# The first part is the index's; the second leaves out what was shown.
_FURTHER = "({column} >= {key} AND ({column} > {key} OR {id} < {last}))"

# The last row shown may be gone by now: its page then begins a little earlier.
_ID = "coalesce((SELECT id FROM {table} WHERE public_id = {row}::uuid), {most})"
_MOST = 2**63 - 1


def id_of(table: str, public_id: Any) -> sql.Composable:
    """A row's key, by its public id."""
    return sql.SQL(_ID).format(
        table=sql.Identifier(table),
        row=sql.Literal(public_id),
        most=sql.Literal(_MOST),
    )


def all_of(parts: Sequence[sql.Composable]) -> sql.Composable:
    """That all of them hold; of none, true."""
    return sql.SQL(" AND ").join(parts or [sql.SQL("true")])


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
