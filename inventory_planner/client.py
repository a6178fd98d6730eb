"""Inventory Planner's REST API: a function per endpoint, typed results.

Facts: inventory-planner.md §2–§3. The API is beta: unknown fields are ignored, missing
ones have defaults, and what cannot be understood is quarantined, never guessed.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, Self

from django.conf import settings
from django.core.cache import cache

from connections.dialling import api_policy
from connections.platforms import RemoteLine, RemoteOrder, UnreadableOrder
from connections.wire.errors import WireError
from connections.wire.http import HttpClient
from connections.wire.ssh import Deadline
from stores.secret import Secret

USER_AGENT = "DropStream/1.0 (+purchase orders and stock for Inventory Planner)"
ORDERS = "/api/v1/purchase-orders"
VARIANTS = "/api/v1/variants"
PAGE_ROWS = 100
PAGE_CAP = 50
# A far side's id goes into a path: letters and digits only (security.md F5).
ORDER_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
UNSTORABLE = re.compile("[\0\ud800-\udfff]")
# Names of §3.4 whose orders are not for a warehouse, unless the filter asks for them.
NOT_SENDABLE = ("DRAFT", "CLOSED", "CANCELLED")
OTHER_KINDS = ("transfer", "assembly")


@dataclass(frozen=True)
class ApiAccess:
    """Whose orders: the key and the account id, sent verbatim (§2.2)."""

    api_key: Secret
    account_id: str


@dataclass(frozen=True)
class Preview:
    """What a status filter would import: matches among the newest orders read."""

    matches: int
    read: int
    all_read: bool
    statuses: tuple[str, ...]


def normalise_status(status: str) -> str:
    """Compare statuses as people mean them (§3.4)."""
    words = re.sub(r"[\s_-]+", " ", status.strip().casefold())
    return words.replace("canceled", "cancelled")


def same_status(one: str, other: str) -> bool:
    return normalise_status(one) == normalise_status(other)


class CannotTellError(Exception):
    """The API gives no answer to this question; nothing is wrong with it otherwise."""


class Client:
    """A session with one account; close it, or use it as a context manager."""

    def __init__(self, access: ApiAccess, deadline: Deadline) -> None:
        self._account_id = access.account_id
        self._deadline = deadline
        self._http = HttpClient(
            settings.INVENTORY_PLANNER_API_URL,
            policy=api_policy(settings.INVENTORY_PLANNER_API_URL),
            user_agent=USER_AGENT,
            headers={
                "Authorization": access.api_key.reveal(),
                "Account": access.account_id,
            },
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    def preview(self, status: str) -> Preview:
        """Count what a filter matches now, on the newest page of all orders."""
        body = self._page(0, "", rows=PAGE_ROWS)
        orders = [parse_order(document, status) for document in body["purchase-orders"]]
        readable = [order for order in orders if isinstance(order, RemoteOrder)]
        wanted = [order for order in readable if _is_wanted(order, status)]
        seen = dict.fromkeys(order.status for order in readable if order.status)
        return Preview(
            matches=len(wanted),
            read=len(orders),
            all_read=len(orders) < PAGE_ROWS,
            statuses=tuple(seen),
        )

    def pages(self, status: str = "") -> Iterator[list[RemoteOrder | UnreadableOrder]]:
        """Yield pages of the purchase orders in a status; blank: in every one.

        Raises api_too_large after the last page of the cap: more are there.

        Pages may shift while they are read: duplicates are for the caller to merge.
        The filter is checked again here, since IP ignores what it does not know (§2.4).
        """
        seen: set[str] = set()
        for page in range(PAGE_CAP):
            body = self._page(page, status, rows=PAGE_ROWS)
            documents = body["purchase-orders"]
            ids = {str(d.get("id")) for d in documents if isinstance(d, dict)}
            if not documents or ids <= seen:
                return  # past the end, or the same page for ever (I8)
            seen |= ids
            orders = [parse_order(document, status) for document in documents]
            yield [order for order in orders if _is_wanted(order, status)]
            if len(documents) < PAGE_ROWS or len(seen) >= _total(body):
                return
        raise WireError("api_too_large", f"more than {PAGE_CAP * PAGE_ROWS} orders")

    def order(self, external_id: str) -> RemoteOrder | None:
        """Read one order; None when it is gone."""
        try:
            body = self._call("GET", _path(external_id))
        except WireError as error:
            if error.code == "api_not_found" or _says_gone(error):
                return None
            raise
        order = parse_order(_document(body), "")
        if isinstance(order, UnreadableOrder):
            raise WireError("api_unexpected_answer", order.reason)
        return order

    def set_received(self, external_id: str, received: Mapping[str, Decimal]) -> None:
        """PATCH the items' absolute received quantities (§2.6)."""
        items = [
            {"id": item_id, "received": _json_number(quantity)}
            for item_id, quantity in received.items()
        ]
        self._call("PATCH", f"{_path(external_id)}/items", {"items": items})

    def set_status(self, external_id: str, status: str) -> None:
        """PATCH the status, verbatim (§2.6)."""
        body = {"purchase-order": {"status": status}}
        self._call("PATCH", _path(external_id), body)

    def in_stock(self, sku: str, variant_id: str) -> Decimal | None:
        """What it shows of a variant, all warehouses together; None: it knows none.

        A variant's id ends with the one of our file (§2.8); it is asked for by SKU.
        Raises CannotTellError when the list is not offered, the filter is ignored or
        the figure is missing; WireError.
        """
        params = {"limit": str(PAGE_ROWS), "sku_eqi": sku}
        try:
            body = self._call("GET", VARIANTS, params=params)
        except WireError as error:
            if error.code == "api_not_found":
                raise CannotTellError from error
            raise
        documents = body.get("variants")
        if not isinstance(documents, list):
            raise CannotTellError
        known = [doc for doc in documents if isinstance(doc, dict)]
        mine = [
            doc for doc in known if str(doc.get("id")).endswith(f"_{variant_id}")
        ] or [doc for doc in known if str(doc.get("sku")).strip() == sku]
        if not known:
            return None
        if len(mine) != 1 or mine[0].get("in_stock") in (None, ""):
            raise CannotTellError
        try:
            return _number(mine[0], "in_stock")
        except ValueError as error:
            raise CannotTellError from error

    def _page(self, page: int, status: str, *, rows: int) -> dict[str, Any]:
        params = {
            "limit": str(rows),
            "page": str(page),
            "last_modified_sort": "desc",
        }
        if status.strip():
            params["status_eqi"] = status.strip()
        body = self._call("GET", ORDERS, params=params)
        if not isinstance(body.get("purchase-orders"), list):
            raise WireError("api_unexpected_answer", "no list of purchase orders")
        return body

    def _call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        params: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        _pace(self._account_id)
        answer = self._http.request(
            method, path, params=params, body=body, deadline=self._deadline
        )
        if not isinstance(answer.json, dict):
            raise WireError("api_unexpected_answer", "not a JSON object")
        return answer.json


def parse_order(document: Any, status_filter: str) -> RemoteOrder | UnreadableOrder:
    """Type one document of §3.1; what is wrong with it is said, not guessed."""
    external_id = ""
    try:
        document = _storable(document)
        if isinstance(document, dict):
            external_id = str(document.get("id") or "")
        if not ORDER_ID.fullmatch(external_id):
            raise ValueError("id is missing or malformed")
        status = _text(document, "status")
        return RemoteOrder(
            external_id=external_id,
            reference=_text(document, "reference"),
            vendor=_text(document, "vendor_display_name") or _text(document, "vendor"),
            status=status,
            warehouse=_text(document, "warehouse"),
            readonly=document.get("readonly") is True,
            sendable=_is_sendable(status, status_filter),
            created_at=_time(document.get("created_at")),
            modified_at=_time(document.get("last_modified")),
            expected_on=_date(document.get("expected_date")),
            lines=tuple(_lines(document.get("items"))),
            document=document,
        )
    except RecursionError:
        return UnreadableOrder("", "it is nested too deeply", None)
    except ValueError as error:
        return UnreadableOrder(external_id[:64], str(error), document)


def _storable(value: Any) -> Any:
    """Drop what PostgreSQL cannot hold: NUL, and halves of surrogate pairs (I14)."""
    if isinstance(value, str):
        return UNSTORABLE.sub("", value)
    if isinstance(value, list):
        return [_storable(item) for item in value]
    if isinstance(value, dict):
        return {_storable(name): _storable(item) for name, item in value.items()}
    return value


def _is_sendable(status: str, status_filter: str) -> bool:
    if status_filter.strip() and same_status(status, status_filter):
        return True  # asked for by name
    return not any(same_status(status, word) for word in NOT_SENDABLE)


def _is_wanted(order: RemoteOrder | UnreadableOrder, status: str) -> bool:
    if isinstance(order, UnreadableOrder):
        return True
    kind = str(order.document.get("type") or "").casefold()
    if kind in OTHER_KINDS or not order.lines:
        return False
    return not status.strip() or same_status(order.status, status)


def _lines(items: Any) -> Iterator[RemoteLine]:
    if items is None:
        return
    if not isinstance(items, list):
        raise ValueError("items is not a list")
    for item in items:
        if not isinstance(item, dict) or not item.get("id"):
            raise ValueError("an item has no id")
        external_id = str(item["id"])[:128]
        yield RemoteLine(
            external_id=external_id,
            line_id=str(item.get("line_id") or external_id)[:128],
            sku=_text(item, "sku"),
            title=_text(item, "title"),
            quantity=_number(item, "replenishment"),
            received=_number(item, "received"),
        )


def _text(document: Mapping[str, Any], name: str) -> str:
    value = document.get(name)
    if value is None:
        return ""
    if isinstance(value, dict | list):
        raise ValueError(f"{name} is not text")
    return str(value).strip()


def _number(document: Mapping[str, Any], name: str) -> Decimal:
    value = document.get(name)
    if value is None or value == "":
        return Decimal(0)
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        raise ValueError(f"{name} is not a number") from None
    if not number.is_finite() or abs(number) >= 10**15:
        raise ValueError(f"{name} is not a number")
    return number.quantize(Decimal("0.0001"))


def _time(value: Any) -> datetime | None:
    """§2.8: a number is an epoch, text with T an ISO time; anything else is unknown."""
    try:
        if isinstance(value, int | float):
            return datetime.fromtimestamp(value, UTC)
        if isinstance(value, str) and "T" in value:
            at = datetime.fromisoformat(value)
            return at if at.tzinfo else at.replace(tzinfo=UTC)
    except (ValueError, OverflowError, OSError):
        pass
    return None


def _date(value: Any) -> date | None:
    """A calendar date; never shifted by a zone."""
    try:
        return date.fromisoformat(str(value)[:10]) if value else None
    except ValueError:
        return None


def _json_number(quantity: Decimal) -> int | float:
    return int(quantity) if quantity == quantity.to_integral() else float(quantity)


def _path(external_id: str) -> str:
    if not ORDER_ID.fullmatch(external_id):
        raise WireError("api_unexpected_answer", "malformed order id")
    return f"{ORDERS}/{external_id}"


def _document(body: Mapping[str, Any]) -> Any:
    return body.get("purchase-order")


def _total(body: Mapping[str, Any]) -> float:
    meta = body.get("meta")
    total = meta.get("total") if isinstance(meta, dict) else None
    return total if isinstance(total, int) else float("inf")


def _says_gone(error: WireError) -> bool:
    return error.code in ("api_server_error", "api_error_answer") and (
        "failed to find" in error.detail.casefold()
    )


def _pace(account_id: str) -> None:
    """Let one request a second go out per IP account, whoever sends it (§2.7)."""
    pause_s = 1 / settings.INVENTORY_PLANNER_REQUESTS_PER_S
    if pause_s < 1:
        time.sleep(pause_s)
        return
    key = f"inventory_planner:pace:{account_id.casefold()}"
    for _attempt in range(60):
        try:
            if cache.add(key, 1, timeout=round(pause_s)):
                return
        except OSError:
            break  # Redis is away: pace this worker alone
        time.sleep(0.05)
    time.sleep(pause_s)
