"""Understand a warehouse's stock file (docs/formats.md): tolerant of columns, strict
about values."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal, InvalidOperation
from itertools import islice

from connections.warehouses.times import time_of

SKU_LENGTH = 256
FACILITY_LENGTH = 100
SHOWN_PROBLEMS = 20
# As many as the processor's cache holds: with 10,000 at once it takes twice as long.
ROWS_AT_ONCE = 500
PARTS = 8  # into which rows are cut to find the bad ones
KNOWN_MOST = 100_000  # figures or times that are remembered
NULL = r"\N"
# Beyond this a file is taken for a wrong one and refused whole.
BAD_ROWS_ALLOWED = 100
BAD_SHARE_ALLOWED = 0.05


@dataclass(frozen=True)
class Levels:
    """Rows of a report, a column each: a SKU in a facility, as the warehouse says.

    Figures and times are checked text as PostgreSQL's COPY reads it, NULL included.
    """

    lines: Sequence[int]
    skus: Sequence[str]
    facilities: Sequence[str]
    available: Sequence[str]
    on_hand: Sequence[str]
    committed: Sequence[str]
    reported_at: Sequence[str]


@dataclass
class Report:
    """Rows of a file, and what was wrong with others."""

    rows: int = 0
    bad_rows: int = 0
    problems: list[dict[str, object]] = field(default_factory=list)

    def problem(self, line: int, reason: str) -> None:
        self.bad_rows += 1
        if len(self.problems) < SHOWN_PROBLEMS:
            self.problems.append({"line": line, "reason": reason})

    def check(self) -> None:
        """Raise RefusedReportError when too much of the file is bad, or all of it."""
        limit = max(BAD_ROWS_ALLOWED, BAD_SHARE_ALLOWED * (self.rows + self.bad_rows))
        if self.bad_rows > limit or (self.bad_rows and not self.rows):
            raise RefusedReportError(
                f"{self.bad_rows} of {self.rows + self.bad_rows} rows cannot be read",
                self,
            )


class RefusedReportError(Exception):
    """The file is not a stock report; the message says why, `report` which rows."""

    def __init__(self, reason: str, report: Report | None = None) -> None:
        super().__init__(reason)
        self.report = report or Report()


def levels(
    rows: Iterator[list[str]], report: Report, reported_by: datetime, read_at: datetime
) -> Iterator[Levels]:
    """Yield good rows, many at once, and count the rest.

    `reported_by`: the file's own time, for rows without one, or with one later than
    `read_at`; itself no later than that. Raises RefusedReportError for a header that is
    none.
    """
    checks = _Checks(_columns(next(rows, None)), reported_by, read_at)
    first = 2
    while batch := list(islice(rows, ROWS_AT_ONCE)):
        lines: Sequence[int] = range(first, first + len(batch))
        first += len(batch)
        if not all(batch):  # empty lines
            lines = [line for line, row in zip(lines, batch, strict=True) if row]
            batch = [row for row in batch if row]
        try:
            good = checks.levels(lines, batch)
        except ValueError:
            bad = dict(checks.faults(lines, batch))
            for line, reason in bad.items():
                report.problem(line, reason)
            left = [
                (line, row)
                for line, row in zip(lines, batch, strict=True)
                if line not in bad
            ]
            if not left:
                continue
            good = checks.levels(*map(list, zip(*left, strict=True)))
        report.rows += len(good.lines)
        yield good


def _columns(header: list[str] | None) -> dict[str, int]:
    if not header:
        raise RefusedReportError("the file is empty")
    names = [name.strip().casefold().replace(" ", "_") for name in header]
    if len(set(names)) != len(names):
        raise RefusedReportError("a column appears twice")
    columns = {name: at for at, name in enumerate(names)}
    if "sku" not in columns:
        raise RefusedReportError("there is no column sku")
    if not columns.keys() & {"available", "on_hand"}:
        raise RefusedReportError("there is neither a column available nor on_hand")
    return columns


class _Checks:
    """Strict about values: judges many rows at once, a column at a time.

    Most figures and times of a file stand in it often: each is judged once.
    """

    def __init__(
        self, columns: dict[str, int], reported_by: datetime, read_at: datetime
    ) -> None:
        self._columns = columns
        self._read_at, self._reported_by = read_at, min(reported_by, read_at)
        self._figures: dict[str, str] = {"": NULL}
        self._times: dict[str, str] = {"": self._reported_by.isoformat()}

    def faults(
        self, lines: Sequence[int], rows: list[list[str]]
    ) -> Iterator[tuple[int, str]]:
        """Yield the line of each bad row, and why: parts that hold none are done."""
        try:
            self.levels(lines, rows)
        except ValueError as error:
            if len(rows) == 1:
                yield lines[0], str(error)
                return
            part = -(-len(rows) // PARTS)
            for at in range(0, len(rows), part):
                yield from self.faults(lines[at : at + part], rows[at : at + part])

    def levels(self, lines: Sequence[int], rows: list[list[str]]) -> Levels:
        """Turn rows into columns. Raises ValueError with what is wrong with one of them."""
        width = len(self._columns)
        if set(map(len, rows)) - {width}:
            raise ValueError(f"{len(rows[0])} values, the header has {width}")
        columns = list(zip(*rows, strict=True))

        def of(name: str) -> Sequence[str]:
            return columns[self._columns[name]] if name in self._columns else absent

        absent = [""] * len(rows)
        skus = _texts("sku", of("sku"), SKU_LENGTH)
        if not all(skus):
            raise ValueError("sku is empty")
        on_hand = self._read("on_hand", of("on_hand"), self._figures, _figure)
        available = self._read("available", of("available"), self._figures, _figure)
        if NULL in available:
            # No figure of their own: on hand is the best there is (dropstream.md §5).
            both = zip(available, on_hand, strict=True)
            available = [held if own == NULL else own for own, held in both]
            if NULL in available:
                raise ValueError("available is empty")
        return Levels(
            lines=lines,
            skus=skus,
            facilities=_texts("facility", of("facility"), FACILITY_LENGTH),
            available=available,
            on_hand=on_hand,
            committed=self._read("committed", of("committed"), self._figures, _figure),
            reported_at=self._read(
                "reported_at", of("reported_at"), self._times, self._time
            ),
        )

    def _read(
        self,
        name: str,
        texts: Sequence[str],
        known: dict[str, str],
        read: Callable[[str, str], str],
    ) -> list[str]:
        try:
            return list(map(known.__getitem__, texts))
        except KeyError:
            pass
        if len(known) > KNOWN_MOST:
            blank = known[""]
            known.clear()
            known[""] = blank
        for text in set(texts) - known.keys():
            known[text] = read(name, text.strip())
        return [known[text] for text in texts]

    def _time(self, name: str, text: str) -> str:
        if not text:
            return self._times[""]
        # A time still to come would keep out every true report until then, and that of
        # the reading those that are read with it.
        return time_of(name, text, self._read_at, self._reported_by).isoformat()


def _texts(name: str, texts: Sequence[str], longest: int) -> Sequence[str]:
    """Drop the blanks around them. Raises ValueError when one is none of ours."""
    joined = "".join(texts)
    if " " in joined or not joined.isprintable():
        texts = [text.strip() for text in texts]
        joined = "".join(texts)
    if max(map(len, texts)) > longest:
        raise ValueError(f"{name} is longer than {longest} characters")
    if not joined.isprintable() and any(
        unicodedata.category(char).startswith(("C", "Zl", "Zp")) for char in set(joined)
    ):
        raise ValueError(f"{name} holds a control character")
    return texts


def text_of(name: str, text: str, longest: int) -> str:
    """A value that is a plain text. Raises ValueError with the reason."""
    return _texts(name, [text], longest)[0]


def number_of(name: str, text: str) -> Decimal | None:
    """A value that is a plain number, or blank. Raises ValueError with the reason."""
    if not text:
        return None
    # A plain number: no exponent, no thousands sign, not NaN (security.md F4).
    if not set(text) <= set("+-.0123456789"):
        raise ValueError(f"{name} is not a number: {text[:40]!r}")
    try:
        number = Decimal(text)
    except InvalidOperation:
        raise ValueError(f"{name} is not a number: {text[:40]!r}") from None
    rounded = number.quantize(Decimal("0.0001")) if abs(number) < 10**15 else None
    if rounded is None or rounded != number:
        raise ValueError(f"{name} is too large or too fine: {text[:40]!r}")
    return number


def _figure(name: str, text: str) -> str:
    """The same as COPY reads it."""
    return NULL if number_of(name, text) is None else text
