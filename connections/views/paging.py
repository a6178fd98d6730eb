"""Cut a list by keyset: no OFFSET, no count, the same cost on every page."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest

M = TypeVar("M", bound=Model)

ROWS = 50
SEARCH_LENGTH = 200


@dataclass(frozen=True)
class Page(Generic[M]):
    """Rows of a page; `after` is where it starts, `next_after` where the next does."""

    rows: list[M]
    after: str
    next_after: str


def page_by_name(rows: QuerySet[M], after: str) -> Page[M]:
    """Return the rows that follow the one whose public id is `after`, by (name, id)."""
    last: Any = rows.filter(public_id=_uuid(after)).first() if after else None
    if last is not None:
        rows = rows.filter(Q(name=last.name, pk__gt=last.pk) | Q(name__gt=last.name))
    found: list[Any] = list(rows.order_by("name", "pk")[: ROWS + 1])
    more = len(found) > ROWS
    next_after = str(found[ROWS - 1].public_id) if more else ""
    return Page(found[:ROWS], after if last else "", next_after)


def search_of(request: HttpRequest) -> str:
    """What was typed in the search box, without what no column can hold."""
    return request.GET.get("q", "").replace("\0", "").strip()[:SEARCH_LENGTH]


def _uuid(text: str) -> uuid.UUID:
    try:
        return uuid.UUID(text)
    except ValueError:
        return uuid.UUID(int=0)
