"""Hand CSV files out to people; each one is audited (security.md A4)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from django.db import models, transaction
from django.http import StreamingHttpResponse
from django.utils import timezone
from django.utils.http import content_disposition_header

from connections import spreadsheet
from stores import audit
from stores.access import MemberRequest


def csv_download(
    request: MemberRequest,
    name: str,
    header: Sequence[str],
    rows: Iterable[Sequence[str | None]],
    *,
    of: models.Model,
    chosen: Mapping[str, str],
) -> StreamingHttpResponse:
    """Stream the rows; the audit says of what, and what they were chosen by."""
    with transaction.atomic():
        audit.record(f"{name}.exported", of, by=request.user, after=dict(chosen))
    file_name = f"{name.replace('.', '-')}-{timezone.localdate():%Y-%m-%d}.csv"
    return attachment(spreadsheet.lines(header, rows), file_name)


def attachment(pieces: Iterable[bytes], file_name: str) -> StreamingHttpResponse:
    """A CSV file that the browser keeps and does not show (F3)."""
    disposition = str(content_disposition_header(True, file_name))
    return StreamingHttpResponse(
        pieces,
        content_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": disposition},
    )
