"""The columns of the nine Advanced CSV files, in the order in which IP reads them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import lru_cache

TEXT_LIMIT = 256
NUMBER = re.compile(r"-?\d+(\.\d+)?")


class Kind(StrEnum):
    """The type of a column."""

    TEXT = "VARCHAR"
    CURRENCY = "CHAR(3)"
    NUMBER = "FLOAT"
    BOOLEAN = "BOOLEAN"
    TIMESTAMP = "TIMESTAMP"


@dataclass(frozen=True)
class Columns:
    """What one entity's file must and may carry; ``blank`` cells may be empty."""

    required: dict[str, Kind]
    optional: dict[str, Kind]
    blank: frozenset[str] = frozenset()

    def kind(self, column: str) -> Kind:
        """Return the type of a supported column."""
        return self.required.get(column) or self.optional[column]


def _kinds(text: str = "", number: str = "", currency: str = "") -> dict[str, Kind]:
    columns = dict.fromkeys(text.split(), Kind.TEXT)
    columns |= dict.fromkeys(number.split(), Kind.NUMBER)
    return columns | dict.fromkeys(currency.split(), Kind.CURRENCY)


_END = {"REMOVED": Kind.BOOLEAN, "UPDATED_AT": Kind.TIMESTAMP}
_CREATED = {"CREATED_AT": Kind.TIMESTAMP}

FOLDERS: dict[str, Columns] = {
    "warehouse": Columns(
        _kinds("WAREHOUSE_ID DISPLAY_NAME") | _END,
        _kinds("BILLING_ADDRESS SHIPPING_ADDRESS", currency="CURRENCY"),
    ),
    "vendor": Columns(
        _kinds("VENDOR_ID DISPLAY_NAME", currency="CURRENCY") | _END,
        _kinds("EMAIL VENDOR_ADDRESS", "DISCOUNT TAX"),
    ),
    "stock_order_status": Columns(_kinds("NAME STATUS_TYPE") | _END, {}),
    "variant": Columns(
        _kinds("VARIANT_ID SKU TITLE BARCODE PRODUCT_ID", "PRICE") | _CREATED | _END,
        _kinds("TYPE IMAGE HANDLE"),
        frozenset({"BARCODE", "PRODUCT_ID"}),
    ),
    "variant_warehouse": Columns(
        _kinds("VARIANT_ID WAREHOUSE_ID", "IN_STOCK") | _END,
        _kinds(number="MIN_STOCK MAX_STOCK"),
    ),
    "variant_vendor": Columns(
        _kinds("VARIANT_ID VENDOR_ID") | _END,
        _kinds("VENDOR_REFERENCE VENDOR_NAME", "COST_PRICE LANDING_COST_PRICE MOQ UOM"),
    ),
    "variant_component": Columns(
        _kinds("VARIANT_ID COMPONENT_VARIANT_ID", "QUANTITY") | _END,
        _kinds(number="PRICE"),
    ),
    "sales_order": Columns(
        _kinds("ORDER_ID ID VARIANT_ID WAREHOUSE", "QUANTITY PRICE", "CURRENCY")
        | _CREATED
        | _END,
        _kinds(
            "REFERENCE REFERENCE2 CUSTOMER",
            "ORIGINAL_COST_PRICE DISCOUNT TAX SHIPPING SHIPPING_TAX",
        )
        | dict.fromkeys(("TAX_INCLUDED", "CANCELLED"), Kind.BOOLEAN),
    ),
    "stock_order": Columns(
        _kinds(
            "ID REFERENCE STATUS WAREHOUSE VENDOR SOURCE_WAREHOUSE LINE_ITEM_ID"
            " VARIANT_ID SKU BARCODE TITLE",
            "REPLENISHMENT RECEIVED COST_PRICE",
            "CURRENCY",
        )
        | dict.fromkeys(("CREATED_DATE", "RECEIVED_DATE"), Kind.TIMESTAMP)
        | _END,
        _kinds("TYPE REFERENCE2 EMAIL")
        | dict.fromkeys(
            ("EXPECTED_DATE", "LAST_MODIFIED", "SHIPMENT_DATE"), Kind.TIMESTAMP
        ),
        frozenset({"VENDOR", "SOURCE_WAREHOUSE", "BARCODE", "RECEIVED_DATE"}),
    ),
}
"""Entity → columns, in dependency order: what others refer to is read first."""


def header_problem(columns: Columns, header: list[str]) -> str:
    """Return why a file with this header is skipped, empty when it is not."""
    if not header:
        return "no header"
    doubled = sorted({name for name in header if header.count(name) > 1})
    if doubled:
        return f"column twice: {', '.join(doubled)}"
    unsupported = [
        n for n in header if n not in columns.required and n not in columns.optional
    ]
    if unsupported:
        return f"unsupported column: {', '.join(map(repr, unsupported))[:200]}"
    missing = [name for name in columns.required if name not in header]
    if missing:
        return f"missing column: {', '.join(missing)}"
    return ""


def cell_problem(columns: Columns, column: str, text: str) -> str:
    """Return what is wrong with a cell, empty when nothing is."""
    kind = columns.kind(column)
    if not text:
        must = column in columns.required and column not in columns.blank
        return f"{column} is empty" if must else ""
    fine = {
        Kind.TEXT: len(text) <= TEXT_LIMIT,
        Kind.CURRENCY: len(text) == 3,
        Kind.NUMBER: NUMBER.fullmatch(text) is not None,
        Kind.BOOLEAN: text.lower() in {"true", "false"},
        Kind.TIMESTAMP: _is_timestamp(text),
    }[kind]
    return "" if fine else f"{column} is not {kind}: {text[:40]!r}"


@lru_cache(maxsize=1024)
def _is_timestamp(text: str) -> bool:
    if len(text) != len("2025-01-01 00:00:00"):
        return False
    try:
        datetime.strptime(text, "%Y-%m-%d %H:%M:%S")  # noqa: DTZ007 - has no zone
    except ValueError:
        return False
    return True
