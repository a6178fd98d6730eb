"""The page of faults says what the tests say, and the check fails where it must."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.reliability import collect
from tests.reliability.collect import Faults, Proof

FAULTS = Faults({"D": "Files"}, {"D1": "cut", "D2": "killed", "D3": "lost"}, {})
MODULE = '''
"""D3: a module proves nothing."""
def test_one(): """D1, F2: once."""
def test_d2_two(): pass
def test_three(): """It mentions D3 in the middle."""
def helper(): """D3: no test."""
'''
ONE, TWO = Proof("a/test_a.py", "test_one"), Proof("a/test_a.py", "test_d2_two")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "test_a.py").write_text(MODULE)
    (tmp_path / "sandbox").mkdir()
    (tmp_path / "sandbox" / "test_b.py").write_text(MODULE)
    return tmp_path


def report(folder: Path, **outcomes: str) -> Path:
    """A JUnit report; an outcome is "", failure, error or skipped."""
    cases = "".join(
        f'<testcase classname="tests.a.test_a" name="{name}[x]">'
        f"{f'<{outcome}/>' if outcome else ''}</testcase>"
        for name, outcome in outcomes.items()
    )
    path = folder / "report.xml"
    path.write_text(f"<testsuites><testsuite>{cases}</testsuite></testsuites>")
    return path


def test_an_id_is_cited_first_in_the_docstring_or_in_the_name(folder: Path) -> None:
    assert collect.proofs(FAULTS, folder) == {"D1": [ONE], "D2": [TWO]}


def test_an_id_that_no_list_knows_is_refused(folder: Path) -> None:
    fewer = replace(FAULTS, faults={"D1": "cut"})
    with pytest.raises(ValueError, match="test_d2_two cites D2"):
        collect.proofs(fewer, folder)


def test_an_id_needs_a_test_or_a_reason_and_not_both(folder: Path) -> None:
    held = collect.proofs(FAULTS, folder)
    assert collect.unheld(FAULTS, held) == ["D3 has no test and no reason: lost"]
    explained = replace(FAULTS, reasons={"D3": "later"})
    assert collect.unheld(explained, held) == []
    too_many = replace(FAULTS, reasons={"D1": "later", "D3": "later"})
    assert collect.unheld(too_many, held) == ["D1 has a test: drop its reason"]


@pytest.mark.parametrize(
    ("outcomes", "found"),
    [
        ({"test_one": "", "test_d2_two": ""}, []),
        ({"test_one": ""}, ["D2: none of its tests passed"]),
        (
            {"test_one": "", "test_d2_two": "skipped"},
            ["D2: none of its tests passed"],
        ),
        (
            {"test_one": "failure", "test_d2_two": ""},
            [
                "D1: a/test_a.py::test_one failed",
                "D1: none of its tests passed",
            ],
        ),
    ],
)
def test_a_test_that_is_named_must_have_passed(
    folder: Path, outcomes: dict[str, str], found: list[str]
) -> None:
    held = collect.proofs(FAULTS, folder)
    assert collect.failures(report(folder, **outcomes), held) == found


def test_the_page_has_a_line_for_each_fault(folder: Path) -> None:
    explained = replace(FAULTS, reasons={"D3": "issue 9"})
    page = collect.page(explained, collect.proofs(FAULTS, folder))
    assert "| D1 | cut | held | a/test_a.py: `test_one` |" in page
    assert "| D3 | lost | not yet: issue 9 |  |" in page
