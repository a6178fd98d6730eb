"""Apply a stock report: streamed into staging, then one set-based upsert."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from typing import Any, cast

from django.db import connection, transaction
from django.utils import timezone

from connections.deliveries.names import new_name
from connections.failpoints import failpoint
from connections.models import StockReport
from connections.runs.context import RunContext
from connections.stock import reports
from connections.warehouses import file_exchange, inbox
from connections.warehouses.platforms import exchanges_files
from connections.wire.sftp import Sftp
from stores.models import Warehouse

PREFIX = "inv_"

STAGING = """
    CREATE TEMP TABLE staging (
        line integer, sku text COLLATE "C", facility text, available numeric,
        on_hand numeric, committed numeric, reported_at timestamptz
    ) ON COMMIT DROP
"""
COPY = "COPY staging FROM STDIN"

# A row is written only when a figure differs, and numbered only when the available one
# does: a report without changes writes nothing, and nothing is pushed again.
UPSERT = """
    INSERT INTO connections_stocklevel AS level
        (account_id, warehouse_id, sku, facility, available, on_hand, committed,
         reported_at, change_number, changed_at)
    SELECT DISTINCT ON (sku, facility)
        %(account)s, %(warehouse)s, sku, facility, available, on_hand, committed,
        reported_at, %(number)s, now()
    FROM staging
    ORDER BY sku, facility, line DESC
    ON CONFLICT (warehouse_id, sku, facility) DO UPDATE SET
        available = excluded.available,
        on_hand = excluded.on_hand,
        committed = excluded.committed,
        reported_at = excluded.reported_at,
        change_number = CASE WHEN level.available = excluded.available
            THEN level.change_number ELSE excluded.change_number END,
        changed_at = CASE WHEN level.available = excluded.available
            THEN level.changed_at ELSE excluded.changed_at END
    WHERE level.reported_at <= excluded.reported_at
      AND (level.available, level.on_hand, level.committed)
          IS DISTINCT FROM (excluded.available, excluded.on_hand, excluded.committed)
"""


def read_reports(context: RunContext) -> None:
    """Apply every new `inv_*.csv` of the warehouse, oldest first.

    A bad file is recorded with its reasons and never stops the next. Raises WireError,
    Problem.
    """
    warehouse = context.warehouse
    if not exchanges_files(warehouse):
        return  # people upload its reports (`upload`)
    with (
        context.at_warehouse(),
        file_exchange.open_warehouse(warehouse, context.deadline()) as sftp,
    ):
        for file in inbox.unread(sftp, warehouse, PREFIX, StockReport):
            _read(context, sftp, file)


def upload(warehouse: Warehouse, data: bytes) -> StockReport:
    """Apply a report that a person uploads; the same one again changes nothing.

    Raises reports.RefusedReportError with a sentence for the person.
    """
    now = timezone.now()
    try:
        done = apply(
            warehouse,
            inbox.rows_of_bytes(data),
            name=new_name("upload"),
            size=len(data),
            modified_at=now,
        )
    except UnicodeDecodeError:
        raise reports.RefusedReportError("the file is not UTF-8 text") from None
    except csv.Error as error:
        raise reports.RefusedReportError(str(error)) from error
    return cast(StockReport, done)  # a new name is never read before


def apply(
    warehouse: Warehouse,
    rows: Iterable[list[str]],
    *,
    name: str,
    size: int,
    modified_at: datetime,
    fenced: AbstractContextManager[Any] | None = None,
) -> StockReport | None:
    """Write a report's levels and its own row in one transaction; None if read before.

    Raises reports.RefusedReportError and whatever reading the rows raises; nothing is
    written then.
    """
    report = reports.Report()
    with fenced or transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(STAGING)
        with cursor.copy(COPY) as copy:
            for level in reports.levels(iter(rows), report, modified_at):
                copy.write_row(
                    (
                        level.line,
                        level.sku,
                        level.facility,
                        level.available,
                        level.on_hand,
                        level.committed,
                        level.reported_at,
                    )
                )
        report.check()
        # The lock comes after the slow part and before the number: numbers then become
        # visible in their order, and no push can skip one (design.md §3, Stock).
        locked = Warehouse.objects.select_for_update().get(pk=warehouse.pk)
        number = locked.change_number + 1
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
        StockReport.objects.bulk_create([done], ignore_conflicts=True)
        row = StockReport.objects.filter(public_id=done.public_id)
        if not row.exists():
            return None  # somebody else read it while this one was on its way
        cursor.execute(
            UPSERT,
            {
                "account": warehouse.account_id,
                "warehouse": warehouse.pk,
                "number": number,
            },
        )
        done.changed = cursor.rowcount
        if done.changed:
            done.change_number = number
            locked.change_number = number
            locked.save(update_fields=["change_number"])
        row.update(changed=done.changed, change_number=done.change_number)
        failpoint("report.applying")
    failpoint("report.applied")
    return done


def _read(context: RunContext, sftp: Sftp, file: inbox.OutFile) -> None:
    try:
        done = apply(
            context.warehouse,
            inbox.rows_of(sftp, file),
            name=file.name,
            size=file.size,
            modified_at=file.modified_at.astimezone(UTC),
            fenced=context.fenced(),
        )
    except inbox.UnfinishedFileError:
        context.count("files_unfinished")
        return
    except UnicodeDecodeError:
        _refuse(context, file, "the file is not UTF-8 text")
        return
    except (csv.Error, reports.RefusedReportError) as error:
        _refuse(context, file, str(error))
        return
    if done is not None:
        context.count("files_read")
        context.count("levels_changed", done.changed)
        context.note(
            "stock_read",
            file=file.name,
            rows=done.rows,
            changed=done.changed,
            bad_rows=done.bad_rows,
        )


def _refuse(context: RunContext, file: inbox.OutFile, reason: str) -> None:
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
                    problems=[{"line": 1, "reason": reason}],
                )
            ],
            ignore_conflicts=True,
        )
        context.note("stock_refused", file=file.name, reason=reason)
