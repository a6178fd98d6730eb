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
