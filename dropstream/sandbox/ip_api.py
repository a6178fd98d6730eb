"""Inventory Planner's REST API: authentication, filters, pages, envelopes, writes."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from dropstream.sandbox import seed
from dropstream.sandbox.http_server import Request, Response, json_response
from dropstream.sandbox.ip_query import collection
from dropstream.sandbox.state import Doc

if TYPE_CHECKING:
    from dropstream.sandbox.ip import Account, InventoryPlanner

ROOT = "/api/v1/"
READ_ONLY = frozenset(
    {
        "id",
        "items",
        "total",
        "total_ordered",
        "total_received",
        "version",
        "last_modified",
        "updated_at",
        "created_at",
        "readonly",
        "connections",
        "accounting_connections",
    }
)


class Refused(Exception):
    """A request that IP answers with an error document."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Api:
    """Answers of the API; the switches turn on behaviour that differs in the wild."""

    def __init__(self, planner: InventoryPlanner) -> None:
        self._planner = planner
        self.refusal_status = 401
        """Status for a wrong key or account: 401 or 403."""
        self.letter_required = False
        """Whether the account id must be sent with its ``a``."""
        self.unknown_status = "refuse"
        """A status that IP has not heard of: ``refuse`` (500), ``keep``, ``accept``."""
        self.moves_status = False
        """Whether received quantities move the status by themselves."""
        self.over_receipt = True
        """Whether more may be received than was ordered."""

    def answer(self, request: Request) -> Response:
        """Answer one request."""
        if not request.headers.get("user-agent"):
            blocked = b"<html><title>Attention Required! | Cloudflare</title></html>"
            return Response(403, blocked, "text/html")
        try:
            account = self._account(request)
            return self._route(account, request)
        except Refused as refusal:
            return error(refusal.status, str(refusal))

    def _account(self, request: Request) -> Account:
        account_id = request.headers.get("account", "")
        key = request.headers.get("authorization", "")
        account = self._planner.authenticated(account_id, key)
        if account is None or (
            self.letter_required and account_id[:1] not in {"a", "A"}
        ):
            raise Refused(self.refusal_status, "Authentication failed")
        return account

    def _route(self, account: Account, request: Request) -> Response:
        parts = request.path.removeprefix(ROOT).strip("/").split("/")
        match parts, request.method:
            case ["purchase-orders"], "GET" if account.crowd is not None:
                return account.crowd.page(request)
            case ["purchase-orders"], "GET":
                return collection(request, "purchase-orders", account.orders)
            case ["purchase-orders"], "POST":
                return self._create(account, write_body(request, "purchase-order"))
            case ["purchase-orders", order_id], "GET":
                return order_answer(find(account, order_id))
            case ["purchase-orders", order_id], "PATCH" | "PUT":
                doc = find(account, order_id)
                return self._change(account, doc, write_body(request, "purchase-order"))
            case ["purchase-orders", order_id, "items"], "GET":
                return json_response({"items": find(account, order_id)["items"]})
            case ["purchase-orders", order_id, "items"], "PATCH":
                return self._receive(account, find(account, order_id), request)
            case ["purchase-orders", order_id, "items", item_id], "GET":
                return json_response(
                    {"item": find_item(find(account, order_id), item_id)}
                )
            case ["purchase-orders", order_id, "connections"], "GET":
                rows = find(account, order_id)["connections"]
                return collection(request, "connections", rows)
            case ["warehouses"], "GET":
                return collection(request, "warehouses", warehouses())
            case ["variants"], "GET":
                return collection(request, "variants", variants(account))
            case ["variants", variant_id], "GET":
                return json_response({"variant": find_variant(account, variant_id)})
        raise Refused(404, f"Failed to find {request.path[:100]}")

    def _create(self, account: Account, fields: Doc) -> Response:
        items = fields.get("items", [])
        if not isinstance(items, list):
            raise Refused(500, "items is a list")
        doc = seed.order(account.account_id, account.next_reference(), "DRAFT", [])
        doc["items"] = [self._new_item(account, row) for row in items]
        self._merge(doc, fields)
        self._touch(account, doc)
        account.orders.append(doc)
        self._planner.save_orders(account)
        return order_answer(doc)

    @staticmethod
    def _new_item(account: Account, row: Any) -> Doc:
        if not isinstance(row, dict) or not is_quantity(row.get("replenishment")):
            raise Refused(500, "An item needs id and replenishment")
        known = find_variant(account, str(row.get("id", "")))
        made = seed.item(0, row["replenishment"])
        made |= {"id": known["id"], "line_id": known["id"], "title": known["title"]}
        made |= {"sku": known["sku"], "barcode": ""}
        return made | {k: row[k] for k in ("cost_price", "title", "sku") if k in row}

    def _change(self, account: Account, doc: Doc, fields: Doc) -> Response:
        refuse_readonly(doc)
        if "items" in fields:
            raise Refused(500, "Items are changed at their own address")
        self._merge(doc, fields)
        self._touch(account, doc)
        self._planner.save_orders(account)
        return order_answer(doc)

    def _merge(self, doc: Doc, fields: Doc) -> None:
        """Set the given fields; unknown and read-only ones are ignored."""
        fields = dict(fields)
        status = self._status(doc["status"], fields.pop("status", doc["status"]))
        warehouse = fields.get("warehouse", doc["warehouse"])
        if not isinstance(warehouse, str) or warehouse not in seed.WAREHOUSES:
            raise Refused(500, f"Unknown warehouse {str(warehouse)[:60]}")
        doc.update({k: v for k, v in fields.items() if k in doc and k not in READ_ONLY})
        doc["status"] = status
        doc["warehouse_display_name"] = seed.WAREHOUSES[warehouse]

    def _status(self, old: str, new: Any) -> str:
        known = {name.casefold(): name for name in seed.STATUSES}
        text = new if isinstance(new, str) else ""
        if text.casefold() in known:
            return known[text.casefold()]
        if self.unknown_status == "keep":
            return old
        if self.unknown_status == "accept" and text:
            return text
        raise Refused(500, f"Unknown status {str(new)[:60]}")

    def _receive(self, account: Account, doc: Doc, request: Request) -> Response:
        refuse_readonly(doc)
        rows = write_body(request, "items", list)
        changes = [self._item_change(doc, row) for row in rows]
        now = datetime.now(UTC)
        for line, received in changes:
            if line.get("received", 0) != received:
                line["received_history"].append(
                    {"date": int(now.timestamp()), "value": received}
                )
                doc["received_date"] = now.strftime("%Y-%m-%d")
            line["received"] = received
            line["version"] += 1
        seed.recompute(doc)
        if self.moves_status:
            doc["status"] = received_status(doc)
        self._touch(account, doc)
        self._planner.save_orders(account)
        return json_response({"items": doc["items"]})

    def _item_change(self, doc: Doc, row: Any) -> tuple[Doc, float]:
        if not isinstance(row, dict) or not is_quantity(row.get("received")):
            raise Refused(500, "An item needs id and received")
        line = find_item(doc, str(row.get("id", "")), status=500)
        received: float = row["received"]
        if received > line["replenishment"] and not self.over_receipt:
            raise Refused(500, f"More received than ordered of {line['id']}")
        return line, received

    @staticmethod
    def _touch(account: Account, doc: Doc) -> None:
        seed.recompute(doc)
        doc["version"] += 1
        doc["last_modified"] = doc["updated_at"] = seed.stamp(datetime.now(UTC))


def error(status: int, message: str) -> Response:
    """Return IP's error document."""
    return json_response({"result": {"status": "error", "message": message}}, status)


def order_answer(doc: Doc) -> Response:
    """Return one order in its envelope."""
    return json_response({"purchase-order": doc})


def write_body(request: Request, envelope: str, kind: type = dict) -> Any:
    """Return what a write carries; Refused (500, as IP does) when it is malformed."""
    content_type = request.headers.get("content-type", "").partition(";")[0]
    if content_type.strip().lower() != "application/json":
        raise Refused(500, "Content-Type must be application/json")
    try:
        body = json.loads(request.body)
    except ValueError:
        raise Refused(500, "The body is not JSON") from None
    inner = body.get(envelope) if isinstance(body, dict) else None
    if not isinstance(inner, kind):
        raise Refused(500, f"The body has no {envelope}")
    return inner


def refuse_readonly(doc: Doc) -> None:
    """Raise Refused for an order that cannot be edited in IP."""
    if doc["readonly"]:
        raise Refused(500, f"purchase-order {doc['id']} cannot be edited")


def is_quantity(value: Any) -> bool:
    """Say whether a JSON value is a number that can count goods."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and math.isfinite(value) and value >= 0


def received_status(doc: Doc) -> str:
    """Return the status that follows from the received quantities."""
    if is_received(doc):
        return "CLOSED"
    return "PARTIALLY RECEIVED" if doc["total_received"] else str(doc["status"])


def is_received(doc: Doc) -> bool:
    """Say whether every line has come in full."""
    return bool(doc["items"]) and all(
        line.get("received", 0) >= line["replenishment"] for line in doc["items"]
    )


def find(account: Account, order_id: str) -> Doc:
    """Return the order with that id; Refused (404) when there is none."""
    for doc in account.orders:
        if doc["id"] == order_id:
            return doc
    raise Refused(404, f"Failed to find purchase-order {order_id[:60]}")


def find_item(doc: Doc, item_id: str, status: int = 404) -> Doc:
    """Return the line with that id; Refused when there is none."""
    for line in doc["items"]:
        if line["id"] == item_id:
            found: Doc = line
            return found
    raise Refused(status, f"Failed to find item {item_id[:60]}")


def warehouses() -> list[Doc]:
    """Return the rows of the warehouses resource."""
    return [
        {
            "name": name,
            "display_name": shown,
            "type": "warehouse",
            "disabled": False,
            "connection": seed.CONNECTION,
            "currency": "USD",
        }
        for name, shown in seed.WAREHOUSES.items()
    ]


def variants(account: Account) -> list[Doc]:
    """Return the rows of the variants resource."""
    return [
        {
            "id": f"{seed.CONNECTION}_{sku}",
            "sku": sku,
            "title": title,
            "in_stock": account.stock_of(sku),
        }
        for sku, title in account.variants.items()
    ]


def find_variant(account: Account, variant_id: str) -> Doc:
    """Return one variant; Refused (404) when there is none."""
    for row in variants(account):
        if row["id"] == variant_id:
            return row
    raise Refused(404, f"Failed to find variant {variant_id[:60]}")
