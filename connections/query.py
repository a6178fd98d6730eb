"""Run what lists and their downloads ask for in SQL of their own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from django.db import connection as database
from django.db import transaction
from psycopg import sql

# A person's line may be slow; nobody needs longer.
DOWNLOAD_SECONDS = 1800

# Times in files for people; the column's name says that they are UTC.
TIME = sql.Literal("YYYY-MM-DD HH24:MI:SS")


def begins(column: str, prefix: str) -> sql.Composable:
    """That a column begins so: a range of its index. Everything begins with ""."""
    if not prefix:
        return sql.SQL("true")
    return sql.SQL("{} LIKE {}").format(sql.Identifier(column), pattern(prefix))


def pattern(prefix: str) -> sql.Literal:
    """For LIKE: what begins so, wildcards taken at their word."""
    for sign in ("\\", "%", "_"):
        prefix = prefix.replace(sign, f"\\{sign}")
    return sql.Literal(f"{prefix}%")


def read(query: str, **names: sql.Composable) -> list[tuple[Any, ...]]:
    """The rows of a query. Literals, not parameters: each is planned for what it is."""
    with database.cursor() as cursor:
        cursor.execute(sql.SQL(query).format(**names))
        return list(cursor.fetchall())


def stream(query: sql.Composed) -> Iterator[Sequence[str | None]]:
    """The rows of a large query as texts, one at a time (COPY)."""
    with transaction.atomic(), database.cursor() as cursor:
        cursor.execute(f"SET LOCAL statement_timeout = '{DOWNLOAD_SECONDS}s'")
        with cursor.copy(sql.SQL("COPY ({}) TO STDOUT").format(query)) as copy:
            yield from copy.rows()
