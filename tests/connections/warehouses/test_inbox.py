"""Whole files only: one that stops in mid-line waits, an abandoned one does not (F2)."""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path

import pytest

from connections.models import Alert, Receipt, StockLevel, StockReport
from connections.warehouses.inbox import REPORT_LIMIT_BYTES, SETTLED_AFTER
from tests.engine import run_now
from tests.factories import Line
from tests.lab.script import at_step, cut

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
    assert refused.reason == "the file is empty"


def test_a_file_that_is_gone_when_its_turn_comes_stops_no_other(
    quiet_line: Line,
) -> None:
    """The warehouse prunes /out while we read it."""
    gone = quiet_line.report("inv_1.csv", UNFINISHED + "\n")
    quiet_line.report("inv_2.csv", "sku,facility,available\nC,RENO,3\n")
    faults = quiet_line.sandbox.warehouse.sftp_faults

    def prune(op: str, path: str) -> None:
        if op == "stat" and path.endswith(gone.name):
            gone.unlink(missing_ok=True)

    faults.append(prune)
    run = run_now(quiet_line.stock, "stock_changes")
    assert (run.state, run.counts["files_unfinished"]) == ("succeeded", 1)
    assert skus() == {"C"}


@pytest.mark.parametrize("reason", [errno.EACCES, errno.EIO], ids=["rights", "no name"])
@pytest.mark.parametrize("job", ["stock_changes", "orders_status"])
def test_a_file_that_cannot_be_read_stops_no_other_and_is_read_once_it_can(
    quiet_line: Line, job: str, reason: int
) -> None:
    """Whether its rights are wrong or its server just fails: people hear of it until then."""
    channel, prefix = quiet_line.stock, "inv"
    good = "sku,facility,available\nC,RENO,3\n"
    if job == "orders_status":
        channel, prefix = quiet_line.orders, "rcp"
        good = "receipt_id,po_number,sku,quantity\nR-1,none,C,3\n"
    quiet_line.report(f"{prefix}_1.csv", good)
    quiet_line.report(f"{prefix}_2.csv", good.replace("R-1", "R-2"))

    def refuse(op: str, path: str) -> None:
        if op == "open_read" and path.endswith("_1.csv"):
            raise OSError(reason, "")

    faults = quiet_line.sandbox.warehouse.sftp_faults
    faults.append(refuse)
    for _turn in range(2):
        run = run_now(channel, job)
        assert (run.state, run.counts["files_unreadable"]) == ("succeeded", 1)
    reader = StockReport if job == "stock_changes" else Receipt
    assert reader._default_manager.count() == 1
    alert = Alert.objects.open().get()
    assert (alert.code, alert.side, alert.count) == ("file_unreadable", "warehouse", 2)
    assert alert.detail == f"{prefix}_1.csv"
    faults.clear()
    run = run_now(channel, job)
    assert run.counts["files_read"] == 1
    assert reader._default_manager.count() == 2
    assert not Alert.objects.open().exists()


@pytest.mark.parametrize(
    ("job", "name"), [("stock_changes", "inv_1.csv"), ("orders_status", "rcp_1.csv")]
)
def test_a_file_that_is_too_large_is_refused_and_the_next_one_read(
    quiet_line: Line, job: str, name: str
) -> None:
    """F2: a sparse file of any size costs nothing to send; it is named and left."""
    with quiet_line.report(name, "").open("wb") as file:
        file.truncate(REPORT_LIMIT_BYTES + 1)
    quiet_line.report("inv_2.csv", "sku,facility,available\nC,RENO,3\n")
    channel = quiet_line.stock if job == "stock_changes" else quiet_line.orders
    run = run_now(channel, job)
    assert (run.state, run.counts["files_refused"]) == ("succeeded", 1)
    run_now(quiet_line.stock, "stock_changes")
    assert skus() == {"C"}


def test_a_line_that_breaks_ends_the_run(quiet_line: Line) -> None:
    """No file's own failure: the ones after it would fail as well."""
    for n in (1, 2):
        quiet_line.report(f"inv_{n}.csv", "sku,facility,available\nC,RENO,3\n")
    faults = quiet_line.sandbox.warehouse.sftp_faults
    at_step(faults, "open_read", cut, path="inv_1.csv")
    run = run_now(quiet_line.stock, "stock_changes")
    assert (run.state, run.error_code) == ("queued", "network_lost")
    assert "files_unreadable" not in run.counts
    assert skus() == set()
