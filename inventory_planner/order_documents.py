"""Inventory Planner's order documents, typed; what cannot be understood is quarantined.

Facts: inventory-planner.md §2.8 and §3. The API is beta: unknown fields are ignored,
missing ones have defaults, and nothing is guessed.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from functools import cached_property, lru_cache
from typing import Any

import orjson

from connections.platforms import OrderPage, RemoteLine, RemoteOrder, UnreadableOrder

# A far side's id goes into a path: letters and digits only (security.md F5).
ORDER_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
# Names of §3.4 whose orders are not for a warehouse, unless the filter asks for them.
CANCELLED = "CANCELLED"
NOT_SENDABLE = ("DRAFT", "CLOSED", CANCELLED)
OTHER_KINDS = ("transfer", "assembly")
LONGEST_ID = 128
LONGEST_TEXT = 256  # what a RemoteOrder holds of a text
LARGEST = 10**15  # what the column of a quantity holds


@lru_cache(maxsize=1000)  # an account has a few, and each order is compared with some
def normalise_status(status: str) -> str:
    """Compare statuses as people mean them (§3.4)."""
    words = re.sub(r"[\s_-]+", " ", status.strip().casefold())
    return words.replace("canceled", "cancelled")


def same_status(one: str, other: str) -> bool:
    return normalise_status(one) == normalise_status(other)


@dataclass(frozen=True)
class Wanted:
    """Which orders a store takes: those in a status (blank: in every one).

    `other_kinds`: transfers and assembly orders as well, which live in the same list.
    """

    status: str = ""
    other_kinds: bool = False

    def page(self, documents: Sequence[Any], next_page: int | None) -> OrderPage:
        """The documents of a page, one of each id: rows may move while one reads."""
        page = [Document(document, self) for document in documents]
        return OrderPage({one.external_id: one for one in page}, next_page)

    def takes(self, document: Mapping[str, Any], status: str | None) -> bool:
        """`status` None: the document does not say; it is not left out unseen."""
        kind = document.get("type")
        if not self.other_kinds and str(kind or "").casefold() in OTHER_KINDS:
            return False
        if not self.status.strip() or status is None:
            return True
        return same_status(status, self.status)


EVERY_ORDER = Wanted(other_kinds=True)


class Document:
    """One of the platform's orders as it came; see `platforms.OrderDocument`."""

    def __init__(self, content: Any, wanted: Wanted) -> None:
        self.content = content
        self._wanted = wanted

    @cached_property
    def external_id(self) -> str:
        try:
            return _order_id(self.content)
        except ValueError:
            # No platform's id begins so: people must find it all the same. Made as it
            # always was, or those that are here would come once more.
            text = json.dumps(self.content, sort_keys=True)
            return f"~{hashlib.sha256(text.encode()).hexdigest()[:40]}"

    @cached_property
    def text(self) -> str:
        return orjson.dumps(self.content, option=orjson.OPT_SORT_KEYS).decode()

    @cached_property
    def digest(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()

    def order(self) -> RemoteOrder | UnreadableOrder:
        """Type it (§3.1); what is wrong with it is said, not guessed."""
        try:
            return self._order()
        except ValueError as error:
            return self._unreadable(str(error))

    def _order(self) -> RemoteOrder:
        """Raises ValueError with the reason."""
        document = self.content
        external_id = _order_id(document)
        status = _text(document, "status")
        lines = tuple(_lines(document.get("items")))
        return RemoteOrder(
            external_id=external_id,
            # One without lines is not for import.
            wanted=bool(lines) and self._wanted.takes(document, status),
            reference=_text(document, "reference"),
            vendor=_first_text(document, "vendor_display_name", "vendor", "source"),
            status=status,
            warehouse=_text(document, "warehouse"),
            readonly=document.get("readonly") is True,
            sendable=_is_sendable(status, self._wanted.status),
            canceled=same_status(status, CANCELLED),
            created_at=_time(document.get("created_at")),
            modified_at=last_modified(document),
            expected_on=_date(document.get("expected_date")),
            lines=lines,
        )

    def _unreadable(self, reason: str) -> UnreadableOrder:
        document = self.content if isinstance(self.content, dict) else {}
        status = document.get("status")
        told = status if isinstance(status, str) else None
        reference, warehouse = document.get("reference"), document.get("warehouse")
        return UnreadableOrder(
            external_id=self.external_id,
            wanted=self._wanted.takes(document, told),
            reference=_cut(str(reference)) if isinstance(reference, str | int) else "",
            warehouse=_cut(warehouse) if isinstance(warehouse, str) else "",
            reason=reason,
        )


def _order_id(document: Any) -> str:
    if not isinstance(document, dict):
        raise ValueError("it is no object")
    external_id = str(document.get("id") or "")
    if not ORDER_ID.fullmatch(external_id):
        raise ValueError("id is missing or malformed")
    return external_id


def last_modified(document: Any) -> datetime | None:
    """When a document was changed; None: it does not say so to the second."""
    return _time(document.get("last_modified")) if isinstance(document, dict) else None


def _is_sendable(status: str, status_filter: str) -> bool:
    if status_filter.strip() and same_status(status, status_filter):
        return True  # asked for by name
    return not any(same_status(status, word) for word in NOT_SENDABLE)


def _lines(items: Any) -> Iterator[RemoteLine]:
    if items is None:
        return
    if not isinstance(items, list):
        raise ValueError("items is not a list")
    seen: set[str] = set()
    for number, item in enumerate(items, start=1):
        if not isinstance(item, dict) or not item.get("id"):
            raise ValueError("an item has no id")
        external_id = _exact("id", item["id"])[:LONGEST_ID]
        line_id = _exact("line_id", item.get("line_id") or external_id)[:LONGEST_ID]
        if line_id in seen:
            # Two lines are two lines; the write-back leaves such an order to people.
            line_id = f"{line_id[: LONGEST_ID - 8]}#{number}"
        seen.add(line_id)
        yield RemoteLine(
            external_id,
            line_id,
            _text(item, "sku"),
            _text(item, "title"),
            read_number(item, "replenishment"),
            read_number(item, "received"),
        )


def _first_text(document: Mapping[str, Any], *names: str) -> str:
    return next((text for name in names if (text := _text(document, name))), "")


def _text(document: Mapping[str, Any], name: str) -> str:
    value = document.get(name)
    if type(value) is str:
        return _cut(value)
    if value is None:
        return ""
    if isinstance(value, dict | list):
        raise ValueError(f"{name} is not text")
    return _cut(_exact(name, value))


def _exact(name: str, value: Any) -> str:
    """Write a value as text. Raises ValueError for one that was rounded as it was read:
    a whole number past 64 bits (connections/wire/strict_json.py)."""
    if isinstance(value, float) and abs(value) >= 2**63:
        raise ValueError(f"{name} is too large a number")
    return str(value)


def _cut(text: str) -> str:
    return text.strip()[:LONGEST_TEXT]


def read_number(document: Mapping[str, Any], name: str) -> Decimal:
    """Read a quantity, which may be text or fractional; blank is 0 (§2.8).

    Raises ValueError.
    """
    value = document.get(name)
    if value is None or value == "":
        return Decimal(0)
    if type(value) is int and -LARGEST < value < LARGEST:
        return Decimal(value)  # as most are
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        raise ValueError(f"{name} is not a number") from None
    if not number.is_finite() or abs(number) >= LARGEST:
        raise ValueError(f"{name} is not a number")
    return number.quantize(Decimal("0.0001"))


def _time(value: Any) -> datetime | None:
    """§2.8: a number is an epoch, text with T an ISO time; anything else is unknown."""
    try:
        if isinstance(value, int | float):
            return datetime.fromtimestamp(value, UTC)
        if isinstance(value, str) and "T" in value:
            at = datetime.fromisoformat(value)
            return at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)
    except (ValueError, OverflowError, OSError):
        pass
    return None


def _date(value: Any) -> date | None:
    """A calendar date, never shifted by a zone; a number is an epoch (§2.8)."""
    if isinstance(value, int | float):
        at = _time(value)
        return at.date() if at else None
    try:
        return date.fromisoformat(str(value)[:10]) if value else None
    except ValueError:
        return None
