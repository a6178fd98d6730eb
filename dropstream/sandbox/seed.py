"""The orders and catalogue that each Inventory Planner account starts with."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any

from dropstream.sandbox.state import Doc

CONNECTION = "c501"
STATUSES = ("DRAFT", "OPEN", "ORDERED", "PARTIALLY RECEIVED", "CLOSED", "CANCELLED")
WAREHOUSES = {
    f"{CONNECTION}_WH1": "Main warehouse",
    f"{CONNECTION}_WH2": "Overflow warehouse",
}
KNOWN_WAREHOUSE_IDS = ("WH1",)
"""The ids that the Advanced CSV connection knows before any warehouse file."""

MERCHANTS = {
    "demo": "123456",
    "try": "654321",
    "try2": "654322",
    "try3": "654323",
    "try4": "654324",
}
"""Warehouse user → account at Inventory Planner. Each merchant needs its own log-in;
the demo has the first one, newcomers the others."""

Line = tuple[int, float, float]
"""SKU number, quantity ordered, quantity received."""


def more_merchants(count: int) -> dict[str, str]:
    """Return further merchants, as many as a load test wants."""
    return {f"m{number:03}": f"{700_000 + number}" for number in range(1, count + 1)}


def sku(number: int) -> str:
    """Return the SKU of a catalogue number, as ``SKU-00001``."""
    return f"SKU-{number:05d}"


def title(number: int) -> str:
    """Return a made-up product title."""
    things = ("Tee", "Mug", "Cap", "Tote", "Scarf", "Poster", "Candle")
    colours = ("red", "navy", "sand", "black", "olive", "white")
    return f"{things[number % 7]} {colours[number % 6]} no. {number}"


def order_id(account_id: str, reference: str) -> str:
    """Return the 24 hex characters that identify an order."""
    return hashlib.sha256(f"{account_id}/{reference}".encode()).hexdigest()[:24]


def stamp(at: datetime) -> str:
    """Return a moment as the API writes it."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S+00:00")


def item(number: int, ordered: float, received: float = 0) -> Doc:
    """Return one line of an order."""
    variant = f"{CONNECTION}_{sku(number)}"
    return {
        "id": variant,
        "line_id": variant,
        "sku": sku(number),
        "barcode": f"{4_000_000_000_000 + number}",
        "title": title(number),
        "replenishment": ordered,
        "replenishment_original": ordered,
        "received": received,
        "remaining": ordered - received,
        "received_history": [],
        "cost_price": 4.0 + number % 9,
        "version": 1,
    }


def order(
    account_id: str, reference: str, status: str, lines: list[Line], **more: Any
) -> Doc:
    """Return one order with its totals; ``more`` replaces any field."""
    now = datetime.now(UTC)
    doc: Doc = {
        "id": order_id(account_id, reference),
        "reference": reference,
        "extra_reference": "",
        "type": "po",
        "status": status,
        "source_type": "vendor",
        "vendor": "acme textiles",
        "vendor_display_name": "Acme Textiles",
        "source": "acme textiles",
        "source_display_name": "Acme Textiles",
        "warehouse": f"{CONNECTION}_WH1",
        "currency": "USD",
        "created_date": (now - timedelta(days=10)).strftime("%Y-%m-%d"),
        "expected_date": (now + timedelta(days=11)).strftime("%Y-%m-%d"),
        "received_date": None,
        "last_modified": stamp(now - timedelta(days=1)),
        "created_at": stamp(now - timedelta(days=10)),
        "updated_at": stamp(now - timedelta(days=1)),
        "readonly": False,
        "notes": "",
        "email": "orders@acme.example",
        "payment_terms": "30 days",
        "connections": [],
        "accounting_connections": [],
        "version": 1,
        "items": [item(*line) for line in lines],
    }
    doc.update(more)
    doc["warehouse_display_name"] = WAREHOUSES.get(doc["warehouse"], doc["warehouse"])
    recompute(doc)
    return doc


def recompute(doc: Doc) -> None:
    """Set the read-only sums of an order from its lines."""
    items = doc["items"]
    for line in items:
        line["remaining"] = line["replenishment"] - line.get("received", 0)
    doc["total"] = sum(i["replenishment"] * i.get("cost_price", 0) for i in items)
    doc["total_ordered"] = sum(i["replenishment"] for i in items)
    doc["total_received"] = sum(i.get("received", 0) for i in items)


def orders(account_id: str) -> list[Doc]:
    """Return an account's first orders: exactly three are in status ORDERED."""

    def one(reference: str, status: str, lines: list[Line], **more: Any) -> Doc:
        return order(account_id, reference, status, lines, **more)

    other_warehouse = f"{CONNECTION}_WH2"
    unicode_vendor = {
        "vendor": "café łódź textil",
        "vendor_display_name": "Café Łódź Textil",
    }
    seeded = [
        one("1042", "ORDERED", [(101, 40, 0), (102, 25, 0), (103, 60, 0)]),
        one("1043", "ORDERED", [(204, 12, 0), (205, 36, 0)], **unicode_vendor),
        one("1044", "ORDERED", [(310, 100, 0)], warehouse=other_warehouse),
        one("1041", "OPEN", []),
        one("1040", "OPEN", [(77, 10, 0)], readonly=True),
        one("1039", "OPEN", [(12, 5, 0)], type=""),
        one("1038", "OPEN", [(13, 8, 0), (14, 4, 0)]),
        one("1037", "CANCELLED", [(15, 6, 0)]),
        one("1036", "PARTIALLY RECEIVED", [(16, 20, 8), (17, 2.5, 0)]),
        one("1035", "CLOSED", [(18, 30, 30)]),
        one("1045", "DRAFT", [(19, 50, 0)]),
        one("T-17", "OPEN", [(20, 9, 0)], type="transfer", source_type="warehouse"),
        one("A-9", "OPEN", [(21, 3, 0)], type="assembly", source_type="warehouse"),
    ]
    by_reference = {doc["reference"]: doc for doc in seeded}
    by_reference["1038"]["items"][1]["sku"] = ""
    by_reference["1036"]["items"][0]["sku"] += " "
    for number, line in enumerate(by_reference["1043"]["items"], start=1):
        line["line_id"] = f"{by_reference['1043']['id'][:18]}{number:06d}"
    return seeded
