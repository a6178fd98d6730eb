"""Rows of a report on their way into the levels: short writes, no open transaction.

A far side may take minutes to send a file. Its rows are kept as they come, a batch a
transaction, and applied by one statement once the whole file is here (Q13).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from django.db import connection

from connections.failpoints import failpoint
from connections.models import StagedLevel
from connections.stock.reports import Level

BATCH_ROWS = 5_000

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


def write(reader: Reader, levels: Iterable[Level]) -> None:
    """Keep a report's rows, and nothing that this run staged before."""
    clear(reader)
    for batch in _batches(iter(levels)):
        with connection.cursor() as cursor, cursor.copy(COPY) as copy:
            for level in batch:
                copy.write_row(
                    (
                        reader.run,
                        reader.attempt,
                        level.line,
                        level.sku,
                        level.facility,
                        level.available,
                        level.on_hand,
                        level.committed,
                        level.reported_at,
                    )
                )
        failpoint("report.staging")


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


def _batches(levels: Iterator[Level]) -> Iterator[list[Level]]:
    while batch := list(islice(levels, BATCH_ROWS)):
        yield batch
