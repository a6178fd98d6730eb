"""Look at a file's rows before the far side does: what it would drop is left out, named.

A platform skips a file with one wrong column, or a row with one wrong cell, and tells
nobody. The rules come from the platform (`Sheet`); here they meet the very bytes that
are about to be kept. A cell that holds somebody's data and breaks a rule costs its row;
whatever we make ourselves (header, booleans, times) and is wrong is a bug: no file.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import Enum
from itertools import islice
from typing import Any

from connections.problems import Problem
from connections.wire.errors import clean_detail

SHOWN_PROBLEMS = 20
SHOWN_KEY = 80
# Rows that are looked at in one go: enough for the look to cost little, and few enough
# to stay in the processor's cache and to send few through the slow reading.
BLOCK_ROWS = 256
# What a double holds exactly, whatever the digits (IEEE 754).
FLOAT_DIGITS = 15
ANY_CELL = rb'(?:"(?:[^"]|"")*"|[^",\n]*)'
CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class Kind(Enum):
    """A type of cells; the value is the grammar of those that need no second look.

    Possessive: a row that does not fit is given up at once, not tried in other ways.
    """

    TEXT = rb'(?:[^\x00-\x1f",\x7f]{1,%(limit)d}+|"(?:[^\x00-\x1f"\x7f]|""){1,%(limit)d}+")'
    CURRENCY = rb"[A-Z]{3}"
    NUMBER = rb"-?+\d{1,11}+(?:\.\d{1,4}+)?+"
    BOOLEAN = rb"(?:true|false)"
    TIMESTAMP = (
        rb"\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])"
        rb" (?:[01]\d|2[0-3])(?::[0-5]\d){2}"
    )


@dataclass(frozen=True)
class Column:
    """A column that a platform supports. `limit`: characters of a text, at most."""

    name: str
    kind: Kind = Kind.TEXT
    required: bool = True
    blank: bool = False
    limit: int = 256


@dataclass(frozen=True)
class Sheet:
    """A platform's rules for one kind of file.

    `key`: the columns that name a row, first in the file; `version`: of the rules.
    """

    prefix: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    version: str

    def of_header(self, header: Sequence[str]) -> list[Column]:
        """The columns of a file. Raises Problem("file_invalid") when it would be skipped."""
        known = {column.name: column for column in self.columns}
        missing = [c.name for c in self.columns if c.required and c.name not in header]
        if missing:
            raise Problem("file_invalid", f"missing column: {', '.join(missing)}")
        unknown = [name for name in header if name not in known]
        if unknown:
            raise Problem("file_invalid", f"unsupported column: {', '.join(unknown)}")
        if len(set(header)) != len(header):
            raise Problem("file_invalid", "a column appears twice")
        if tuple(header[: len(self.key)]) != self.key:
            raise Problem("file_invalid", f"does not begin with {', '.join(self.key)}")
        return [known[name] for name in header]


@dataclass(frozen=True)
class Block:
    """Some rows of a file, good ones only."""

    data: bytes
    rows: int


@dataclass
class Preflight:
    """Reads the rows of one file as they pass; counts what it lets through and what not.

    Rows must come sorted by their key: the same key twice is found by its neighbour.
    """

    sheet: Sheet
    header: tuple[str, ...]
    rows: int = 0
    left_out: int = 0
    # Of the first ones: row (1 follows the header), key, column, reason.
    problems: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._columns = self.sheet.of_header(self.header)
        cells = [_grammar(column) for column in self._columns]
        width = len(self.sheet.key)
        key, rest = b",".join(cells[:width]), b",".join([b"", *cells[width:]])
        row = b"(?P<key>" + key + b")" + rest + b"\n"
        self._plain_row = re.compile(row)
        self._plain_block = re.compile(b"(?:" + row + b"(?!(?P=key),))+")
        self._any_key = re.compile(b",".join([ANY_CELL] * width))
        self._last_key: bytes | None = None

    def blocks(
        self, rows: Iterable[bytes], at_once: int = BLOCK_ROWS
    ) -> Iterator[Block]:
        """Yield the good ones of COPY's rows, the header not among them.

        `rows`: the header first, then one each; `at_once`: most rows of a block. Raises
        Problem("file_invalid").
        """
        waiting = iter(rows)
        if next(waiting, b"") != self.header_line:
            raise Problem("file_invalid", "the header is not ours")
        while taken := list(islice(waiting, at_once)):
            block = self._checked(taken)
            if block.rows:
                yield block

    @property
    def header_line(self) -> bytes:
        """What a file begins with."""
        return ",".join(self.header).encode() + b"\n"

    def in_words(self) -> str:
        """How many rows were left out, and the first of them; for an alert."""
        return f"{self.left_out} left out. " + ". ".join(
            f"Row {problem['row']}, {' @ '.join(problem['key'])}: "
            f"{problem['column']} {problem['reason']}"
            for problem in self.problems
        )

    def _checked(self, rows: list[bytes]) -> Block:
        """All at once when all are plain and good, else one by one."""
        data = b"".join(rows)
        plain = self._plain_block.fullmatch(data)
        begins_again = self._last_key and data.startswith(self._last_key + b",")
        if plain is None or begins_again:
            good = [row for row in rows if self._is_good(row)]
            return Block(b"".join(good), len(good))
        self._last_key = plain["key"]
        self.rows += len(rows)
        return Block(data, len(rows))

    def _is_good(self, row: bytes) -> bool:
        fault = self._fault(row)
        if fault is None:
            self.rows += 1
            return True
        self.left_out += 1
        if len(self.problems) < SHOWN_PROBLEMS:
            column, reason = fault
            cells = _cells(row, len(self._columns))[: len(self.sheet.key)]
            self.problems.append(
                {
                    "row": self.rows + self.left_out,
                    "key": [clean_detail(cell, SHOWN_KEY) for cell in cells],
                    "column": column,
                    "reason": reason,
                }
            )
        return False

    def _fault(self, row: bytes) -> tuple[str, str] | None:
        """The column and the reason for which a row would be dropped."""
        key = self._any_key.match(row)
        if key is not None and key[0] == self._last_key:
            return ", ".join(self.sheet.key), "stand in the row before: it comes twice"
        if self._plain_row.fullmatch(row) is None:
            cells = _cells(row, len(self._columns))
            for column, text in zip(self._columns, cells, strict=True):
                reason = _cell_fault(column, text)
                if reason:
                    return column.name, reason
        self._last_key = key[0] if key else None
        return None


def _grammar(column: Column) -> bytes:
    grammar = column.kind.value
    if column.kind is Kind.TEXT:
        # Bytes stand for characters here: what is longer only because of that is read
        # again, cell by cell.
        grammar %= {b"limit": column.limit}
    return b"(?:" + grammar + b")?+" if column.blank else grammar


def _cells(row: bytes, width: int) -> list[str]:
    """Read one row strictly. Raises Problem("file_invalid")."""
    try:
        [cells] = csv.reader(io.StringIO(row.decode(), newline=""), strict=True)
    except (ValueError, csv.Error) as error:
        raise Problem("file_invalid", f"not a row of CSV: {error}") from None
    if len(cells) != width:
        raise Problem("file_invalid", f"{len(cells)} cells, not {width}")
    return cells


def _cell_fault(column: Column, text: str) -> str | None:
    """Why a platform would drop the row, None when it would not.

    Raises Problem("file_invalid") for what no data of anybody can bring about.
    """
    if not text:
        return None if column.blank else "is empty"
    if column.kind is Kind.TEXT:
        if len(text) > column.limit:
            return f"is longer than {column.limit} characters"
        if CONTROL.search(text):
            return "holds a line break or another control character"
        return None
    if re.fullmatch(column.kind.value, text.encode()):
        return None
    if column.kind is Kind.NUMBER:
        return None if _is_exact(text) else "is not a number that a FLOAT holds exactly"
    if column.kind is Kind.CURRENCY:
        return "is not a currency of three letters"
    raise Problem("file_invalid", f"{column.name} reads {text[:40]!r}")


def _is_exact(text: str) -> bool:
    """A plain number whose digits come back from a double as they were."""
    if re.fullmatch(r"-?\d+(\.\d+)?", text, re.ASCII) is None:
        return False
    digits = Decimal(text).normalize().as_tuple().digits
    return len(digits) <= FLOAT_DIGITS
