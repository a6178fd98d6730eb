"""Receipts by what their PO number, their own id, their file or a SKU begins with.

Whoever calls has narrowed the warehouses to those that the person may see.
"""

from __future__ import annotations

from collections.abc import Collection

from psycopg import sql

from connections.orders.prefix_search import Field, Search

_TABLE = "connections_receipt"
_RECEIPT = f"{_TABLE} receipt"


def _own(column: str) -> Field:
    return Field(
        column,
        f"({column} LIKE {{pattern}})",
        source=_RECEIPT,
        owner="receipt.warehouse_id",
    )


FIELDS = (
    _own("receipt.po_number"),
    _own('receipt.external_id COLLATE "C"'),
    _own('receipt.file_name COLLATE "C"'),
    Field(
        "line.sku",
        "(line.sku LIKE {pattern})",
        source="connections_receiptline line "
        f"JOIN {_RECEIPT} ON receipt.id = line.receipt_id",
        owner="line.warehouse_id",
        # Of several lines that match, the first one stands for the receipt.
        once="""NOT EXISTS (
            SELECT FROM connections_receiptline other
            WHERE other.receipt_id = line.receipt_id AND other.sku LIKE {pattern}
              AND (other.sku, other.id) < (line.sku, line.id)
        )""",
    ),
)


def search(prefix: str, warehouses: Collection[int], *, state: str = "") -> Search:
    """Receipts of these warehouses; in one state, if asked for."""
    narrowed = (
        [sql.SQL("receipt.state = {}").format(sql.Literal(state))] if state else []
    )
    return Search(
        prefix,
        FIELDS,
        table=_TABLE,
        row="receipt",
        owners=warehouses,
        narrowed=narrowed,
    )
