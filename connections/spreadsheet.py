"""CSV for people: a spreadsheet must not take a value for a formula (security.md F3).

Never for far sides: their files hold each value as it is (F2).
"""

from __future__ import annotations

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
    if _FORMULA.match(value) and not _NUMBER.fullmatch(value):
        return f"'{value}"
    return value


def plain(value: str) -> str:
    """Take off the apostrophe that `safe` put there."""
    if value.startswith("'") and _FORMULA.match(value[1:]):
        return value[1:]
    return value


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
