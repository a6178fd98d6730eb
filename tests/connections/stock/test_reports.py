"""Many rows are judged at once, and each bad one is still named (docs/formats.md)."""

from __future__ import annotations

import random
from datetime import UTC, datetime

import pytest

from connections.stock import reports
from connections.stock.reports import NULL, Levels, RefusedReportError, Report
from connections.warehouses import inbox

AT = datetime(2026, 11, 24, 12, tzinfo=UTC)
READ_AT = datetime(2026, 11, 24, 13, tzinfo=UTC)
HEADER = "sku,facility,available,on_hand,committed,reported_at\n"


def read(text: str, *, piece: int = 7) -> tuple[list[Levels], Report]:
    """Read a file that comes in small pieces."""
    data = text.encode()
    pieces = (data[at : at + piece] for at in range(0, len(data), piece))
    report = Report()
    rows = inbox.rows_of_pieces(pieces)
    return list(reports.levels(rows, report, AT, READ_AT)), report


def only(text: str) -> tuple[str, ...]:
    """The one row of a file, as it is staged."""
    [levels], report = read(HEADER + text)
    assert report.bad_rows == 0
    return tuple(column[0] for column in list(vars(levels).values())[1:])


@pytest.mark.parametrize(
    ("row", "staged"),
    [
        ("A,R,1,2,3,2026-01-02T03:04:05Z", "A|R|1|2|3|2026-01-02T03:04:05+00:00"),
        (" A , R , 1 , , ,2026-01-02", "A|R|1|NULL|NULL|2026-01-02T00:00:00+00:00"),
        ("A,,,2,,", f"A||2|2|NULL|{AT.isoformat()}"),
        (
            '"A,""x"" B\\",R,-.5,+1.,0.00000,',
            f'A,"x" B\\|R|-.5|+1.|0.00000|{AT.isoformat()}',
        ),
        ("Ünï 😀,R,1,,,", f"Ünï 😀|R|1|NULL|NULL|{AT.isoformat()}"),
        # Nothing is true later than it was read: the file's own time is nearest.
        ("A,R,1,,,2062-11-24", f"A|R|1|NULL|NULL|{AT.isoformat()}"),
        (
            "A,R,1,,,2026-11-24T12:30:00-01:00",
            f"A|R|1|NULL|NULL|{AT.isoformat()}",
        ),
        (
            "A,R,1,,,2026-11-24T14:30:00+02:00",
            "A|R|1|NULL|NULL|2026-11-24T14:30:00+02:00",
        ),
        ("A,R,1,,,9999-12-31T23:59-12:00", f"A|R|1|NULL|NULL|{AT.isoformat()}"),
    ],
)
def test_a_row_is_taken_as_it_says(row: str, staged: str) -> None:
    assert "|".join(only(row)).replace(NULL, "NULL") == staged


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("A,R,1", "3 values, the header has 6"),
        (",R,1,,,", "sku is empty"),
        ("x" * 257 + ",R,1,,,", "sku is longer than 256 characters"),
        ("A\x07,R,1,,,", "sku holds a control character"),
        ("A,R\u2028S,1,,,", "facility holds a control character"),
        ("A," + "x" * 101 + ",1,,,", "facility is longer than 100 characters"),
        ("A,R,,,,", "available is empty"),
        ("A,R,1e3,,,", "available is not a number: '1e3'"),
        ("A,R,1_000,,,", "available is not a number: '1_000'"),
        ("A,R,-,,,", "available is not a number: '-'"),
        ("A,R,1,0.00001,,", "on_hand is too large or too fine: '0.00001'"),
        ("A,R,1,,1000000000000000,", "committed is too large or too fine"),
        ("A,R,1,,,yesterday", "reported_at is not a time: 'yesterday'"),
        ("A,R,1,,,0001-01-01", "reported_at is before 2000: '0001-01-01'"),
    ],
)
def test_a_bad_row_among_good_ones_is_named_and_they_are_taken(
    row: str, reason: str
) -> None:
    rows = [f"S{n},R,{n},,," for n in range(1_200)]
    rows[777] = row
    found, report = read(HEADER + "\n".join(rows) + "\n", piece=4_096)
    [problem] = report.problems
    assert problem["line"] == 779
    assert str(problem["reason"]).startswith(reason)
    assert (report.rows, report.bad_rows) == (1_199, 1)
    skus = [sku for levels in found for sku in levels.skus]
    assert skus == [f"S{n}" for n in range(1_200) if n != 777]


def test_many_bad_rows_and_empty_lines_keep_their_numbers() -> None:
    chance = random.Random(5)
    kinds = {
        n: chance.choice(["good", "good", "bad", "empty"]) for n in range(2, 3_000)
    }
    text = {"good": "A,R,1,,,", "bad": "A,R,x,,,", "empty": ""}
    body = "".join(f"{text[kind]}\n" for kind in kinds.values())
    found, report = read(HEADER + body, piece=1_000)
    lines = [line for levels in found for line in levels.lines]
    assert lines == [line for line, kind in kinds.items() if kind == "good"]
    assert report.bad_rows == sum(kind == "bad" for kind in kinds.values())
    first = [line for line, kind in kinds.items() if kind == "bad"][:20]
    assert [problem["line"] for problem in report.problems] == first
    with pytest.raises(RefusedReportError, match="rows cannot be read") as refused:
        report.check()
    assert refused.value.report is report


def test_a_file_of_distinct_figures_is_not_remembered_whole() -> None:
    """More figures than are kept at hand: they are forgotten, and none is mistaken."""
    count = reports.KNOWN_MOST + 1_000
    body = "".join(f"S,R,{n},,,\n" for n in range(count))
    found, report = read(HEADER + body, piece=1_000_000)
    assert (report.rows, report.bad_rows) == (count, 0)
    available = [figure for levels in found for figure in levels.available]
    assert available == [str(n) for n in range(count)]
    assert {figure for levels in found for figure in levels.committed} == {NULL}
