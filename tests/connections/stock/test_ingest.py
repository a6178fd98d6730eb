"""Reports of a warehouse become levels; a bad one never stops the next (issue 2 d)."""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.db import connection as database
from django.db import transaction
from django.utils import timezone

from connections.models import (
    Activity,
    Alert,
    StagedLevel,
    StockLevel,
    StockReport,
    SyncRun,
)
from connections.stock import ingest, staging
from connections.stock.ingest import StagingLostError
from connections.stock.staging import Reader
from stores.models import Warehouse
from tests.engine import enqueue, run_now
from tests.factories import Line
from tests.lab.crash import rise_again, work_and_die

GOOD = "sku,facility,available\nA,RENO,1\n"
NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
LONGEST_S = 10
READERS = itertools.count(1_000_000)


def levels() -> dict[str, Decimal]:
    rows = StockLevel.objects.values_list("sku", "facility", "available")
    return {f"{sku}@{facility}": available for sku, facility, available in rows}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"\n", "the file is empty"),
        (b"a,b\n1,2\n", "there is no column sku"),
        (b"sku,facility\nA,RENO\n", "neither a column available nor on_hand"),
        (b"sku,available,SKU\nA,1,B\n", "a column appears twice"),
        (b"sku,available\nA,one\nB,\n", "2 of 2 rows cannot be read"),
        (b"sku,available\n\xff\xfe,1\n", "not UTF-8"),
        (b'sku,available\nA,"1\n', "unexpected end of data"),
        pytest.param(
            b"sku,available\n" + b"x" * 1_200_000 + b"\n",
            "a line is longer than",
            id="endless line",
        ),
    ],
)
def test_a_malformed_report_is_refused_and_the_next_one_applied(
    line: Line, content: bytes, reason: str
) -> None:
    line.clear_reports()
    line.report("inv_1.csv", content)
    line.report("inv_2.csv", GOOD)
    run = run_now(line.stock, "stock_changes")
    assert run.state == "succeeded"
    assert run.counts["files_refused"] == 1
    assert run.counts["files_read"] == 1
    refused = StockReport.objects.get(name="inv_1.csv")
    assert refused.state == "refused"
    assert reason in refused.reason
    told = Activity.objects.get(event="stock_refused").facts
    assert told["file"] == "inv_1.csv"
    assert reason in told["reason"]
    assert levels() == {"A@RENO": 1}


def test_a_long_report_that_is_refused_at_its_header_leaves_the_line_in_order(
    line: Line,
) -> None:
    """Answers to reads that nobody waits for any more are not taken for others."""
    line.clear_reports()
    line.report("inv_1.csv", "no,columns\n" + "x,y\n" * 500_000)
    line.report("inv_2.csv", GOOD)
    run = run_now(line.stock, "stock_changes")
    assert (run.state, run.counts["files_refused"]) == ("succeeded", 1)
    assert levels() == {"A@RENO": 1}


def test_a_refused_report_is_not_read_again(line: Line) -> None:
    line.clear_reports()
    line.report("inv_1.csv", "nothing\n")
    run_now(line.stock, "stock_changes")
    assert run_now(line.stock, "stock_changes").counts == {}


def test_bad_rows_are_named_and_the_good_ones_applied(line: Line) -> None:
    line.clear_reports()
    line.report("inv_1.csv", GOOD + "B,RENO,1e3\n,RENO,3\nC,RENO\nD,RENO,4\n")
    run_now(line.stock, "stock_changes")
    report = StockReport.objects.get()
    assert (report.state, report.rows, report.bad_rows) == ("applied", 2, 3)
    assert [problem["line"] for problem in report.problems] == [3, 4, 5]
    assert levels() == {"A@RENO": 1, "D@RENO": 4}


def test_a_file_still_growing_is_left_for_the_next_run(line: Line) -> None:
    line.clear_reports()
    path = line.report("inv_1.csv", GOOD + "B,RE")
    run = run_now(line.stock, "stock_changes")
    assert run.counts == {"files_unfinished": 1}
    assert levels() == {}
    path.write_text(GOOD + "B,RENO,2\n")
    run_now(line.stock, "stock_changes")
    assert levels() == {"A@RENO": 1, "B@RENO": 2}


def test_a_file_that_grows_while_it_is_read_is_left_for_the_next_run(
    line: Line,
) -> None:
    line.clear_reports()
    path = line.report("inv_1.csv", GOOD)

    def grow(op: str, _path: str) -> None:
        if op == "open_read":
            line.sandbox.warehouse.sftp_faults.clear()
            path.write_text(GOOD + "B,RENO,2\n")

    line.sandbox.warehouse.sftp_faults.append(grow)
    assert run_now(line.stock, "stock_changes").counts == {"files_unfinished": 1}
    run_now(line.stock, "stock_changes")
    assert levels() == {"A@RENO": 1, "B@RENO": 2}


def test_hidden_and_foreign_files_are_not_read(line: Line) -> None:
    line.clear_reports()
    line.report(".inv_1.csv.part", GOOD)
    line.report("stock.csv", GOOD)
    line.report("inv_\x07.csv", GOOD)
    line.report("inv_\\.csv", GOOD)
    assert run_now(line.stock, "stock_changes").counts == {}


def test_on_hand_stands_in_for_a_missing_available(line: Line) -> None:
    """dropstream.md §5."""
    line.clear_reports()
    line.report("inv_1.csv", "SKU,On Hand,Available\nA,7,\nB,7,5\n")
    run_now(line.stock, "stock_changes")
    assert levels() == {"A@": 7, "B@": 5}


def test_a_late_older_report_does_not_undo_a_newer_figure(line: Line) -> None:
    apply(line, [["A", "RENO", "5"]], name="new", at=NOW)
    done = apply(line, [["A", "RENO", "1"]], name="old", at=NOW - timedelta(hours=1))
    assert done is not None
    assert (done.changed, done.late) == (0, 1)
    assert levels() == {"A@RENO": 5}


@pytest.mark.parametrize("ahead", [timedelta(hours=10), timedelta(days=36 * 365)])
def test_a_time_still_to_come_keeps_no_later_report_out(
    line: Line, ahead: timedelta
) -> None:
    """The warehouse's clock is ahead, or it sends its own time as if it were UTC."""
    now = timezone.now()
    apply(line, [["A", "RENO", "5"]], name="ahead", at=now + ahead)
    done = apply(line, [["A", "RENO", "1"]], name="true", at=timezone.now())
    assert done is not None
    assert (done.changed, done.late) == (1, 0)
    assert levels() == {"A@RENO": 1}
    # One that was made before both is late all the same.
    apply(line, [["A", "RENO", "9"]], name="old", at=now - timedelta(hours=1))
    assert levels() == {"A@RENO": 1}


def test_a_time_still_to_come_beats_no_newer_report_of_the_same_run(line: Line) -> None:
    """Of the two, the file that was written later is right."""
    line.clear_reports()
    now = timezone.now()
    for name, hours, available, says in (
        ("inv_1.csv", 6, 5, now + timedelta(days=36 * 365)),
        ("inv_2.csv", 1, 1, now - timedelta(hours=1)),
    ):
        rows = f"A,RENO,{available},{says.isoformat()}\n"
        path = line.report(name, "sku,facility,available,reported_at\n" + rows)
        written_at = (now - timedelta(hours=hours)).timestamp()
        os.utime(path, (written_at, written_at))
    run_now(line.stock, "stock_changes")
    assert [report.late for report in StockReport.objects.all()] == [0, 0]
    assert levels() == {"A@RENO": 1}


def test_a_stored_time_still_to_come_gives_way(line: Line) -> None:
    """It was stored before such times were capped, or by a clock that was wrong."""
    apply(line, [["A", "RENO", "5"]], name="before", at=NOW)
    StockLevel.objects.update(reported_at=timezone.now() + timedelta(days=1))
    apply(line, [["A", "RENO", "1"]], name="after", at=NOW)
    assert levels() == {"A@RENO": 1}


def test_a_report_that_is_late_for_the_most_part_is_told_until_one_is_not(
    line: Line,
) -> None:
    line.clear_reports()
    apply(line, [["A", "RENO", "5"], ["B", "RENO", "5"]], name="before", at=NOW)

    def read(name: str, at: str, body: str) -> list[tuple[str, str]]:
        rows = "".join(f"{row},{at}\n" for row in body.split())
        line.report(name, "sku,facility,available,reported_at\n" + rows)
        assert run_now(line.stock, "stock_changes").state == "succeeded"
        return list(Alert.objects.open().values_list("code", "detail"))

    late = [("report_late", "inv_1.csv")]
    assert read("inv_1.csv", "2026-01-01", "A,RENO,1 B,RENO,1 C,RENO,1") == late
    assert levels() == {"A@RENO": 5, "B@RENO": 5, "C@RENO": 1}
    assert Activity.objects.get(event="stock_late").facts["late"] == 2
    # A run that finds no file disproves nothing.
    run_now(line.stock, "stock_changes")
    assert Alert.objects.open().filter(code="report_late").exists()
    assert read("inv_2.csv", "2026-11-25", "A,RENO,1") == []


def test_the_last_row_of_a_sku_wins(line: Line) -> None:
    apply(line, [["A", "RENO", "1"], ["A", "RENO", "2"]], name="twice")
    assert levels() == {"A@RENO": 2}


def test_the_last_row_wins_when_it_is_the_one_that_changes_nothing(line: Line) -> None:
    apply(line, [["A", "RENO", "2"]], name="before")
    done = apply(line, [["A", "RENO", "1"], ["A", "RENO", "2"]], name="after")
    assert done is not None
    assert (done.rows, done.changed) == (2, 0)
    assert levels() == {"A@RENO": 2}


def test_a_long_report_writes_what_differs_and_nothing_else(line: Line) -> None:
    """Of more rows than the planner is trusted with: changed, new, twice, and equal."""
    count = ingest.MANY_ROWS + 500
    before = [[f"S{n}", "RENO", str(n)] for n in range(count)]
    apply(line, before, name="before")
    untouched = dict(StockLevel.objects.values_list("sku", "changed_at"))
    after = [
        [sku, at, "7" if n % 500 == 1 else was]
        for n, (sku, at, was) in enumerate(before)
    ]
    after += [["NEW", "RENO", "1"], ["S9", "RENO", "8"], ["S9", "RENO", "9"]]
    done = apply(line, after, name="after")
    assert done is not None
    assert (done.rows, done.changed) == (count + 3, 4)
    changed = StockLevel.objects.filter(change_number=2).values_list("sku", flat=True)
    assert set(changed) == {"S1", "S501", "S1001", "NEW"}
    same = StockLevel.objects.filter(change_number=1)
    assert all(untouched[level.sku] == level.changed_at for level in same)


def test_a_report_is_applied_once(line: Line) -> None:
    assert apply(line, [["A", "RENO", "1"]], name="same") is not None
    assert apply(line, [["A", "RENO", "2"]], name="same") is None
    assert levels() == {"A@RENO": 1}


def test_two_interleaved_reports_lose_no_level(line: Line) -> None:
    """The earlier one commits last, after a push moved the mark past the later one."""
    line.clear_reports()
    begun, go_on = threading.Event(), threading.Event()

    def slow_rows() -> Iterator[list[str]]:
        yield ["sku", "facility", "available"]
        begun.set()
        assert go_on.wait(LONGEST_S)
        yield ["A", "RENO", "1"]

    with ThreadPoolExecutor() as pool:
        earlier = pool.submit(in_thread, line, slow_rows(), "earlier")
        assert begun.wait(LONGEST_S)
        apply(line, [["B", "RENO", "2"]], name="later")
        run_now(line.stock, "stock_changes")
        go_on.set()
        earlier.result(LONGEST_S)
    run_now(line.stock, "stock_changes")
    later, sent_last = line.dropped()
    assert b"\nB,WH1,2," in later
    assert b"\nA,WH1,1," in sent_last
    numbers = StockLevel.objects.order_by("sku").values_list("change_number", flat=True)
    assert list(numbers) == [2, 1]


def test_a_report_of_many_batches_is_applied_in_one_step(line: Line) -> None:
    """The levels of a long report become visible together; none is left behind."""
    line.clear_reports()
    count = 2 * staging.BATCH_ROWS + 1
    body = "".join(f"SKU-{n:06d},RENO,{n}\n" for n in range(count))
    line.report("inv_1.csv", "sku,facility,available\n" + body)
    run = enqueue(line.stock, "stock_changes")
    assert work_and_die(run, at="report.staging", nth=2)
    assert StagedLevel.objects.count() == 2 * staging.BATCH_ROWS
    assert not StockLevel.objects.exists()
    rise_again(run)
    assert run.state == "succeeded"
    assert StockReport.objects.get().rows == StockLevel.objects.count() == count
    assert not StagedLevel.objects.exists()


def test_rows_of_a_run_that_ended_are_forgotten_and_others_kept(line: Line) -> None:
    """What a worker that died leaves is not there for ever."""
    line.clear_reports()
    line.report("inv_1.csv", GOOD)
    ended, waiting = (
        enqueue(line.stock, "stock_changes"),
        enqueue(line.stock, "stock_full"),
    )
    for run in (ended, waiting):
        ingest.stage(Reader(run.pk, 1), rows([["A", "RENO", "1"]]), NOW)
    SyncRun.objects.filter(pk=ended.pk).update(state="failed")
    staging.discard_abandoned()
    assert {row.reader for row in StagedLevel.objects.all()} == {waiting.pk}


def test_rows_of_a_late_worker_do_not_mix_with_those_of_the_next(line: Line) -> None:
    """Q12: it was paused while it read, and wakes up while another one reads."""
    late, next_one = Reader(1, 1), Reader(1, 2)
    staged = ingest.stage(next_one, rows([["A", "RENO", "1"]]), NOW)
    ingest.stage(late, rows([["A", "RENO", "7"], ["B", "RENO", "7"]]), NOW)
    with transaction.atomic():
        ingest.apply(line.warehouse, staged, name="inv_1.csv", size=1)
    assert levels() == {"A@RENO": 1}
    assert not StagedLevel.objects.exists()


def test_a_report_whose_rows_got_lost_is_not_applied(line: Line) -> None:
    """Q13: a crash of the database empties unlogged tables; half a report is none."""
    staged = ingest.stage(reader(), rows([["A", "RENO", "1"], ["B", "RENO", "2"]]), NOW)
    StagedLevel.objects.filter(sku="B").delete()
    with pytest.raises(StagingLostError), transaction.atomic():
        ingest.apply(line.warehouse, staged, name="inv_1.csv", size=1)
    assert not StockReport.objects.exists()
    assert levels() == {}


class SlowCommit:
    """A transaction that has written all and waits with its commit."""

    def __init__(self) -> None:
        self.written, self.go_on = threading.Event(), threading.Event()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        with transaction.atomic():
            yield
            self.written.set()
            assert self.go_on.wait(LONGEST_S)


def test_numbers_become_visible_in_their_order_and_no_push_skips_one(
    line: Line,
) -> None:
    """design.md §3, Stock: two reports overlap, with a push at every moment."""
    line.clear_reports()
    one, two = SlowCommit(), SlowCommit()
    a, b = rows([["A", "RENO", "1"]]), rows([["B", "RENO", "2"]])
    with ThreadPoolExecutor() as pool:
        first = pool.submit(in_thread, line, a, "first", one.transaction())
        assert one.written.wait(LONGEST_S)
        second = pool.submit(in_thread, line, b, "second", two.transaction())
        assert run_now(line.stock, "stock_changes").counts == {}
        assert not two.written.is_set()  # it waits for its number
        one.go_on.set()
        first.result(LONGEST_S)
        assert two.written.wait(LONGEST_S)
        run_now(line.stock, "stock_changes")
        two.go_on.set()
        second.result(LONGEST_S)
    run_now(line.stock, "stock_changes")
    sent_first, sent_second = line.dropped()
    assert b"\nA,WH1,1," in sent_first
    assert b"\nB,WH1,2," in sent_second


def rows(values: list[list[str]]) -> Iterator[list[str]]:
    yield ["sku", "facility", "available"]
    yield from values


def apply(
    line: Line, values: list[list[str]], *, name: str, at: datetime = NOW
) -> StockReport | None:
    staged = ingest.stage(reader(), rows(values), at)
    with transaction.atomic():
        return ingest.apply(line.warehouse, staged, name=name, size=1)


def reader() -> Reader:
    """A run of its own, as far as staged rows are concerned."""
    return Reader(next(READERS), 1)


def in_thread(
    line: Line,
    values: Iterator[list[str]],
    name: str,
    fenced: AbstractContextManager[None] | None = None,
) -> None:
    """Apply a report on a database connection of its own."""
    try:
        staged = ingest.stage(reader(), values, NOW)
        with fenced or transaction.atomic():
            warehouse = Warehouse.objects.get(pk=line.warehouse.pk)
            ingest.apply(warehouse, staged, name=name, size=1)
    finally:
        database.close()
