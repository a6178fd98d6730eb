"""Read the JSON of a far side, strictly (security F5, reliability I14).

orjson reads many times as fast as the standard library. It keeps silent about one thing
that is refused here, a name twice in an object, and about one that is dropped, text that
no database can hold. Whatever may have either is left to the standard library.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any, NoReturn

import orjson

DEEPEST = 100  # levels of an answer; Inventory Planner's have some five

# What no text here can hold, PostgreSQL's least of all: NUL, and halves of surrogate
# pairs; and how they may stand in JSON, where a character of two halves looks the same.
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")
_PERHAPS_UNSTORABLE = re.compile(rb"\\u(?:0000|[dD][89a-fA-F])")
_SPACE_AFTER_QUOTE = re.compile(rb'"[ \t\r\n]')


def parse(body: bytes) -> Any:
    """Parse UTF-8 without NaN, numbers past a float or a name twice in an object.

    Whole numbers past 64 bits become floats. What PostgreSQL cannot hold of a text is
    dropped. Raises ValueError, also for nesting that would exhaust the stack here, or
    later where it is written down.
    """
    try:
        parsed = orjson.loads(body)
    except orjson.JSONDecodeError:
        return _parse_slowly(body)  # which says what is wrong, or drops it
    names = _count_names(parsed)
    return parsed if _is_harmless(body, names) else _parse_slowly(body)


def _is_harmless(body: bytes, names: int) -> bool:
    """Whether a text surely has no more than so many names, and nothing unstorable.

    A quote and a colon stand together once after each name, and perhaps inside of texts.
    If that is as often as there are names, no name was lost to another one like it;
    unless some of their colons are further away.
    """
    return (
        body.count(b'":') == names
        and not _SPACE_AFTER_QUOTE.search(body)
        and not (b"\\u" in body and _PERHAPS_UNSTORABLE.search(body))
    )


def _count_names(parsed: Any) -> int:
    """Count the names of all objects. Raises ValueError for too many levels."""
    names = 0
    level: list[Any] = [[parsed]]
    for _ in range(DEEPEST + 1):
        names += sum([len(holder) for holder in level if type(holder) is dict])
        level = [
            inner
            for outer in level
            for inner in (outer.values() if type(outer) is dict else outer)
            if type(inner) is dict or type(inner) is list
        ]
        if not level:
            return names
    raise ValueError("nested too deeply")


def _parse_slowly(body: bytes) -> Any:
    try:
        parsed = json.loads(
            body.decode("utf-8"),
            parse_constant=_refuse_constant,
            parse_float=_finite,
            parse_int=_whole,
            object_pairs_hook=_without_repeats,
        )
    except UnicodeDecodeError as error:
        raise ValueError("not UTF-8") from error
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    except json.JSONDecodeError as error:
        raise ValueError("not JSON") from error
    _count_names(parsed)
    return _storable(parsed) if _PERHAPS_UNSTORABLE.search(body) else parsed


def _storable(value: Any) -> Any:
    if isinstance(value, str):
        return _UNSTORABLE.sub("", value)
    if isinstance(value, list):
        return [_storable(item) for item in value]
    if isinstance(value, dict):
        return {_storable(name): _storable(item) for name, item in value.items()}
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} in JSON")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("a number out of range")
    return number


def _whole(text: str) -> int | float:
    number = int(text)
    return number if -(2**63) <= number < 2**64 else _finite(text)


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key twice in one object")
    return found
