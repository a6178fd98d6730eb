"""A large update is cut into files; they are one update all the same."""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Iterator

import pytest
from django.utils import timezone
from pytest_django import Settings

from connections.deliveries.parts import parts_of
from connections.deliveries.preflight import Preflight
from connections.models import Alert, Delivery, SyncRun
from connections.runs import execute
from connections.tasks import WORK
from dropstream.sandbox.ssh_server import DropConnection
from inventory_planner import columns
from inventory_planner.drop import STOCK_FILE
from tests.engine import enqueue, run_now
from tests.factories import Line
from tests.lab.crash import rise_again, work_and_die

ROWS, IN_ONE_FILE = 8, 3
PARTS = 3


@pytest.fixture
def long_line(line: Line, settings: Settings) -> Line:
    """A warehouse whose stock fills three files."""
    settings.STOCK_FILE_ROWS = IN_ONE_FILE
    line.clear_reports()
    rows = "".join(f"SKU-{n},RENO,{n}\n" for n in range(ROWS))
    line.report("inv_1.csv", "sku,facility,available\n" + rows)
    return line


def told(line: Line) -> dict[str, str]:
    """What lies at the drop, files in their order: id to figure."""
    figures: dict[str, str] = {}
    for content in line.dropped():
        for row in csv.DictReader(io.StringIO(content.decode())):
            figures[row["VARIANT_ID"]] = row["IN_STOCK"]
    return figures


def assert_told_once(line: Line) -> list[Delivery]:
    """Every row in one file, and the ledger says what lies there."""
    files = list(Delivery.objects.filter(state="delivered").order_by("pk"))
    assert line.drop.files() == [f"variant_warehouse/{file.name}" for file in files]
    for file, content in zip(files, line.dropped(), strict=True):
        assert hashlib.sha256(content).hexdigest() == file.sha256
    assert told(line) == {f"SKU-{n}": str(n) for n in range(ROWS)}
    assert sum(file.rows for file in files) == ROWS
    assert not Delivery.objects.unfinished().exists()
    assert line.stock.sent_through == 1
    return files


def test_a_large_update_is_cut_into_parts_in_order(long_line: Line) -> None:
    run = run_now(long_line.stock, "stock_changes")
    assert (run.counts["files_sent"], run.counts["rows_sent"]) == (PARTS, ROWS)
    files = assert_told_once(long_line)
    assert [(f.part, f.parts, f.rows) for f in files] == [
        (1, 3, 3),
        (2, 3, 3),
        (3, 3, 2),
    ]
    assert [f.upper_bound for f in files] == [0, 0, 1]
    assert len({f.name for f in files}) == PARTS
    assert len(long_line.opened("login")) == 1


@pytest.mark.parametrize(
    ("at", "nth"),
    [
        ("delivery.building", 2),
        ("delivery.built", 1),
        ("delivery.started", 1),
        ("delivery.started", 2),
        ("delivery.bytes_sent", 2),
        ("delivery.announced", 2),
        ("delivery.announced", 3),
        ("delivery.visible", 1),
        ("delivery.visible", 3),
        ("delivery.size_checked", 2),
        ("delivery.recording", 1),
        ("delivery.recording", 3),
        ("delivery.recorded", 1),
        ("delivery.recorded", 2),
        ("delivery.recorded", 3),
    ],
)
def test_a_worker_that_dies_between_parts_loses_and_doubles_nothing(
    long_line: Line, at: str, nth: int
) -> None:
    """D2: the mark moves with the last part, whoever sends it."""
    run = enqueue(long_line.stock, "stock_changes")
    assert work_and_die(run, at=at, nth=nth)
    last_is_recorded = (at, nth) == ("delivery.recorded", PARTS)
    assert long_line.stock.sent_through == int(last_is_recorded)
    rise_again(run)
    assert run.state == "succeeded"
    assert_told_once(long_line)


def test_newer_figures_wait_for_the_parts_that_have_begun(long_line: Line) -> None:
    """What changed meanwhile is told after them, not lost behind the old bound."""
    run = enqueue(long_line.stock, "stock_changes")
    assert work_and_die(run, at="delivery.recorded")
    long_line.report("inv_2.csv", "sku,facility,available\nSKU-0,RENO,70\n")
    rise_again(run)
    assert told(long_line)["SKU-0"] == "70"
    files = Delivery.objects.filter(state="delivered").order_by("pk")
    assert [f.upper_bound for f in files] == [0, 0, 1, 2]
    assert long_line.stock.sent_through == 2


def test_parts_none_of_which_began_give_way_to_newer_figures(long_line: Line) -> None:
    run = enqueue(long_line.stock, "stock_changes")
    assert work_and_die(run, at="delivery.built")
    long_line.report("inv_2.csv", "sku,facility,available\nSKU-0,RENO,70\n")
    rise_again(run)
    states = list(Delivery.objects.order_by("pk").values_list("state", flat=True))
    assert states == ["superseded"] * PARTS + ["delivered"] * PARTS
    assert told(long_line)["SKU-0"] == "70"


def test_parts_of_an_update_for_another_drop_do_not_complete_it_here(
    long_line: Line,
) -> None:
    run = enqueue(long_line.stock, "stock_changes")
    assert work_and_die(run, at="delivery.recorded")
    Delivery.objects.update(peer="them@elsewhere.example:22")
    rise_again(run)
    states = list(Delivery.objects.order_by("pk").values_list("state", flat=True))
    assert states == ["delivered", *["superseded"] * 2, *["delivered"] * PARTS]
    assert long_line.stock.sent_through == 1


def test_an_update_for_a_new_drop_goes_on_where_it_stopped(long_line: Line) -> None:
    run_now(long_line.stock, "stock_changes")
    Delivery.objects.update(peer="them@elsewhere.example:22")
    run = enqueue(long_line.stock, "stock_changes")
    assert work_and_die(run, at="delivery.recorded")
    rise_again(run)
    files = Delivery.objects.order_by("pk")
    assert [file.state for file in files] == ["delivered"] * 2 * PARTS


def again(run: SyncRun) -> None:
    SyncRun.objects.filter(pk=run.pk).update(due_at=timezone.now())
    execute.execute(run.pk, WORK)
    run.refresh_from_db()


def test_a_foreign_file_under_the_name_of_a_part_starts_the_update_over(
    long_line: Line,
) -> None:
    """D7: the parts that were sent are sent again; the rest gives way."""
    looked: list[str] = []

    def occupy(op: str, path: str) -> None:
        if op == "stat" and "/variant_warehouse/" in path and path not in looked:
            looked.append(path)
            if len(looked) == 2:
                (long_line.drop.folder / path.lstrip("/")).write_bytes(b"theirs")

    long_line.sandbox.ip.sftp_faults.append(occupy)
    run = run_now(long_line.stock, "stock_changes")
    assert (run.error_code, long_line.stock.sent_through) == ("name_taken", 0)
    again(run)
    states = list(Delivery.objects.order_by("pk").values_list("state", flat=True))
    assert states == ["delivered", "foreign", "superseded", *["delivered"] * PARTS]
    assert long_line.stock.sent_through == 1
    assert told(long_line) == {f"SKU-{n}": str(n) for n in range(ROWS)}


def test_a_part_that_nobody_can_tell_of_keeps_the_mark_back(long_line: Line) -> None:
    """D4: the rows of the whole update go out anew."""
    closed: list[str] = []

    def swallow(step: str, path: str) -> None:
        if step == "closed" and "/variant_warehouse/" in path:
            closed.append(path)
            if path != closed[0] and path == closed[1]:
                long_line.sandbox.ip.sync_now("123456")
                raise DropConnection

    long_line.sandbox.ip.sftp_faults.append(swallow)
    run = run_now(long_line.stock, "stock_changes")
    again(run)
    again(run)
    assert (run.error_code, long_line.stock.sent_through) == ("delivery_unknown", 0)
    assert Alert.objects.filter(code="delivery_unknown").exists()
    again(run)
    assert (run.state, long_line.stock.sent_through) == ("succeeded", 1)
    states = list(Delivery.objects.order_by("pk").values_list("state", flat=True))
    assert states == ["delivered", "unknown", "superseded", *["delivered"] * PARTS]


def blocks(rows: int) -> Iterator[bytes]:
    yield Preflight(columns.STOCK, tuple(STOCK_FILE.select)).header_line
    for n in range(rows):
        yield b"SKU-%05d,WH1,1,false,2026-11-23 04:05:06\n" % n


def test_the_limit_of_bytes_counts_the_header(settings: Settings) -> None:
    """No part is larger than it, and none could have held the next block."""
    look = Preflight(columns.STOCK, tuple(STOCK_FILE.select))
    settings.STOCK_FILE_BYTES = 200_000
    parts = []
    for part in parts_of(look, blocks(20_000)):
        data = b"".join([look.header_line, *part])
        assert data.count(b"\n") - 1 == part.rows
        parts.append(len(data))
    assert max(parts) <= 200_000
    assert min(parts[:-1]) > 200_000 - 2000 * 42
    assert look.rows == 20_000


def test_no_rows_are_no_part() -> None:
    look = Preflight(columns.STOCK, tuple(STOCK_FILE.select))
    assert list(parts_of(look, blocks(0))) == []
