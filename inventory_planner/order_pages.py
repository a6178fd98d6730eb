"""One page of Inventory Planner's list of orders: is it the last, and has the list moved.

Facts: inventory-planner.md §2.5 and §3.5, reliability.md I8.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from connections.wire.errors import WireError
from inventory_planner.order_documents import last_modified

PAGE_ROWS = 100


@dataclass(frozen=True)
class Listed:
    """The documents of a page, with what its `meta` says, where it says so."""

    number: int
    documents: list[Any]
    ids: frozenset[str]
    changed: list[datetime]
    total: int | None
    start: int

    @classmethod
    def of(cls, body: Mapping[str, Any], number: int) -> Self:
        """Raises WireError for an answer without a list: that is not "no orders"."""
        documents = body.get("purchase-orders")
        if not isinstance(documents, list):
            raise WireError("api_unexpected_answer", "no list of purchase orders")
        meta = body.get("meta")
        told = meta if isinstance(meta, dict) else {}
        stamps = [last_modified(document) for document in documents]
        return cls(
            number=number,
            documents=documents,
            ids=frozenset(
                str(document.get("id"))
                for document in documents
                if isinstance(document, dict)
            ),
            changed=[stamp for stamp in stamps if stamp is not None],
            total=_whole(told.get("total")),
            start=_whole(told.get("start")) or number * PAGE_ROWS,
        )

    @property
    def has_more(self) -> bool:
        """A full page is never the last: one more question, and no trust in `total`.

        Fewer rows than asked for are, unless the server's own pages are smaller.
        """
        if len(self.documents) >= PAGE_ROWS:
            return True
        return self.total is not None and self.start + len(self.documents) < self.total

    def repeats(self, before: Listed) -> bool:
        return self.number > before.number and self.ids <= before.ids

    def goes_on_downwards(self, before: Listed | None) -> bool:
        """Say whether the newest changes come first, as was asked for."""
        if self.changed != sorted(self.changed, reverse=True):
            return False
        newest = before.changed[0] if before and before.changed else None
        return newest is None or not self.changed or self.changed[0] <= newest

    def is_before(self, since: datetime) -> bool:
        """Say whether all of it was changed earlier; a page that does not tell is not."""
        return bool(self.changed) and self.changed[0] < since

    def pages_moved_up(self, before: Listed) -> int:
        """How many pages back those orders stand that have moved up unseen.

        Orders that left the list let the later ones move up by as many places.
        """
        if self.total is None or before.total is None or self.total >= before.total:
            return 0
        return math.ceil((before.total - self.total) / PAGE_ROWS)


def _whole(value: Any) -> int | None:
    return value if type(value) is int and value >= 0 else None
