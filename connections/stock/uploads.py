"""Reports that people upload: kept as they come, looked at, applied when a person says so.

The row waits in between, so that a refresh, Back or another tab finds the same preview,
and whatever is clicked twice happens once.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import asdict
from functools import partial

from django.db import transaction
from django.utils import timezone

from connections.deliveries.names import new_name
from connections.models import StockReport, UploadChunk
from connections.models.stock import UPLOAD_KEPT_FOR
from connections.runs import queue
from connections.runs.transactions import retried
from connections.stock import ingest, preview, reports, staging
from connections.warehouses import inbox
from stores import audit
from stores.models import User, Warehouse

CHUNK_BYTES = 1024 * 1024
NAME_LENGTH = 255

# What people upload instead of CSV, by its first bytes.
WORKBOOKS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")
NOT_A_WORKBOOK = "the file is an Excel workbook; save it as CSV (UTF-8) first"


def begin(warehouse: Warehouse, *, file_name: str, by: User) -> StockReport:
    """Make the row of a report whose bytes are about to come."""
    return StockReport.objects.create(
        account_id=warehouse.account_id,
        warehouse=warehouse,
        name=new_name("upload"),
        size=0,
        state=StockReport.State.ARRIVING,
        file_name=file_name[:NAME_LENGTH],
        uploaded_by=by,
    )


class Incoming:
    """An upload whose bytes are on their way into the database, a chunk each.

    Outside a transaction: a slow line would hold it open.
    """

    def __init__(self, report: StockReport) -> None:
        self.report = report
        self._buffer = bytearray()
        self._chunks = 0

    def add(self, data: bytes) -> None:
        """Take the next bytes."""
        self._buffer += data
        while len(self._buffer) >= CHUNK_BYTES:
            self._keep(CHUNK_BYTES)

    def end(self) -> None:
        """Keep what is left."""
        if self._buffer:
            self._keep(len(self._buffer))

    def _keep(self, size: int) -> None:
        data = zlib.compress(self._buffer[:size], level=1)
        UploadChunk.objects.create(report=self.report, n=self._chunks, data=data)
        del self._buffer[:size]
        self._chunks += 1


def forget(report: StockReport) -> None:
    """Take away an upload that did not come whole, or that was not allowed."""
    StockReport.objects.filter(pk=report.pk, state=StockReport.State.ARRIVING).delete()


def look(report: StockReport, size: int) -> None:
    """Read an upload that is here as a whole, and say on its row what it would change.

    It then waits to be applied, or is refused with its reason.
    """
    report.size = size
    try:
        found = _stage(report).report
    except reports.RefusedReportError as refusal:
        report.state, report.reason = StockReport.State.REFUSED, str(refusal)
        found = refusal.report
        _drop_bytes(report)
    else:
        report.state = StockReport.State.WAITING
        report.preview = asdict(preview.compare(report))
    report.rows, report.bad_rows = found.rows, found.bad_rows
    report.problems = found.problems
    report.save()


def apply(report: StockReport, *, by: User) -> StockReport:
    """Write a waiting report's levels, once; return the row as it then is.

    Whoever comes second, or after it was discarded or expired, changes nothing.
    """

    def change() -> StockReport:
        locked = ingest.lock(report.warehouse)
        row = StockReport.objects.select_for_update().get(pk=report.pk)
        if row.state != StockReport.State.WAITING:
            return row
        reader = staging.of_upload(row.pk)
        if staging.count(reader) != row.rows:
            _stage(row)  # a crash of the database took the rows; the bytes are here
        ingest.write_levels(locked, reader, row)
        row.state = StockReport.State.APPLIED
        row.save()
        _drop_bytes(row)
        audit.record(
            "stock_report.applied",
            row,
            by=by,
            after={"file": row.file_name, "rows": row.rows, "changed": row.changed},
        )
        return row

    row = retried(change)
    if row.state == StockReport.State.APPLIED and row.changed:
        # Behind the write: it may take long, and channels are not kept waiting for it.
        for connection in row.warehouse.connections.select_related("store"):
            retried(partial(queue.enqueue_for_store, connection.store))
    return row


@transaction.atomic
def discard(report: StockReport, *, by: User) -> bool:
    """Let a waiting report change nothing; False when it does not wait any more."""
    waiting = StockReport.objects.filter(pk=report.pk, state=StockReport.State.WAITING)
    if not waiting.update(state=StockReport.State.DISCARDED):
        return False
    _drop_bytes(report)
    staging.clear(staging.of_upload(report.pk))
    audit.record(
        "stock_report.discarded", report, by=by, after={"file": report.file_name}
    )
    return True


def expire() -> None:
    """Forget uploads that nobody came back for; their staged rows go with the others."""
    old = StockReport.objects.filter(read_at__lt=timezone.now() - UPLOAD_KEPT_FOR)
    old.filter(state=StockReport.State.ARRIVING).delete()
    waiting = old.filter(state=StockReport.State.WAITING)
    for report in waiting[:100]:
        with transaction.atomic():
            if waiting.filter(pk=report.pk).update(state=StockReport.State.EXPIRED):
                _drop_bytes(report)


def _stage(report: StockReport) -> ingest.Staged:
    """Stage an upload's rows. Raises reports.RefusedReportError."""
    return ingest.stage(
        staging.of_upload(report.pk),
        inbox.rows_of_pieces(_bytes(report)),
        report.read_at,
    )


def _bytes(report: StockReport) -> Iterator[bytes]:
    chunks = report.chunks.order_by("n").values_list("data", flat=True)
    for n in range(report.chunks.count()):
        data = zlib.decompress(chunks[n])
        if n == 0 and data.startswith(WORKBOOKS):
            raise reports.RefusedReportError(NOT_A_WORKBOOK)
        yield data


def _drop_bytes(report: StockReport) -> None:
    report.chunks.all().delete()
