"""Cut a list by keyset: no OFFSET, no count, the same cost on every page."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from django.contrib.humanize.templatetags.humanize import intcomma
from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest, QueryDict

M = TypeVar("M", bound=Model)
R = TypeVar("R")

ROWS = 50
SEARCH_LENGTH = 200
# Nobody counts more rows than this; a page says "10,000+".
COUNTED = 10_000
# Where each match costs a look of its own.
MATCHES_COUNTED = 1_000


@dataclass(frozen=True)
class Page(Generic[R]):
    """Rows of a page; `after` is where it starts, `next_after` where the next does."""

    rows: list[R]
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


def page_by_place(
    found: Sequence[R], after: str, place: Callable[[R], Sequence[object]]
) -> Page[R]:
    """The same for rows that SQL has cut: up to ROWS + 1 of them, in their order.

    `place` is what they are ordered by; `place_after` reads it back.
    """
    more = len(found) > ROWS
    next_after = json.dumps(place(found[ROWS - 1]), default=str) if more else ""
    return Page(list(found[:ROWS]), after, next_after)


def place_after(request: HttpRequest, *kinds: type) -> tuple[str, list[Any]]:
    """The request's `after` and what it holds; empty when it is none of ours.

    `kinds` are those of the place's parts: int, str or UUID.
    """
    after = request.GET.get("after", "")
    written = [str if kind is uuid.UUID else kind for kind in kinds]
    try:
        place = json.loads(after)
        fits = isinstance(place, list) and [type(one) for one in place] == written
        # What JSON may spell and no column can hold: NUL, halves of characters.
        fits = fits and b"\0" not in "".join(map(str, place)).encode()
    except (ValueError, RecursionError):
        fits = False
    if not fits:
        return "", []
    pairs = zip(kinds, place, strict=True)
    return after, [uuid_of(one) if kind is uuid.UUID else one for kind, one in pairs]


def count_text(count: int, most: int) -> str:
    """A count that stops after `most`, in words."""
    return f"{intcomma(most)}+" if count > most else str(intcomma(count))


def search_of(request: HttpRequest) -> str:
    """What was typed in the search box, without what no column can hold."""
    return search_in(request.GET)


def search_in(sent: QueryDict) -> str:
    """The same of whatever was sent."""
    return sent.get("q", "").replace("\0", "").strip()[:SEARCH_LENGTH]


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
