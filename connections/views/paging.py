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
    last = _row(rows, after)
    if last is not None:
        rows = rows.filter(Q(name=last.name, pk__gt=last.pk) | Q(name__gt=last.name))
    return _cut(rows.order_by("name", "pk"), last)


def page_open_first(rows: QuerySet[M], after: str) -> Page[M]:
    """The same for rows that are open, newest first, and then closed, last one first."""
    last = _row(rows, after)
    if last is not None:
        before = Q(closed_at=last.closed_at, pk__lt=last.pk)
        was_open = last.closed_at is None
        closed = (
            Q(closed_at__isnull=False) if was_open else Q(closed_at__lt=last.closed_at)
        )
        rows = rows.filter(before | closed)
    # PostgreSQL puts nulls, the open ones, first in descending order.
    return _cut(rows.order_by("-closed_at", "-pk"), last)


def page_newest_first(rows: QuerySet[M], after: str) -> Page[M]:
    """The same for rows that are listed by their age."""
    last = _row(rows, after)
    if last is not None:
        rows = rows.filter(pk__lt=last.pk)
    return _cut(rows.order_by("-pk"), last)


def search_of(request: HttpRequest) -> str:
    """What was typed in the search box, without what no column can hold."""
    return request.GET.get("q", "").replace("\0", "").strip()[:SEARCH_LENGTH]


def _row(rows: QuerySet[M], public_id: str) -> Any:
    return rows.filter(public_id=uuid_of(public_id)).first() if public_id else None


def _cut(rows: QuerySet[M], last: Any) -> Page[M]:
    """Take a page's rows, and one more to know whether another page follows."""
    found: list[Any] = list(rows[: ROWS + 1])
    more = len(found) > ROWS
    next_after = str(found[ROWS - 1].public_id) if more else ""
    return Page(found[:ROWS], str(last.public_id) if last else "", next_after)


def uuid_of(text: str) -> uuid.UUID:
    """Read an id that came with a request; one that is none belongs to no row."""
    try:
        return uuid.UUID(text)
    except ValueError:
        return uuid.UUID(int=0)
