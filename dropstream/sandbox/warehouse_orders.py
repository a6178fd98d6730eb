"""An order as the warehouse holds it, and how it reads one from a file."""

from __future__ import annotations

import csv
import io
import time
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from pathlib import Path

ORDER_HEADER = [
    "po_id",
    "po_number",
    "vendor",
    "expected_on",
    "line_id",
    "sku",
    "title",
    "quantity",
]


@dataclass
class OrderLine:
    """One line of an order: what is expected and what came so far."""

    line_id: str
    sku: str
    title: str
    quantity: str
    received: str = "0"

    def left(self) -> Decimal:
        """Return what has not come yet."""
        return Decimal(self.quantity) - Decimal(self.received)


@dataclass
class Order:
    """An order as the warehouse holds it. ``copies`` above one: it came again."""

    po_id: str
    po_number: str
    vendor: str
    expected_on: str
    file: str
    taken_at: float
    lines: list[OrderLine]
    in_parts: bool = False
    copies: int = 1
    receipts: list[str] = field(default_factory=list)

    def expected(self) -> Decimal:
        """Return how many pieces are expected in all."""
        return sum((Decimal(line.quantity) for line in self.lines), Decimal(0))

    def received(self) -> Decimal:
        """Return how many pieces came so far."""
        return sum((Decimal(line.received) for line in self.lines), Decimal(0))

    def is_received(self) -> bool:
        """Say whether everything has come."""
        return all(line.left() <= 0 for line in self.lines)


def half(quantity: Decimal) -> Decimal:
    """Return a first part: half, rounded up to a whole piece where that is less."""
    part = (quantity / 2).to_integral_value(rounding="ROUND_CEILING")
    return part if part < quantity else quantity / 2


def parse_order(path: Path) -> Order:
    """Read an order file.

    Raises ValueError, which says why, when it is no order.
    """
    try:
        text = path.read_text(encoding="utf-8")
        rows = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    except csv.Error as error:
        raise ValueError(f"not CSV: {error}") from None
    if not rows or rows[0] != ORDER_HEADER:
        raise ValueError("another header than " + ",".join(ORDER_HEADER))
    if len(rows) == 1:
        raise ValueError("no lines")
    if any(len(row) != len(ORDER_HEADER) for row in rows):
        raise ValueError("a row with too few or too many cells")
    heads = {tuple(row[:4]) for row in rows[1:]}
    if len(heads) != 1:
        raise ValueError("more than one order in the file")
    po_id, po_number, vendor, expected_on = heads.pop()
    if not po_id or not po_number:
        raise ValueError("no po_id or po_number")
    lines = [OrderLine(row[4], row[5], row[6], as_quantity(row[7])) for row in rows[1:]]
    return Order(po_id, po_number, vendor, expected_on, path.name, time.time(), lines)


def as_quantity(text: str) -> str:
    """Return a quantity as written; ValueError when it is not above zero."""
    try:
        quantity = Decimal(text)
    except InvalidOperation:
        raise ValueError(f"quantity is not a number: {text[:40]!r}") from None
    if not quantity.is_finite() or quantity <= 0:
        raise ValueError(f"quantity is not above zero: {text[:40]!r}")
    return text
