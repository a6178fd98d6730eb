"""What a platform would drop in silence never reaches it, and is named."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from connections.deliveries import preflight
from connections.deliveries.preflight import Column, Kind, Preflight, Sheet
from connections.problems import Problem
from inventory_planner import columns
from inventory_planner.drop import STOCK_FILE

SENT = tuple(STOCK_FILE.select)
GOOD = "A,WH1,1,false,2026-11-23 04:05:06"


def look(
    *lines: str, sheet: Sheet = columns.STOCK, header: Sequence[str] = SENT
) -> tuple[Preflight, str]:
    """Let rows pass; return the look, and what got through."""
    passed = Preflight(sheet, tuple(header))
    rows = [passed.header_line, *(f"{line}\n".encode() for line in lines)]
    blocks = list(passed.blocks(rows))
    assert sum(block.rows for block in blocks) == passed.rows
    return passed, b"".join(block.data for block in blocks).decode()


@pytest.mark.parametrize(
    "row",
    [
        GOOD,
        '"A,""1""",WH1,-0.5,true,2026-11-23 04:05:06',
        "=1+1,WH1,99999999999.9999,false,2026-11-23 23:59:59",
        f"{'é' * 256},{'W' * 256},0,false,2026-11-23 04:05:06",
        f"{'💧' * 256},WH1,999999999999999,false,2026-11-23 04:05:06",
        "A,WH1,100000000000000000,false,2026-11-23 04:05:06",
    ],
)
def test_good_rows_pass_as_they_are(row: str) -> None:
    passed, text = look(row)
    assert (text, passed.left_out) == (f"{row}\n", 0)


@pytest.mark.parametrize(
    ("row", "column", "reason"),
    [
        (f"{'x' * 257},WH1,1,false,2026-11-23 04:05:06", "VARIANT_ID", "longer than"),
        (f"A,{'é' * 257},1,false,2026-11-23 04:05:06", "WAREHOUSE_ID", "longer than"),
        ('"",WH1,1,false,2026-11-23 04:05:06', "VARIANT_ID", "is empty"),
        (",WH1,1,false,2026-11-23 04:05:06", "VARIANT_ID", "is empty"),
        ('A,"",1,false,2026-11-23 04:05:06', "WAREHOUSE_ID", "is empty"),
        ('"A\nB",WH1,1,false,2026-11-23 04:05:06', "VARIANT_ID", "line break"),
        ('"A\rB",WH1,1,false,2026-11-23 04:05:06', "VARIANT_ID", "line break"),
        ("A\tB,WH1,1,false,2026-11-23 04:05:06", "VARIANT_ID", "control character"),
        ("A\x7f,WH1,1,false,2026-11-23 04:05:06", "VARIANT_ID", "control character"),
        ("A,WH1,,false,2026-11-23 04:05:06", "IN_STOCK", "is empty"),
        ("A,WH1,NaN,false,2026-11-23 04:05:06", "IN_STOCK", "not a number"),
        ("A,WH1,1e5,false,2026-11-23 04:05:06", "IN_STOCK", "not a number"),
        ("A,WH1,Infinity,false,2026-11-23 04:05:06", "IN_STOCK", "not a number"),
        (
            "A,WH1,123456789012345.6,false,2026-11-23 04:05:06",
            "IN_STOCK",
            "holds exactly",
        ),
    ],
)
def test_a_row_that_would_be_dropped_is_left_out_and_named(
    row: str, column: str, reason: str
) -> None:
    before, after = GOOD.replace("A,", "0,"), GOOD.replace("A,", "Z,")
    passed, text = look(before, row, after)
    assert text == f"{before}\n{after}\n"
    [problem] = passed.problems
    assert (problem["row"], problem["column"]) == (2, column)
    assert reason in problem["reason"]
    assert passed.in_words().startswith("1 left out. Row 2, ")


def test_the_same_id_and_place_twice_is_sent_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also where the two stand in different blocks, plain or not."""
    odd = GOOD.replace("A,", f"{'é' * 200},")
    for block_rows in (1, 2, 3, 100):
        monkeypatch.setattr(preflight, "BLOCK_ROWS", block_rows)
        passed, text = look(GOOD, GOOD.replace(",1,", ",2,"), odd, odd, odd)
        assert text == f"{GOOD}\n{odd}\n"
        assert [problem["row"] for problem in passed.problems] == [2, 4, 5]


def test_another_place_or_a_longer_id_is_no_double() -> None:
    rows = [GOOD, GOOD.replace("WH1", "WH11"), GOOD.replace("A,", "AA,")]
    assert look(*rows)[0].rows == 3


def test_the_first_problems_are_kept_and_all_are_counted() -> None:
    bad = [f"\t{n},WH1,1,false,2026-11-23 04:05:06" for n in range(30)]
    passed, text = look(*bad)
    assert (passed.left_out, len(passed.problems), text) == (
        30,
        preflight.SHOWN_PROBLEMS,
        "",
    )


@pytest.mark.parametrize(
    "row",
    [
        "A,WH1,1,False,2026-11-23 04:05:06",
        "A,WH1,1,false,2026-11-23T04:05:06",
        "A,WH1,1,false,2026-13-23 04:05:06",
        "A,WH1,1,false",
        "A,WH1,1,false,2026-11-23 04:05:06,",
        'A"B,WH1,1,false,2026-11-23 04:05:06,"',
    ],
)
def test_what_we_make_ourselves_and_is_wrong_refuses_the_file(row: str) -> None:
    with pytest.raises(Problem, match="file_invalid"):
        look(GOOD.replace("A,", "0,"), row)


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        ((*SENT, "GROSS_WEIGHT"), "unsupported column: GROSS_WEIGHT"),
        (SENT[:-1], "missing column: UPDATED_AT"),
        ((*SENT, "REMOVED"), "twice"),
        ((SENT[1], SENT[0], *SENT[2:]), "does not begin"),
        (tuple(name.lower() for name in SENT), "missing column"),
    ],
)
def test_a_header_that_would_kill_the_file_is_a_bug(
    header: tuple[str, ...], reason: str
) -> None:
    """The platform skips such a file and tells nobody."""
    with pytest.raises(Problem, match=reason):
        Preflight(columns.STOCK, header)


def test_rows_of_another_header_are_refused() -> None:
    with pytest.raises(Problem, match="the header is not ours"):
        list(Preflight(columns.STOCK, SENT).blocks([b"VARIANT_ID\n"]))


def test_a_cell_that_may_be_blank_is_let_through_blank() -> None:
    sheet = Sheet(
        "x",
        (Column("ID"), Column("BARCODE", blank=True), Column("MONEY", Kind.CURRENCY)),
        key=("ID",),
        version="1",
    )
    header = ("ID", "BARCODE", "MONEY")
    passed, text = look(
        "a,,EUR", 'b,"",EUR', "c,1,eur", "d,,", sheet=sheet, header=header
    )
    assert text == 'a,,EUR\nb,"",EUR\n'
    assert [problem["column"] for problem in passed.problems] == ["MONEY", "MONEY"]
