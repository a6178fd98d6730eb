"""Read `rcp_*.csv` from the warehouse: what arrived adds up, each receipt once."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Set
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import cast

from django.db import transaction
from django.db.models import Exists, F, OuterRef, Sum
from django.utils import timezone

from connections import platforms
from connections.failpoints import failpoint
from connections.models import (
    Connection,
    PurchaseOrder,
    PurchaseOrderLine,
    Receipt,
    ReceiptLine,
    SyncRun,
)
from connections.models.activity import note
from connections.orders.standing import standing, status_of
from connections.runs.context import DUPLICATES_PREVENTED, RunContext
from connections.warehouses import file_exchange, inbox
from connections.warehouses.platforms import exchanges_files
from connections.warehouses.times import time_of
from stores import audit
from stores.models import User, Warehouse

PREFIX = "rcp_"
REQUIRED = ("receipt_id", "sku", "quantity")
State = Receipt.State
Status = PurchaseOrder.Status


@dataclass
class ReportedReceipt:
    """One receipt as a file tells it."""

    external_id: str
    po_id: str
    po_number: str
    received_at: datetime | None
    lines: list[tuple[str, str, Decimal]] = field(default_factory=list)  # id, sku, qty


def read_receipts(context: RunContext) -> None:
    """Apply every new `rcp_*.csv`, oldest first; a bad one never stops the next."""
    warehouse = context.warehouse
    if not exchanges_files(warehouse):
        return  # people enter its receipts (`enter`)
    with (
        context.at_warehouse(),
        file_exchange.open_warehouse(warehouse, context.deadline()) as sftp,
    ):
        unreadable = []
        for file in inbox.unread(sftp, warehouse, PREFIX, Receipt):
            try:
                found = parse(inbox.rows_of(sftp, file))
            except inbox.UnfinishedFileError:
                context.count("files_unfinished")
            except inbox.UnreadableFileError:
                unreadable.append(file.name)
            except UnicodeDecodeError:
                _refuse(context, file.name, "the file is not UTF-8 text")
            except (ValueError, csv.Error, inbox.UnusableFileError) as error:
                _refuse(context, file.name, str(error))
            else:
                # All of a file or nothing: half of it would make its name a read one.
                with context.fenced():
                    new = [_apply(context, file.name, reported) for reported in found]
                    failpoint("receipts.applying")
                failpoint("receipts.applied")
                if any(new):
                    context.count("files_read")
                elif not _is_read(context.warehouse, file.name):
                    # A row that says so, or the file would be read at every run.
                    _refuse(context, file.name, "all of it was read before")
        inbox.tell_unreadable(context, unreadable)


def parse(rows: Iterator[list[str]]) -> list[ReportedReceipt]:
    """Read a whole file. Raises ValueError with line and reason: a receipt is applied
    in full or not at all."""
    header = next(rows, None)
    if not header:
        raise ValueError("the file is empty")
    columns = {name.strip().casefold(): at for at, name in enumerate(header)}
    missing = [name for name in REQUIRED if name not in columns]
    if missing or not columns.keys() & {"po_id", "po_number"}:
        raise ValueError("columns are missing: " + ", ".join(missing or ["po_id"]))
    receipts: dict[str, ReportedReceipt] = {}
    for line, row in enumerate(rows, start=2):
        if not row:
            continue
        if len(row) != len(header):
            raise ValueError(f"line {line}: {len(row)} values instead of {len(header)}")
        if any("\0" in cell for cell in row):
            raise ValueError(f"line {line}: a character that is no text")
        value = {name: row[at].strip() for name, at in columns.items()}
        if not value["receipt_id"]:
            raise ValueError(f"line {line}: receipt_id is empty")
        receipt = receipts.setdefault(
            value["receipt_id"],
            ReportedReceipt(
                external_id=value["receipt_id"][:128],
                po_id=value.get("po_id", ""),
                po_number=value.get("po_number", ""),
                received_at=_time(line, value.get("received_at", "")),
            ),
        )
        for name in ("po_id", "po_number"):  # blank: that of the lines before
            if value.get(name) and value[name] != getattr(receipt, name):
                raise ValueError(
                    f"line {line}: receipt {value['receipt_id'][:40]} names another order"
                )
        receipt.lines.append(
            (value.get("line_id", ""), value["sku"], _quantity(line, value["quantity"]))
        )
    if not receipts:
        raise ValueError("the file holds no receipt")
    return list(receipts.values())


def _is_read(warehouse: Warehouse, file_name: str) -> bool:
    """Whether the run of another store of this warehouse has come first."""
    known = Receipt.objects.filter(warehouse=warehouse, file_name=file_name)
    return known.exists()


def _apply(context: RunContext, file_name: str, reported: ReportedReceipt) -> bool:
    """Store one receipt and add it up, in one transaction; False if it was known."""
    with context.fenced():
        name = reported.po_id or reported.po_number
        order = find_order(context.warehouse, reported.po_id, reported.po_number)
        receipt = Receipt(
            account_id=context.run.account_id,
            warehouse=context.warehouse,
            order=order,
            order_name=name[:256],
            po_number=(str(order) if order else reported.po_number or name)[:256],
            external_id=reported.external_id,
            file_name=file_name,
            state=State.ERROR if order is None else first_state(order),
            error=_no_order(reported.po_number or name) if order is None else "",
            received_at=reported.received_at,
        )
        Receipt.objects.bulk_create([receipt], ignore_conflicts=True)
        stored = Receipt.objects.filter(public_id=receipt.public_id).first()
        if stored is None:
            context.count("receipts_repeated")  # sent again in another file
            context.count(DUPLICATES_PREVENTED)
            return False
        ReceiptLine.objects.bulk_create(
            ReceiptLine(
                receipt=stored,
                warehouse=context.warehouse,
                line_name=line_id[:128],
                sku=sku[:256],
                quantity=quantity,
            )
            for line_id, sku, quantity in reported.lines
        )
        context.count("receipts_read")
        if order is not None:
            match_lines(stored, order)
            add_up(order)
            _note(stored, order, order.connection or context.connection, context.run)
    return True


def _note(
    receipt: Receipt,
    order: PurchaseOrder,
    connection: Connection,
    run: SyncRun | None = None,
) -> None:
    note(
        "order_received_by_hand" if receipt.is_by_hand else "order_received",
        connection=connection,
        run=run,
        order=order,
        number=str(order),
        receipt=receipt.external_id,
        status=order.status,
    )


def read_again(orders: Collection[PurchaseOrder]) -> None:
    """Give orders that are new at a warehouse the receipts that came before them."""
    read_again_for(
        {name for order in orders for name in (order.external_id, order.reference)},
        {order.connection.warehouse_id for order in orders if order.connection},
    )


def read_again_for(names: Set[str], warehouses: Set[int]) -> None:
    """Give orders, by their ids and numbers, the receipts that came before them.

    Those of the version before do not say whose they are: their files are read once
    more. Other receipts of the same files are known by their ids and count once.
    """
    orphans = Receipt.objects.filter(
        warehouse__in=warehouses, order=None, state=State.ERROR
    )
    if not orphans.exists():
        return  # as nearly always
    orphans.filter(
        order_name="", error__in=[_no_order(name) for name in names if name]
    ).delete()
    for receipt in orphans.filter(order_name__in=names - {""}).order_by("pk"):
        order = adopt(receipt)
        if order is not None and order.connection is not None:
            _note(receipt, order, order.connection)


def adopt(receipt: Receipt) -> PurchaseOrder | None:
    """Let a receipt count on the order that it names; None while nobody knows one."""
    name = receipt.order_name
    order = find_order(receipt.warehouse, name, name)
    if order is None:
        return None
    _count_on(order, receipt)
    return order


def count_anew(orders: Collection[PurchaseOrder]) -> None:
    """Match receipts with orders whose lines were written anew, and add them up.

    The orders' rows must be locked.
    """
    known = PurchaseOrder.objects.filter(
        Exists(Receipt.objects.filter(order=OuterRef("pk"), state__in=Receipt.COUNTED)),
        pk__in=[order.pk for order in orders],
    )
    for order in known.select_related("store", "account", "connection"):
        for receipt in order.receipts.filter(state__in=Receipt.COUNTED).order_by("pk"):
            _count_on(order, receipt)
    read_again(orders)


def _count_on(order: PurchaseOrder, receipt: Receipt) -> None:
    """Let a receipt count on an order; the store platform is perhaps to be told."""
    receipt.order, receipt.po_number, receipt.error = order, str(order), ""
    receipt.state = first_state(order)
    receipt.save(update_fields=["order", "po_number", "error", "state"])
    match_lines(receipt, order)
    add_up(order)


def let_go(order: PurchaseOrder) -> None:
    """Keep the receipts of an order that is deleted: the goods have come."""
    kept = order.receipts.exclude(state=State.ARCHIVED)
    kept.update(state=State.ERROR, error=_no_order(str(order)))
    order.receipts.update(order=None, order_name=order.external_id)


@transaction.atomic
def enter(
    order: PurchaseOrder,
    received: Mapping[int, Decimal],
    *,
    token: str,
    by: User,
) -> Receipt | None:
    """Record what a person says has arrived, by line; None when `token` was used.

    `token` is the form's: a second click of the same form counts nothing twice.
    """
    order = PurchaseOrder.objects.select_for_update(of=("self",)).get(pk=order.pk)
    connection = cast(Connection, order.connection)
    receipt = Receipt(
        account_id=order.account_id,
        warehouse=connection.warehouse,
        order=order,
        order_name=order.external_id,
        po_number=str(order),
        external_id=f"by-hand-{token}",
        file_name="",
        entered_by=str(by),
        state=first_state(order),
        received_at=timezone.now(),
    )
    Receipt.objects.bulk_create([receipt], ignore_conflicts=True)
    stored = Receipt.objects.filter(public_id=receipt.public_id).first()
    if stored is None:
        return None
    ReceiptLine.objects.bulk_create(
        ReceiptLine(
            receipt=stored,
            warehouse=connection.warehouse,
            line=line,
            line_name=line.line_id,
            sku=line.sku,
            quantity=received[line.pk],
            expected=line.outstanding,
        )
        for line in order.lines.all()
        if received.get(line.pk)
    )
    add_up(order)
    # The order's own timeline has the decision, with who made it.
    note("order_received_by_hand", connection=connection, number=str(order))
    audit.record("order.received_by_hand", order, by=by)
    return stored


def add_up(order: PurchaseOrder) -> None:
    """Set the lines' received sums and the status from all receipts.

    Computed afresh from the receipts each time: nothing counts twice. The order's row
    must be locked.
    """
    lines = _sum_up(order)
    status = status_of(order, lines)
    if order.status in order.RECEIVING and status is not None:
        # Whatever held it: the warehouse has it.
        order.status, order.held = status, ""
        order.changed_at = timezone.now()
        order.save(update_fields=["status", "held", "changed_at"])


def add_up_anew(order: PurchaseOrder) -> None:
    """The same when receipts were taken back, so that less may have come than before."""
    _sum_up(order)
    if order.status in (*order.RECEIVING, Status.RECEIVED):
        order.status, order.held = standing(order)
        order.changed_at = timezone.now()
        order.save(update_fields=["status", "held", "changed_at"])


def _sum_up(order: PurchaseOrder) -> list[PurchaseOrderLine]:
    sums: dict[int, Decimal] = defaultdict(Decimal)
    totals = (
        ReceiptLine.objects.filter(
            receipt__order=order, receipt__state__in=Receipt.COUNTED
        )
        .exclude(line=None)
        .values_list("line")
        .annotate(total=Sum("quantity"))
    )
    sums.update({line: total for line, total in totals if line is not None})
    lines = list(order.lines.all())
    for line in lines:
        line.received = sums[line.pk]
    PurchaseOrderLine.objects.bulk_update(lines, ["received"])
    return lines


def notifying(order: PurchaseOrder) -> None:
    """The store platform is about to be told of the order's receipts."""
    order.receipts.filter(state=State.READY).update(state=State.NOTIFYING)


def not_notified(order: PurchaseOrder) -> None:
    """It would not be told: they wait for whoever mends that."""
    order.receipts.filter(state=State.NOTIFYING).update(state=State.READY)


def settle(connection: Connection) -> None:
    """Complete the receipts of which the store platform was told all there is to tell."""
    wanted = platforms.order_source(connection.store).acknowledgement(connection.store)
    waiting = Receipt.objects.filter(
        order__connection=connection,
        state__in=(State.READY, State.NOTIFYING),
        order__write_refused="",
    )
    if wanted.send_quantities:
        owed = PurchaseOrderLine.objects.filter(
            order=OuterRef("order"), received__gt=F("received_there")
        )
        waiting = waiting.exclude(Exists(owed))
    if wanted.status:
        waiting = waiting.exclude(
            order__status=Status.RECEIVED, order__acknowledged_at=None
        )
    waiting.update(state=State.COMPLETED)


def first_state(order: PurchaseOrder) -> State:
    """Counted already; whether the store platform is to be told."""
    wanted = platforms.order_source(order.store).acknowledgement(order.store)
    told = wanted.send_quantities or wanted.status
    return State.READY if told else State.COMPLETED


def _no_order(name: str) -> str:
    return f"No order {name} of this warehouse."


def find_order(
    warehouse: Warehouse, po_id: str, po_number: str
) -> PurchaseOrder | None:
    """Lock the order with the platform's id, else with a PO number that is its alone."""
    orders = PurchaseOrder.objects.select_for_update(of=("self",)).filter(
        connection__warehouse=warehouse,
        # For the index: PO numbers are looked up in one store at a time.
        store__in=warehouse.connections.values("store"),
    )
    orders = orders.select_related("store", "account", "connection")
    if po_id and (known := orders.filter(external_id=po_id).first()):
        return known
    if po_id and po_id != po_number:
        return None
    found = list(orders.filter(reference=po_number)[:2])
    return found[0] if len(found) == 1 else None


def match_lines(
    receipt: Receipt, order: PurchaseOrder, *, only_unknown: bool = False
) -> None:
    """Say of each of the receipt's lines which one of the order it is about."""
    lines = list(order.lines.all())
    told = list(
        receipt.lines.filter(line=None) if only_unknown else receipt.lines.all()
    )
    for line in told:
        line.line = _line_of(lines, line.line_name, line.sku)
        line.expected = line.line.outstanding if line.line else None
    ReceiptLine.objects.bulk_update(told, ["line", "expected"])


def _line_of(
    lines: list[PurchaseOrderLine], line_id: str, sku: str
) -> PurchaseOrderLine | None:
    for line in lines:
        if line_id and line.line_id == line_id:
            return line
    matching = [line for line in lines if line.sku == sku]
    return matching[0] if matching else None


def _refuse(context: RunContext, file_name: str, reason: str) -> None:
    with context.fenced():
        Receipt.objects.bulk_create(
            [
                Receipt(
                    account_id=context.run.account_id,
                    warehouse=context.warehouse,
                    external_id=file_name[:128],
                    file_name=file_name,
                    state=Receipt.State.ERROR,
                    error=reason[:500],
                )
            ],
            ignore_conflicts=True,
        )
        context.count("files_refused")
        context.note("receipt_refused", file=file_name, reason=reason)


def _quantity(line: int, text: str) -> Decimal:
    try:
        number = Decimal(text)
    except InvalidOperation:
        number = Decimal("NaN")
    if not number.is_finite() or number < 0 or number >= 10**15:
        raise ValueError(f"line {line}: quantity is not a number: {text[:40]!r}")
    return number


def _time(line: int, text: str) -> datetime | None:
    try:
        return time_of("received_at", text, timezone.now()) if text else None
    except ValueError as error:
        raise ValueError(f"line {line}: {error}") from None
