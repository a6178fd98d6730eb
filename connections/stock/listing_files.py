"""Files of listings (docs/formats.md): kept, looked at, applied when a person says so."""

from __future__ import annotations

import csv
import zlib
from collections.abc import Iterator
from decimal import Decimal

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from connections import spreadsheet
from connections.models import ListingsFile
from connections.models.listings import IMPORT_KEPT_FOR
from connections.stock import listings
from connections.stock.listings import Plan, Row
from connections.stock.reports import SKU_LENGTH, number_of, text_of
from connections.stock.uploads import WORKBOOKS
from connections.warehouses import inbox
from stores import audit
from stores.models import Store, User

HEADER = (
    *("sku", "channel_sku", "variant_id", "title"),
    *("component", "quantity", "retired"),
)
LIMIT_BYTES = 20 * 1024 * 1024
NAME_LENGTH = 255
# Of a component: what its column holds.
MOST = Decimal(10**8)

_RETIRED = {"": False, "no": False, "false": False, "0": False}
_RETIRED |= {"yes": True, "true": True, "1": True}


class RefusedFileError(Exception):
    """The file is not one of listings; the message says why."""


def keep(store: Store, data: bytes, *, file_name: str, by: User) -> ListingsFile:
    """Keep a file that somebody chose, so that its preview can be looked at."""
    return ListingsFile.objects.create(
        account_id=store.account_id,
        store=store,
        file_name=file_name[:NAME_LENGTH],
        data=zlib.compress(data, level=1),
        uploaded_by=by,
    )


def look(file: ListingsFile) -> Plan:
    """Say what the file would change now. Raises RefusedFileError."""
    plan = Plan()
    return listings.preview(file.store, _rows(file, plan), plan)


@transaction.atomic
def apply(file: ListingsFile, *, by: User) -> Plan | None:
    """Change the listings to what the file says, once; None: it was applied before.

    Raises RefusedFileError, listings.RefusedListingsError; then nothing was changed.
    """
    row = ListingsFile.objects.select_for_update().get(pk=file.pk)
    if row.applied_at is not None:
        return None
    plan = Plan()
    facts = {"file": row.file_name}
    done = listings.change(row.store, _rows(row, plan), by=by, plan=plan, facts=facts)
    row.applied_at, row.data = timezone.now(), b""
    row.save(update_fields=["applied_at", "data"])
    return done


@transaction.atomic
def discard(file: ListingsFile, *, by: User) -> None:
    """Forget a file that waits."""
    deleted, _of = ListingsFile.objects.filter(
        pk=file.pk, applied_at__isnull=True
    ).delete()
    if deleted:
        audit.record(
            "listings.discarded", file.store, by=by, after={"file": file.file_name}
        )


def expire() -> None:
    """Forget the files that nobody came back for, and those applied long ago."""
    before = timezone.now() - IMPORT_KEPT_FOR
    ListingsFile.objects.filter(uploaded_at__lt=before).delete()


def _rows(file: ListingsFile, plan: Plan) -> Iterator[Row]:
    """The good rows; the bad ones become problems of the plan.

    Raises RefusedFileError for what is no file of listings.
    """
    data = zlib.decompress(file.data)
    if data.startswith(WORKBOOKS):
        raise RefusedFileError(
            _("the file is an Excel workbook; save it as CSV (UTF-8) first")
        )
    try:
        rows = inbox.rows_of_pieces([data])
        columns = _columns(next(rows, None))
        for line, row in enumerate(rows, start=2):
            if not any(row):
                continue
            try:
                yield _row(line, row, columns)
            except ValueError as error:
                plan.problem(line, str(error))
    except UnicodeDecodeError:
        raise RefusedFileError(_("the file is not UTF-8 text")) from None
    except csv.Error as error:
        raise RefusedFileError(str(error)) from error


def _columns(header: list[str] | None) -> dict[str, int]:
    names = [name.strip().casefold().replace(" ", "_") for name in header or ()]
    if not any(names):
        raise RefusedFileError(_("the file is empty"))
    if len(set(names)) != len(names):
        raise RefusedFileError(_("a column appears twice"))
    if "sku" not in names:
        raise RefusedFileError(_("there is no column sku"))
    # A misspelt variant_id would change every id.
    unknown = [name for name in names if name not in HEADER]
    if unknown:
        raise RefusedFileError(
            _("there is no column called %(name)s; there are %(known)s")
            % {"name": unknown[0][:40] or '""', "known": ", ".join(HEADER)}
        )
    return {name: at for at, name in enumerate(names)}


def _row(line: int, row: list[str], columns: dict[str, int]) -> Row:
    if len(row) != len(columns):
        raise ValueError(f"{len(row)} values, the header has {len(columns)}")

    def value(name: str) -> str:
        text = row[columns[name]].strip() if name in columns else ""
        return text_of(name, spreadsheet.plain(text), SKU_LENGTH)

    retired = _RETIRED.get(value("retired").casefold())
    if retired is None:
        raise ValueError(f"retired is neither yes nor no: {value('retired')[:40]!r}")
    sku = value("sku")
    channel_sku = value("channel_sku") or sku
    variant_id = value("variant_id") or channel_sku
    if retired:
        if not variant_id:
            raise ValueError("variant_id is empty")
        return Row(line, variant_id, retired=True)
    if not sku:
        raise ValueError("sku is empty")
    component, quantity = value("component"), number_of("quantity", value("quantity"))
    if bool(component) != (quantity is not None):
        raise ValueError("component and quantity go together")
    if quantity is not None and not 0 < quantity < MOST:
        raise ValueError("quantity is not above zero, or too large")
    return Row(
        line,
        variant_id,
        sku,
        channel_sku,
        value("title"),
        component=component,
        quantity=quantity,
    )
