"""Apply a stock report: its rows are staged as they come, then one set-based upsert."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from django.db import connection

from connections.alerts.ledger import close_alert, raise_alert
from connections.failpoints import failpoint
from connections.models import Channel, StockReport, SyncRun
from connections.runs import schedule
from connections.runs.context import RunContext
from connections.stock import reports, staging
from connections.stock.staging import Reader
from connections.warehouses import file_exchange, inbox
from connections.warehouses.platforms import exchanges_files
from connections.wire.sftp import Sftp
from stores.models import Warehouse

PREFIX = "inv_"

# A row is written only when a figure differs, and numbered only when the available one
# does: a report without changes writes nothing, and nothing is pushed again. Rows that
# equal their level leave by a plain join; of the others the last one of a SKU counts.
# Nobody else writes levels of a warehouse whose lock is held, so no conflict is looked
# for: that would lock every row (performance.md §5).
WRITE = """
    WITH differing AS MATERIALIZED (
        SELECT staged.line, staged.sku, staged.facility, staged.available,
            staged.on_hand, staged.committed, staged.reported_at, level.id AS level_id
        FROM connections_stagedlevel staged
        LEFT JOIN connections_stocklevel level
            ON level.warehouse_id = %(warehouse)s
            AND level.sku = staged.sku AND level.facility = staged.facility
        WHERE staged.reader = %(reader)s AND staged.attempt = %(attempt)s
          AND (level.id IS NULL
            OR (level.available, level.on_hand, level.committed) IS DISTINCT FROM
               (staged.available, staged.on_hand, staged.committed))
    ), last AS MATERIALIZED (
        SELECT * FROM differing
        WHERE NOT EXISTS (
            SELECT FROM connections_stagedlevel later
            WHERE later.reader = %(reader)s AND later.attempt = %(attempt)s
              AND later.sku = differing.sku AND later.facility = differing.facility
              AND later.line > differing.line)
    ), updated AS (
        UPDATE connections_stocklevel level SET
            available = last.available,
            on_hand = last.on_hand,
            committed = last.committed,
            reported_at = last.reported_at,
            change_number = CASE WHEN level.available = last.available
                THEN level.change_number ELSE %(number)s END,
            changed_at = CASE WHEN level.available = last.available
                THEN level.changed_at ELSE now() END
        FROM last
        WHERE level.warehouse_id = %(warehouse)s AND level.id = last.level_id
          AND (level.reported_at <= last.reported_at
            OR level.reported_at > statement_timestamp())
        RETURNING 1
    ), added AS (
        INSERT INTO connections_stocklevel
            (account_id, warehouse_id, sku, facility, available, on_hand, committed,
             reported_at, change_number, changed_at)
        SELECT %(account)s, %(warehouse)s, sku, facility, available, on_hand, committed,
            reported_at, %(number)s, now()
        FROM last WHERE level_id IS NULL
        RETURNING 1
    )
    SELECT (SELECT count(*) FROM updated) + (SELECT count(*) FROM added),
        (SELECT count(*) FROM last)
"""


MANY_ROWS = 1_000


class StagingLostError(Exception):
    """Rows are gone: a crash of the database empties what is not logged. Read again."""


def read_reports(context: RunContext) -> None:
    """Apply every new `inv_*.csv` of the warehouse, oldest first.

    A bad file is recorded with its reasons and never stops the next. Raises WireError,
    Problem.
    """
    warehouse = context.warehouse
    if not exchanges_files(warehouse):
        return  # people upload its reports (stock/uploads.py)
    with (
        context.at_warehouse(),
        file_exchange.open_warehouse(warehouse, context.deadline()) as sftp,
    ):
        unreadable = []
        for file in inbox.unread(sftp, warehouse, PREFIX, StockReport):
            try:
                _read(context, sftp, file)
            except inbox.UnreadableFileError:
                unreadable.append(file.name)
        inbox.tell_unreadable(context, unreadable)


@dataclass(frozen=True)
class Staged:
    """A report whose good rows are all staged."""

    reader: Reader
    report: reports.Report


def stage(reader: Reader, rows: Iterable[list[str]], modified_at: datetime) -> Staged:
    """Take a report's rows in; none of them counts yet.

    Raises reports.RefusedReportError and whatever reading the bytes raises.
    """
    report = reports.Report()
    now = schedule.database_now()
    try:
        staging.write(reader, reports.levels(iter(rows), report, modified_at, now))
    except UnicodeDecodeError:
        raise reports.RefusedReportError("the file is not UTF-8 text") from None
    except csv.Error as error:
        raise reports.RefusedReportError(str(error)) from error
    report.check()
    return Staged(reader, report)


def apply(
    warehouse: Warehouse, staged: Staged, *, name: str, size: int
) -> StockReport | None:
    """Write a report's levels and its own row; None if it was read before.

    Runs in the caller's transaction. Raises StagingLostError.
    """
    reader, report = staged.reader, staged.report
    done = StockReport(
        account_id=warehouse.account_id,
        warehouse=warehouse,
        name=name,
        size=size,
        state=StockReport.State.APPLIED,
        rows=report.rows,
        bad_rows=report.bad_rows,
        problems=report.problems,
    )
    locked = lock(warehouse)
    StockReport.objects.bulk_create([done], ignore_conflicts=True)
    row = StockReport.objects.filter(public_id=done.public_id)
    if not row.exists():
        return None  # somebody else read it while this one was on its way
    write_levels(locked, reader, done)
    row.update(changed=done.changed, late=done.late, change_number=done.change_number)
    failpoint("report.applying")
    return done


def lock(warehouse: Warehouse) -> Warehouse:
    """Take the warehouse's lock for the caller's transaction.

    It comes before the number: numbers then become visible in their order, and no push
    can skip one (design.md §3, Stock).
    """
    return Warehouse.objects.select_for_update().get(pk=warehouse.pk)


def write_levels(locked: Warehouse, reader: Reader, report: StockReport) -> None:
    """Write a report's staged rows into the levels, and what that came to onto it.

    The report itself is not saved. Raises StagingLostError.
    """
    if staging.count(reader) != report.rows:
        raise StagingLostError
    number = locked.change_number + 1
    with connection.cursor() as cursor:
        if report.rows > MANY_ROWS:
            # Nothing is known of rows that came this minute: the planner takes them for
            # few, and would look for each one's level, and its later rows, apart.
            cursor.execute(
                "SET LOCAL enable_nestloop = off; SET LOCAL work_mem = '64MB'"
            )
        cursor.execute(
            WRITE,
            {
                "reader": reader.run,
                "attempt": reader.attempt,
                "account": locked.account_id,
                "warehouse": locked.pk,
                "number": number,
            },
        )
        report.changed, differing = cursor.fetchone()
    report.late = differing - report.changed
    staging.clear(reader)
    if report.changed:
        report.change_number = locked.change_number = number
        locked.save(update_fields=["change_number"])


def _read(context: RunContext, sftp: Sftp, file: inbox.OutFile) -> None:
    reader = Reader(context.run.pk, context.run.attempts)
    try:
        staged = stage(
            reader, inbox.rows_of(sftp, file), file.modified_at.astimezone(UTC)
        )
    except inbox.UnfinishedFileError:
        context.count("files_unfinished")
        return
    except inbox.UnusableFileError as error:
        _refuse(context, file, reports.RefusedReportError(str(error)))
        return
    except reports.RefusedReportError as refusal:
        _refuse(context, file, refusal)
        return
    failpoint("report.staged")
    with context.fenced():
        done = apply(context.warehouse, staged, name=file.name, size=file.size)
        if done is not None:
            context.note(
                "stock_read",
                file=file.name,
                rows=done.rows,
                changed=done.changed,
                bad_rows=done.bad_rows,
            )
            _tell_late(context, done)
    failpoint("report.applied")
    if done is not None:
        context.count("files_read")
        context.count("levels_changed", done.changed)


def _tell_late(context: RunContext, report: StockReport) -> None:
    if report.late:
        context.note("stock_late", file=report.name, late=report.late)
    if report.is_late:
        raise_alert(
            "report_late",
            channel=context.channel,
            side=SyncRun.Side.WAREHOUSE,
            detail=report.name,
        )
        return
    # Another connection of the warehouse may have read the one before.
    for channel in Channel.objects.filter(connection__warehouse=context.warehouse):
        close_alert("report_late", channel=channel)


def _refuse(
    context: RunContext, file: inbox.OutFile, refusal: reports.RefusedReportError
) -> None:
    context.count("files_refused")
    with context.fenced():
        StockReport.objects.bulk_create(
            [
                StockReport(
                    account_id=context.warehouse.account_id,
                    warehouse=context.warehouse,
                    name=file.name,
                    size=file.size,
                    state=StockReport.State.REFUSED,
                    reason=str(refusal),
                    rows=refusal.report.rows,
                    bad_rows=refusal.report.bad_rows,
                    problems=refusal.report.problems,
                )
            ],
            ignore_conflicts=True,
        )
        context.note("stock_refused", file=file.name, reason=str(refusal))
