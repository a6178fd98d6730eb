"""What Inventory Planner's Advanced CSV connection reads, as data with a version.

It skips a file with a column that is not listed here, or without one that is required,
and tells nobody (inventory-planner.md §4.2). Only the files that we make are here.
"""

from __future__ import annotations

from connections.deliveries.preflight import Column, Kind, Sheet

# Of §4.4 and §4.5; every file keeps the version that it was checked against.
VERSION = "2026-11-23"

_REMOVED = Column("REMOVED", Kind.BOOLEAN)
_UPDATED_AT = Column("UPDATED_AT", Kind.TIMESTAMP)


def _optional(*names: str, kind: Kind = Kind.TEXT) -> tuple[Column, ...]:
    return tuple(Column(name, kind, required=False, blank=True) for name in names)


WAREHOUSE = Sheet(
    prefix="warehouse",
    columns=(
        Column("WAREHOUSE_ID"),
        Column("DISPLAY_NAME"),
        _UPDATED_AT,
        _REMOVED,
        *_optional("CURRENCY", kind=Kind.CURRENCY),
        *_optional("BILLING_ADDRESS", "SHIPPING_ADDRESS"),
    ),
    key=("WAREHOUSE_ID",),
    version=VERSION,
)
VENDOR = Sheet(
    prefix="vendor",
    columns=(
        Column("VENDOR_ID"),
        Column("DISPLAY_NAME"),
        Column("CURRENCY", Kind.CURRENCY),
        _REMOVED,
        _UPDATED_AT,
        *_optional("DISCOUNT", "TAX", kind=Kind.NUMBER),
        *_optional("EMAIL", "VENDOR_ADDRESS"),
    ),
    key=("VENDOR_ID",),
    version=VERSION,
)
VARIANT = Sheet(
    prefix="variant",
    columns=(
        Column("VARIANT_ID"),
        Column("SKU"),
        Column("TITLE"),
        Column("BARCODE"),
        Column("PRODUCT_ID"),
        Column("PRICE", Kind.NUMBER),
        Column("CREATED_AT", Kind.TIMESTAMP),
        _UPDATED_AT,
        _REMOVED,
        *_optional("TYPE", "IMAGE", "HANDLE"),
    ),
    key=("VARIANT_ID",),
    version=VERSION,
)
STOCK = Sheet(
    prefix="variant_warehouse",
    columns=(
        Column("VARIANT_ID"),
        Column("WAREHOUSE_ID"),
        Column("IN_STOCK", Kind.NUMBER),
        _REMOVED,
        _UPDATED_AT,
        *_optional("MIN_STOCK", "MAX_STOCK", kind=Kind.NUMBER),
    ),
    key=("VARIANT_ID", "WAREHOUSE_ID"),
    version=VERSION,
)
