"""CSV for people: nothing in it runs, and nothing is lost (security.md F3)."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from connections import spreadsheet


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("=1+1", "'=1+1"),
        ("+1+1", "'+1+1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("-2+3+cmd", "'-2+3+cmd"),
        ("\t=1", "'\t=1"),
        ("\rx", "'\rx"),
        ("  =1", "'  =1"),
        ("＝1", "'＝1"),
        ('"=1"', '\'"=1"'),
        ("'=1", "''=1"),
        ("-5.00", "-5.00"),
        ("+7", "+7"),
        ("-5.00.", "'-5.00."),
        ("SKU-1", "SKU-1"),
        ("a=1", "a=1"),
        ("", ""),
    ],
)
def test_formulas_are_neutralised_and_numbers_left_alone(
    value: str, shown: str
) -> None:
    """F3: the signs, their full-width forms, and what stands before them."""
    assert spreadsheet.safe(value) == shown


@given(st.text())
@example("'=1")
@example("''-")
@example("-1")
def test_what_was_neutralised_reads_back_as_it_was(value: str) -> None:
    """F3: an export may come back as an import."""
    assert spreadsheet.plain(spreadsheet.safe(value)) == value


def test_a_file_comes_in_pieces_and_says_that_it_is_utf_8() -> None:
    rows = [(f"=SKU-{n}", 'Tee, “Größe” "M"\nblue', None) for n in range(5_000)]
    pieces = list(spreadsheet.lines(("SKU", "Title", "None"), rows))
    assert len(pieces) > 2
    assert max(map(len, pieces)) < 2 * spreadsheet.PIECE_CHARACTERS
    text = b"".join(pieces).decode("utf-8-sig")
    header, *read = csv.reader(io.StringIO(text, newline=""))
    assert header == ["SKU", "Title", "None"]
    assert read == [[f"'{sku}", title, ""] for sku, title, _ in rows]


def test_a_file_of_ours_is_the_same_table_however_its_pieces_are_cut() -> None:
    """Quoted line breaks and characters of several bytes included."""
    content = 'A,B\n"x\ny",é\n=1,-2\n'.encode()
    whole = b"".join(spreadsheet.variant([content]))
    assert whole.decode("utf-8-sig") == 'A,B\r\n"x\ny",é\r\n\'=1,-2\r\n'
    single = [content[n : n + 1] for n in range(len(content))]
    assert b"".join(spreadsheet.variant(single)) == whole
