"""How the API lists things: filters, order, pages and the meta that describes them."""

from __future__ import annotations

import json
import math
import operator
from collections.abc import Callable, Sequence
from typing import Any

from dropstream.sandbox.http_server import Request, Response, json_response
from dropstream.sandbox.state import Doc

DEFAULT_LIMIT, MAX_LIMIT = 100, 1000
COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "_gte": operator.ge,
    "_lte": operator.le,
    "_gt": operator.gt,
    "_lt": operator.lt,
}


def collection(request: Request, name: str, docs: Sequence[Doc]) -> Response:
    """Return a page of a collection: filtered, sorted, cut and described."""
    query = dict(request.query)
    rows = ordered(filtered(docs, query), query)
    limit = min(whole(query.get("limit"), DEFAULT_LIMIT) or DEFAULT_LIMIT, MAX_LIMIT)
    page = whole(query.get("page"), 0)
    start = page * limit
    shown = rows[start : start + limit]
    meta = {
        "name": name,
        "display_name": name.replace("-", " "),
        "total": len(rows),
        "count": len(shown),
        "limit": limit,
        "page": page,
        "start": start,
        "end": start + max(len(shown) - 1, 0),
    }
    if "fields" in query:
        wanted = query["fields"].split(",")
        shown = [{k: row[k] for k in wanted if k in row} for row in shown]
    return json_response({"meta": meta, name: shown})


def filtered(docs: Sequence[Doc], query: dict[str, str]) -> list[Doc]:
    """Return the documents that match; parameters that IP does not know are ignored."""
    known = {name for doc in docs for name in doc}
    rows = list(docs)
    for parameter, wanted in query.items():
        test = _test(parameter, wanted, known)
        if test is not None:
            rows = [doc for doc in rows if test(doc)]
    return rows


def _test(parameter: str, wanted: str, known: set[str]) -> Callable[[Doc], bool] | None:
    if parameter in known:
        return lambda doc: as_text(doc.get(parameter)) == wanted
    for suffix in ("_eqi", "_ne", *COMPARISONS):
        name = parameter.removesuffix(suffix)
        if name == parameter or name not in known:
            continue
        if suffix == "_eqi":
            folded = wanted.casefold()
            return lambda doc: as_text(doc.get(name)).casefold() == folded
        if suffix == "_ne":
            return lambda doc: as_text(doc.get(name)) != wanted
        compare = COMPARISONS[suffix]
        return lambda doc: compares(compare, doc.get(name), wanted)
    return None


def compares(compare: Callable[[Any, Any], bool], value: Any, wanted: str) -> bool:
    """Compare as numbers where both are, else as text."""
    try:
        return compare(float(value), float(wanted))
    except (TypeError, ValueError):
        return compare(as_text(value), wanted)


def as_text(value: Any) -> str:
    """Return a field as a filter spells it."""
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value)


def ordered(rows: list[Doc], query: dict[str, str]) -> list[Doc]:
    """Sort by the first ``<field>_sort`` parameter."""
    for parameter, direction in query.items():
        name = parameter.removesuffix("_sort")
        if name != parameter:
            return sorted(
                rows,
                key=lambda doc: sort_key(doc.get(name)),
                reverse=direction.lower() == "desc",
            )
    return rows


def sort_key(value: Any) -> tuple[float, str]:
    """Return a key that puts numbers in order of size and texts after them."""
    if isinstance(value, int | float):
        return (float(value), "")
    return (math.inf, as_text(value))


def whole(text: str | None, default: int) -> int:
    """Return a whole number of a parameter, or the default for anything else."""
    return int(text) if text and text.isascii() and text.isdigit() else default
