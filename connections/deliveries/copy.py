"""Rows of a query as lines of CSV: PostgreSQL makes the text, not Python."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from django.db import connections as databases
from psycopg import sql


def rows(
    select: Mapping[str, str], source: sql.Composable, *, longest_s: int = 0
) -> Iterator[bytes]:
    """Yield the header and then each row, in the order of `source`.

    `select`: an SQL expression over the columns of `source` for each column of the file.
    Its own database connection: another one writes the file meanwhile. `longest_s`: how
    long it may take; 0 for as long as a large stock takes to be packed.
    """
    columns = sql.SQL(", ").join(
        sql.SQL("{} AS {}").format(sql.SQL(expression), sql.Identifier(name))
        for name, expression in select.items()
    )
    statement = sql.SQL(
        "COPY (SELECT {} FROM ({}) source) TO STDOUT (FORMAT csv, HEADER)"
    ).format(columns, source)
    reader = databases.create_connection("default")
    try:
        with reader.cursor() as cursor:
            cursor.execute(f"SET statement_timeout = '{longest_s}s'")
            with cursor.copy(statement) as lines:
                for line in lines:  # one message a row
                    # A copy at once: a list of the driver's own buffers takes twice
                    # the time of reading them.
                    yield bytes(line)
    finally:
        reader.close()
