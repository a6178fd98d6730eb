"""Inventory Planner's REST API: a function per endpoint, typed results.

Facts: inventory-planner.md §2. What it answers is typed in order_documents.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Self

from django.conf import settings

from connections.dialling import api_policy
from connections.platforms import OrderPage, RemoteOrder, UnreadableOrder
from connections.wire.errors import WireError
from connections.wire.http import HttpClient
from connections.wire.ssh import Deadline
from inventory_planner import pace
from inventory_planner.order_documents import (
    EVERY_ORDER,
    ORDER_ID,
    Document,
    Wanted,
    read_number,
)
from inventory_planner.order_pages import PAGE_ROWS, Listed
from stores.secret import Secret

USER_AGENT = "DropStream/1.0 (+purchase orders and stock for Inventory Planner)"
ORDERS = "/api/v1/purchase-orders"
VARIANTS = "/api/v1/variants"
# A list that never ends is no list: ten times the largest account foreseen (I15).
PAGE_CAP = 10_000
# How often one reading goes back for orders that have moved up; the daily one heals.
MOST_STEPS_BACK = 5


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

    def preview(self, wanted: Wanted) -> Preview:
        """Count what would be imported now, on the newest page of all orders."""
        documents = Listed.of(self._page(0, ""), 0).documents
        orders = [Document(document, wanted).order() for document in documents]
        readable = [order for order in orders if isinstance(order, RemoteOrder)]
        seen = dict.fromkeys(order.status for order in readable if order.status)
        return Preview(
            matches=sum(order.wanted for order in readable),
            read=len(documents),
            all_read=len(documents) < PAGE_ROWS,
            statuses=tuple(seen),
        )

    def pages(
        self,
        wanted: Wanted,
        *,
        asked: str | None = None,
        since: datetime | None = None,
        first_page: int = 0,
    ) -> Iterator[OrderPage]:
        """Yield pages of orders, newest change first, wanted ones among others.

        `asked`: the status that IP is asked for, by default the wanted one. It is
        checked here again, since IP ignores what it does not know (§2.4).
        `since`: ends with the first page of which everything was changed before, as
        long as the pages really come in that order (§3.5).

        Pages may shift while they are read: duplicates are for the caller to merge, and
        when orders leave the list those that moved up are gone back for (I8). Raises
        api_too_large at a page beyond the cap.
        """
        asked = wanted.status if asked is None else asked
        number: int | None = first_page
        before: Listed | None = None
        in_order, steps_back = True, 0
        while number is not None:
            if number >= PAGE_CAP:
                raise WireError("api_too_large", f"over {PAGE_CAP * PAGE_ROWS} orders")
            listed = Listed.of(self._page(number, asked), number)
            if not listed.documents or (before and listed.repeats(before)):
                return  # past the end, or the same page for ever
            in_order = in_order and listed.goes_on_downwards(before)
            back = listed.pages_moved_up(before) if before else 0
            if back and steps_back < MOST_STEPS_BACK:
                steps_back += 1
                number = max(number - back, 0)
            elif since and in_order and listed.is_before(since):
                number = None
            else:
                number = number + 1 if listed.has_more else None
            yield wanted.page(listed.documents, number)
            before = listed

    def order(
        self, external_id: str, wanted: Wanted = EVERY_ORDER
    ) -> RemoteOrder | None:
        """Read one order; None when it is gone."""
        try:
            body = self._call("GET", _path(external_id))
        except WireError as error:
            if error.code == "api_not_found" or _says_gone(error):
                return None
            raise
        order = Document(body.get("purchase-order"), wanted).order()
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
            return read_number(mine[0], "in_stock")
        except ValueError as error:
            raise CannotTellError from error

    def _page(self, page: int, status: str) -> dict[str, Any]:
        params = {
            "limit": str(PAGE_ROWS),
            "page": str(page),
            "last_modified_sort": "desc",
        }
        if status.strip():
            params["status_eqi"] = status.strip()
        return self._call("GET", ORDERS, params=params)

    def _call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        params: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        pace.wait_turn(self._account_id, self._deadline)
        try:
            answer = self._http.request(
                method, path, params=params, body=body, deadline=self._deadline
            )
        except WireError as error:
            if error.retry_after_s is not None:
                pace.hold(self._account_id, error.retry_after_s)
            raise
        if not isinstance(answer.json, dict):
            raise WireError("api_unexpected_answer", "not a JSON object")
        return answer.json


def _json_number(quantity: Decimal) -> int | float:
    return int(quantity) if quantity == quantity.to_integral() else float(quantity)


def _path(external_id: str) -> str:
    if not ORDER_ID.fullmatch(external_id):
        raise WireError("api_unexpected_answer", "malformed order id")
    return f"{ORDERS}/{external_id}"


def _says_gone(error: WireError) -> bool:
    return error.code in ("api_server_error", "api_error_answer") and (
        "failed to find" in error.detail.casefold()
    )
