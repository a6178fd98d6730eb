"""A stock report from its bytes to applied levels (performance.md §5)."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from tests.bench.growth import analyse, database
from tests.bench.registry import Measured, compare, measure

if TYPE_CHECKING:
    from connections.models import StockReport
    from stores.models import Warehouse

_ROWS = 1_000_000
_PIECE = 32 * 1024  # as an SFTP server hands them out
_ROUNDS = 3
_AT = datetime(2026, 11, 23, 4, 5, 6, tzinfo=UTC)
_readers = itertools.count(1_000_000)

_PEER_TABLE = """
    CREATE UNLOGGED TABLE bench_peer (
        sku varchar(256) COLLATE "C", facility varchar(100), available numeric(20, 4),
        on_hand numeric(20, 4), committed numeric(20, 4), reported_at timestamptz)
"""


def report_csv(rows: int, *, changed: int = 0) -> bytes:
    """A report of so many SKUs; so many of them, evenly spread, with another figure."""
    step = rows // changed if changed else 0
    lines = ["sku,facility,available,on_hand,committed,reported_at\n"]
    for n in range(rows):
        available = n * 31 % 977 + (1 if step and n % step == 0 else 0)
        lines.append(
            f"SKU-{n:08d},WH-{n % 7},{available},{available + n % 5},{n % 5},"
            f"2026-11-23T04:{n // 60 % 60:02d}:{n % 60:02d}Z\n"
        )
    return "".join(lines).encode()


@measure("ingest.unchanged", goal="≥ 0.2 ×")
def ingest_unchanged() -> Measured:
    """A report of 1,000,000 rows that changes nothing, against bare COPY of the same.

    Ours: bytes in pieces, each row checked, staged, compared and applied. The peer's
    table is unlogged, empty, and has no index.
    """
    with database():
        warehouse = _warehouse()
        data = report_csv(_ROWS)
        _apply(warehouse, data)
        analyse()
        _make_peer()

        def ours() -> None:
            done = _apply(warehouse, data)
            if (done.rows, done.changed, done.bad_rows) != (_ROWS, 0, 0):
                raise RuntimeError(f"{done.rows} rows, {done.changed} changed")

        measured = compare(ours, lambda: _copy(data), rounds=_ROUNDS)
    return Measured(measured.ratio, f"{_ROWS:,} rows; {measured.detail}")


@measure("ingest.one_percent", goal="≤ 1 ×")
def ingest_one_percent() -> Measured:
    """Rows written by a report of 1,000,000 of which 1 % changed, against those 1 %.

    Written is what the database counts, tuples inserted, updated and deleted alike.
    """
    with database():
        warehouse = _warehouse()
        _apply(warehouse, report_csv(_ROWS))
        changed = _ROWS // 100
        before = _tuples_written()
        done = _apply(warehouse, report_csv(_ROWS, changed=changed))
        written = _tuples_written() - before
    detail = f"{written:,} rows written, {done.changed:,} reported as changed"
    # Exactly those: too few is as wrong as too many.
    ratio = written / changed if written >= changed else float("inf")
    return Measured(ratio, detail)


def _warehouse() -> Warehouse:
    from tests import factories

    return factories.warehouse(factories.merchant(factories.account()))


def _apply(warehouse: Warehouse, data: bytes) -> StockReport:
    """As a run does it: pieces of the file to staged rows to levels."""
    from django.db import transaction

    from connections.stock import ingest
    from connections.stock.staging import Reader
    from connections.warehouses import inbox

    number = next(_readers)
    pieces = (data[at : at + _PIECE] for at in range(0, len(data), _PIECE))
    staged = ingest.stage(Reader(number, 1), inbox.rows_of_pieces(pieces), _AT)
    with transaction.atomic():
        done = ingest.apply(warehouse, staged, name=f"inv_{number}.csv", size=len(data))
    if done is None:
        raise RuntimeError("the report was read before")
    return done


def _make_peer() -> None:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(_PEER_TABLE)


def _copy(data: bytes) -> None:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE bench_peer")
        with cursor.copy("COPY bench_peer FROM STDIN (FORMAT csv, HEADER)") as copy:
            copy.write(data)


def _tuples_written() -> int:
    """What the database counted on the table of levels, in all transactions so far."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_stat_force_next_flush()")
        cursor.execute(
            "SELECT n_tup_ins + n_tup_upd + n_tup_del FROM pg_stat_user_tables "
            "WHERE relname = 'connections_stocklevel'"
        )
        return int(cursor.fetchone()[0])
