"""How a platform's order differs from what the warehouse was told of it."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from connections.models import PurchaseOrder
from connections.platforms import RemoteOrder

SHOWN = 50
NOTHING = Decimal(0)


def difference(row: PurchaseOrder, order: RemoteOrder) -> list[str]:
    """Say it as "SKU-1: 40 → 7", in any language; prefetch the row's lines."""
    found = [*_of_header(row, order), *_of_lines(row, order)]
    more = len(found) - SHOWN
    return [*found[:SHOWN], f"… +{more}"] if more > 0 else found


def _of_header(row: PurchaseOrder, order: RemoteOrder) -> Iterator[str]:
    for told, now in (
        (row.reference, order.reference),
        (row.vendor, order.vendor),
        (row.remote_warehouse, order.warehouse),
        (str(row.expected_on or "–"), str(order.expected_on or "–")),
    ):
        if told != now:
            yield f"{told or '–'} → {now or '–'}"


def _of_lines(row: PurchaseOrder, order: RemoteOrder) -> Iterator[str]:
    told = {line.line_id: (line.sku, line.quantity) for line in row.lines.all()}
    now = {line.line_id: (line.sku, line.quantity) for line in order.lines}
    for line_id in told | now:
        sku, quantity = told.get(line_id, ("", NOTHING))
        sku_now, quantity_now = now.get(line_id, ("", NOTHING))
        if sku and sku_now and sku != sku_now:
            yield f"{sku} → {sku_now}"
        if quantity != quantity_now:
            name = sku_now or sku or line_id
            yield f"{name}: {_plain(quantity)} → {_plain(quantity_now)}"


def _plain(quantity: Decimal) -> str:
    return f"{quantity.normalize():f}"
