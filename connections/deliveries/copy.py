"""Rows of a query as lines of CSV: PostgreSQL makes the text, not Python."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from django.db import connections as databases
from psycopg import sql
from psycopg.errors import OperationalError, error_from_result
from psycopg.pq import ExecStatus
from psycopg.pq.abc import PGconn, PGresult


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
            # A timestamp reads YYYY-MM-DD HH:MM:SS, whatever the server's locale.
            cursor.execute("SET datestyle = ISO")
            libpq = cursor.connection.pgconn
            yield from _messages(libpq, statement.as_bytes(cursor.connection))
    finally:
        reader.close()


def _messages(libpq: PGconn, statement: bytes) -> Iterator[bytes]:
    """What COPY sends, a message a row. Raises psycopg.Error.

    By libpq's own calls, as psycopg lays them open: its loop around them takes longer
    than they do.
    """
    _must_be(ExecStatus.COPY_OUT, libpq.exec_(statement))
    while True:
        size, line = libpq.get_copy_data(0)  # waits for it
        if size < 0:
            break
        # A copy at once: a list of the driver's own buffers takes twice the time.
        yield bytes(line)
    _must_be(ExecStatus.COMMAND_OK, libpq.get_result())


def _must_be(status: ExecStatus, result: PGresult | None) -> None:
    if result is None:
        raise OperationalError("COPY came to no end")
    if result.status != status:
        raise error_from_result(result)
