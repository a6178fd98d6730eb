"""CSV for people: a spreadsheet must not take a value for a formula (security.md F3).

Never for far sides: their files hold each value as it is (F2).
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence

# Excel takes a file for UTF-8 only when it says so.
BOM = "\ufeff"
PIECE_CHARACTERS = 64 * 1024

_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?")
# Quotes and blanks before the sign do not help: some programs drop them.
_FORMULA = re.compile(r"""['"\s]*[=+\-@＝＋－＠]|'*[\t\r\n]""")


def safe(value: str) -> str:
    """Put an apostrophe before what a spreadsheet would run; numbers stay numbers."""
    if value[:1].isalnum():  # nothing is run that begins so; most values do
        return value
    if _FORMULA.match(value) and not _NUMBER.fullmatch(value):
        return f"'{value}"
    return value


def plain(value: str) -> str:
    """Take off the apostrophe that `safe` put there."""
    if value.startswith("'") and _FORMULA.match(value[1:]):
        return value[1:]
    return value


def variant(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The same table as a file of ours holds, as people may open it."""
    rows = csv.reader(_text_lines(pieces))
    yield from lines(next(rows, []), rows)


def _text_lines(pieces: Iterable[bytes]) -> Iterator[str]:
    """The text in lines, each with its end: an end inside a value stays there."""
    rest = ""
    for text in codecs.iterdecode(pieces, "utf-8"):
        *whole, rest = (rest + text).split("\n")
        for line in whole:
            yield f"{line}\n"
    if rest:
        yield rest


def lines(
    header: Sequence[str], rows: Iterable[Sequence[str | None]]
) -> Iterator[bytes]:
    """Write a file, a piece at a time; None is an empty value."""
    out = io.StringIO()
    out.write(BOM)
    writer = csv.writer(out)
    writer.writerow(header)
    for row in rows:
        writer.writerow([safe(value) if value else "" for value in row])
        if out.tell() > PIECE_CHARACTERS:
            yield out.getvalue().encode()
            out.seek(0)
            out.truncate()
    yield out.getvalue().encode()
