"""Understand a warehouse's stock file (docs/formats.md): tolerant of columns, strict
about values."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation

SKU_LENGTH = 256
FACILITY_LENGTH = 100
SHOWN_PROBLEMS = 20
# Beyond this a file is taken for a wrong one and refused whole.
BAD_ROWS_ALLOWED = 100
BAD_SHARE_ALLOWED = 0.05


@dataclass(frozen=True)
class Level:
    """One row: a SKU in a facility, as the warehouse reports it."""

    line: int
    sku: str
    facility: str
    available: Decimal
    on_hand: Decimal | None
    committed: Decimal | None
    reported_at: datetime


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
    rows: Iterator[list[str]], report: Report, reported_by: datetime
) -> Iterator[Level]:
    """Yield good rows and count the rest. `reported_by`: the file's own time, for rows
    without one. Raises RefusedReportError for a header that is none."""
    columns = _columns(next(rows, None))
    for line, row in enumerate(rows, start=2):
        if not row:
            continue
        try:
            level = _level(line, row, columns, reported_by)
        except ValueError as error:
            report.problem(line, str(error))
        else:
            report.rows += 1
            yield level


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


def _level(
    line: int, row: list[str], columns: dict[str, int], reported_by: datetime
) -> Level:
    if len(row) != len(columns):
        raise ValueError(f"{len(row)} values, the header has {len(columns)}")

    def value(name: str) -> str:
        return row[columns[name]].strip() if name in columns else ""

    sku = text_of("sku", value("sku"), SKU_LENGTH)
    if not sku:
        raise ValueError("sku is empty")
    on_hand = number_of("on_hand", value("on_hand"))
    available = number_of("available", value("available"))
    if available is None:
        # No figure of their own: on hand is the best there is (dropstream.md §5).
        available = on_hand
    if available is None:
        raise ValueError("available is empty")
    return Level(
        line=line,
        sku=sku,
        facility=text_of("facility", value("facility"), FACILITY_LENGTH),
        available=available,
        on_hand=on_hand,
        committed=number_of("committed", value("committed")),
        reported_at=_time(value("reported_at")) or reported_by,
    )


def text_of(name: str, text: str, longest: int) -> str:
    """A value that is a plain text. Raises ValueError with the reason."""
    if len(text) > longest:
        raise ValueError(f"{name} is longer than {longest} characters")
    if not text.isprintable() and any(
        unicodedata.category(char).startswith(("C", "Zl", "Zp")) for char in text
    ):
        raise ValueError(f"{name} holds a control character")
    return text


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


def _time(text: str) -> datetime | None:
    if not text:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"reported_at is not a time: {text[:40]!r}") from None
    return at if at.tzinfo else at.replace(tzinfo=UTC)
