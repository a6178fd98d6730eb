"""Rows of a report on their way into the levels: short writes, no open transaction.

A far side may take minutes to send a file. Its rows are kept as they come, a batch a
transaction, and applied by one statement once the whole file is here (Q13).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from django.db import connection

from connections.failpoints import failpoint
from connections.models import StagedLevel
from connections.stock.reports import Levels

BATCH_ROWS = 20_000  # a transaction

COPY = """
    COPY connections_stagedlevel
        (reader, attempt, line, sku, facility, available, on_hand, committed, reported_at)
    FROM STDIN
"""

CLEAR = """
    DELETE FROM connections_stagedlevel
    WHERE reader = %(run)s AND attempt <= %(attempt)s
"""

# Readers are few and rows many: one step of the index for each reader.
DISCARD = """
    WITH RECURSIVE reading AS (
        SELECT min(reader) AS reader FROM connections_stagedlevel
        UNION ALL
        SELECT (SELECT min(reader) FROM connections_stagedlevel
                WHERE reader > reading.reader)
        FROM reading WHERE reader IS NOT NULL
    )
    DELETE FROM connections_stagedlevel
    WHERE reader IN (
        SELECT reader FROM reading
        WHERE NOT EXISTS (
            SELECT FROM connections_syncrun run
            WHERE run.id = reading.reader AND run.state IN ('queued', 'running'))
          AND NOT EXISTS (
            SELECT FROM connections_stockreport report
            WHERE report.id = -reading.reader
              AND report.state IN ('arriving', 'waiting')))
"""


@dataclass(frozen=True)
class Reader:
    """Who reads a report: an attempt of a run. A late one never mixes with the next."""

    run: int
    attempt: int


def of_upload(report_id: int) -> Reader:
    """The reader of a report that a person uploads: it belongs to no run."""
    return Reader(-report_id, 1)


def write(reader: Reader, report: Iterable[Levels]) -> None:
    """Keep a report's rows, and nothing that this run staged before."""
    clear(reader)
    waiting: list[str] = []
    rows = 0
    for levels in report:
        waiting.append(_copied(reader, levels))
        rows += len(levels.lines)
        if rows >= BATCH_ROWS:
            _copy(waiting)
            rows = 0
    if waiting:
        _copy(waiting)


def _copy(waiting: list[str]) -> None:
    with connection.cursor() as cursor, cursor.copy(COPY) as copy:
        copy.write("".join(waiting))
    waiting.clear()
    failpoint("report.staging")


def _copied(reader: Reader, batch: Levels) -> str:
    """The rows as COPY reads them; of what it escapes only backslashes can be there."""
    texts = (batch.skus, batch.facilities)
    skus, facilities = (
        [text.replace("\\", r"\\") for text in column]
        if "\\" in "".join(column)
        else column
        for column in texts
    )
    start = f"{reader.run}\t{reader.attempt}\t"
    rows = zip(
        map(str, batch.lines),
        skus,
        facilities,
        batch.available,
        batch.on_hand,
        batch.committed,
        batch.reported_at,
        strict=True,
    )
    return start + f"\n{start}".join(map("\t".join, rows)) + "\n"


def clear(reader: Reader) -> None:
    """Forget the rows of a run, those of its earlier attempts included."""
    with connection.cursor() as cursor:
        cursor.execute(CLEAR, {"run": reader.run, "attempt": reader.attempt})


def count(reader: Reader) -> int:
    """How many rows are staged; fewer than were written after the database crashed."""
    mine = StagedLevel.objects.filter(reader=reader.run, attempt=reader.attempt)
    return mine.count()


def discard_abandoned() -> None:
    """Forget the rows of runs and uploads that have ended without applying them."""
    with connection.cursor() as cursor:
        cursor.execute(DISCARD)
