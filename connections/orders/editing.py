"""Correct an order by hand before the warehouse knows it (dropstream.md §6)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from django.db import transaction
from django.utils import timezone

from connections.models import PurchaseOrder
from connections.orders.actions import RefusedError, locked, why_not
from connections.orders.standing import hold_of_content
from stores import audit
from stores.models import User

Held = PurchaseOrder.Held


@dataclass(frozen=True)
class Header:
    """What may be corrected beside the lines."""

    reference: str
    vendor: str
    expected_on: date | None


@dataclass(frozen=True)
class Line:
    """A line as it is to be; quantities of the platform's unit."""

    sku: str
    title: str
    quantity: Decimal


@transaction.atomic
def edit(
    order: PurchaseOrder, header: Header, lines: Mapping[int, Line | None], *, by: User
) -> bool:
    """Write what was corrected; a line of None goes. False when nothing differs.

    The platform keeps its own words; a change there is shown and replaces nothing. Raises
    RefusedError once the warehouse knows the order, or is about to.
    """
    row = locked(order)
    if row is None:
        return False
    if refusal := why_not(row).get("edit"):
        raise RefusedError(refusal)
    before, after = _write_header(row, header), vars(header)
    before = {name: value for name, value in before.items() if value != after[name]}
    facts = {name: str(after[name] or "") for name in before}
    told = {name: str(value or "") for name, value in before.items()}
    for line in row.lines.all():
        wanted = lines.get(line.pk, _as_is(line))
        if wanted is None:
            told[line.line_id], facts[line.line_id] = _told(_as_is(line)), ""
            line.delete()
        elif wanted != _as_is(line):
            told[line.line_id], facts[line.line_id] = _told(_as_is(line)), _told(wanted)
            line.sku, line.title, line.quantity = vars(wanted).values()
            line.save(update_fields=["sku", "title", "quantity"])
    if not facts:
        return False
    row.edited_at = row.changed_at = timezone.now()
    if row.held in ("", Held.LINE_ERROR, Held.NOT_SENDABLE):
        row.held = hold_of_content(row)
    row.save()
    audit.record("order.edited", row, by=by, before=told, after=facts)
    return True


def _write_header(row: PurchaseOrder, header: Header) -> dict[str, Any]:
    """Set the values; return those before."""
    before = {name: getattr(row, name) for name in vars(header)}
    for name, value in vars(header).items():
        setattr(row, name, value)
    return before


def _as_is(line: Any) -> Line:
    return Line(line.sku, line.title, line.quantity)


def _told(line: Line) -> str:
    return f"{line.sku} × {line.quantity.normalize():f} {line.title}".strip()
