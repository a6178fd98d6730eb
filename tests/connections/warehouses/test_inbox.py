"""Whole files only: one that stops in mid-line waits, an abandoned one does not (F2)."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from connections.models import StockLevel, StockReport
from connections.warehouses.inbox import SETTLED_AFTER
from tests.engine import run_now
from tests.factories import Line

UNFINISHED = "sku,facility,available\nA,RENO,1\nB,RENO,2"


@pytest.fixture
def quiet_line(line: Line) -> Line:
    """A warehouse with nothing in /out."""
    line.clear_reports()
    return line


def age(path: Path, seconds: float) -> None:
    """Let the warehouse's clock say that nobody wrote to a file for so long."""
    at = time.time() - seconds
    os.utime(path, (at, at))


def skus() -> set[str]:
    return set(StockLevel.objects.values_list("sku", flat=True))


@pytest.mark.parametrize("content", [UNFINISHED, ""])
def test_f2_a_fresh_file_without_its_last_line_feed_is_left(
    quiet_line: Line, content: str
) -> None:
    """The warehouse may still be writing; the run is no failure."""
    path = quiet_line.report("inv_1.csv", content)
    age(path, SETTLED_AFTER.total_seconds() - 60)
    run = run_now(quiet_line.stock, "stock_changes")
    assert (run.state, run.error_code) == ("succeeded", "")
    assert not StockReport.objects.exists()
    assert skus() == set()


def test_f2_it_is_read_once_its_end_is_there(quiet_line: Line) -> None:
    path = quiet_line.report("inv_1.csv", UNFINISHED)
    run_now(quiet_line.stock, "stock_changes")
    path.write_text(f"{UNFINISHED}\n")
    run_now(quiet_line.stock, "stock_changes")
    assert StockReport.objects.get().state == "applied"
    assert skus() == {"A", "B"}


def test_f2_an_abandoned_file_is_taken_as_it_is(quiet_line: Line) -> None:
    """Some exports never write a last line feed."""
    path = quiet_line.report("inv_1.csv", UNFINISHED)
    age(path, SETTLED_AFTER.total_seconds() + 60)
    run_now(quiet_line.stock, "stock_changes")
    assert StockReport.objects.get().state == "applied"
    assert skus() == {"A", "B"}


def test_f2_an_abandoned_empty_file_is_refused(quiet_line: Line) -> None:
    path = quiet_line.report("inv_1.csv", "")
    age(path, SETTLED_AFTER.total_seconds() + 60)
    run = run_now(quiet_line.stock, "stock_changes")
    assert run.counts["files_refused"] == 1
    refused = StockReport.objects.get()
    assert refused.state == "refused"
    assert refused.problems[0]["reason"] == "the file is empty"
