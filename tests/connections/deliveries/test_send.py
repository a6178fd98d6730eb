"""A file gets there once under its one name, whatever fails on the way."""

from __future__ import annotations

import hashlib
import os
import time

import asyncssh
import pytest
from django.utils import timezone

from connections.models import Alert, Channel, Delivery, SyncRun
from connections.runs import execute
from connections.tasks import WORK
from dropstream.sandbox.ssh_server import DropConnection
from tests.engine import enqueue, run_now
from tests.factories import Line
from tests.lab.crash import rise_again, work_and_die
from tests.lab.script import at_step, refuse

ROWS = 3000  # several writes: one is 32 kB


@pytest.fixture
def wide_line(line: Line) -> Line:
    """A warehouse whose stock fills a file of several writes."""
    line.clear_reports()
    rows = "".join(f"SKU-{n:05d},RENO,{n}\n" for n in range(ROWS))
    line.report("inv_1.csv", "sku,facility,available\n" + rows)
    return line


def again(run: SyncRun) -> SyncRun:
    """Let the retry come due and do it."""
    assert run.state == "queued", (run.state, run.error_code)
    SyncRun.objects.filter(pk=run.pk).update(due_at=timezone.now())
    execute.execute(run.pk, WORK)
    run.refresh_from_db()
    return run


def fail_once(line: Line, op: str, error: Exception, *, at: int = 1) -> None:
    """Raise at the n-th step of a kind on the drop's stock folder."""
    faults = line.sandbox.ip.sftp_faults
    at_step(faults, op, refuse(error), path="/variant_warehouse/", nth=at)


def assert_one_right_file(line: Line) -> Delivery:
    """One file on the drop, with the name, size and hash of the one delivery."""
    delivery = Delivery.objects.exclude(state="superseded").get()
    assert delivery.state == "delivered"
    assert line.drop.files() == [f"variant_warehouse/{delivery.name}"]
    [content] = line.dropped()
    assert len(content) == delivery.size == delivery.size_seen
    assert hashlib.sha256(content).hexdigest() == delivery.sha256
    assert line.stock.sent_through == delivery.upper_bound == 1
    return delivery


@pytest.mark.parametrize(
    ("op", "at"),
    [
        ("open_write", 1),
        ("write", 1),
        ("wrote", 2),
        ("wrote", 4),
        ("close", 1),
        ("closed", 1),
        ("stat", 1),
        ("stat", 2),
    ],
)
def test_a_line_cut_at_any_step_ends_as_one_file(
    wide_line: Line, op: str, at: int
) -> None:
    """D1, D3: unknown is resolved by looking; same bytes, same name."""
    fail_once(wide_line, op, DropConnection(), at=at)
    run = run_now(wide_line.stock, "stock_changes")
    assert run.error_code == "network_lost"
    assert wide_line.stock.sent_through == 0
    assert again(run).state == "succeeded"
    delivery = assert_one_right_file(wide_line)
    assert delivery.rows == ROWS
    # Of the one that was sent, or of one that never started and gave way to it.
    assert Delivery.objects.filter(error_code="network_lost").count() == 1


def test_a_lost_reply_to_close_is_found_there_and_not_sent_again(line: Line) -> None:
    """D3."""
    fail_once(line, "closed", DropConnection())
    again(run_now(line.stock, "stock_changes"))
    assert_one_right_file(line)
    assert len(line.opened("open_write")) == 1


def test_a_lost_reply_for_a_file_that_was_taken_is_the_same_file_once_more(
    line: Line,
) -> None:
    """D4: at most one more, of the same name and content: harmless."""
    fail_once(line, "closed", DropConnection())
    run = run_now(line.stock, "stock_changes")
    [first] = line.sandbox.ip.sync_now("123456")
    again(run)
    delivery = assert_one_right_file(line)
    assert (first.name, first.sha256) == (delivery.name, delivery.sha256)


def test_a_file_that_vanishes_twice_is_unknown_and_its_rows_are_sent_anew(
    line: Line,
) -> None:
    """D4: not sent a third time; a person is told, and the mark has not moved."""

    def swallow(step: str, path: str) -> None:
        if step == "closed" and "/variant_warehouse/" in path:
            line.sandbox.ip.sync_now("123456")
            raise DropConnection

    line.sandbox.ip.sftp_faults.append(swallow)
    run = again(run_now(line.stock, "stock_changes"))
    line.sandbox.ip.sftp_faults.clear()
    first = Delivery.objects.get()
    assert (run.error_code, first.announced) == ("network_lost", 2)
    run = again(run)
    assert (run.state, run.error_code) == ("queued", "delivery_unknown")
    first.refresh_from_db()
    assert (first.state, first.chunks.count()) == ("unknown", 1)  # kept to be looked at
    assert line.stock.sent_through == 0
    alert = Alert.objects.get(code="delivery_unknown")
    assert (alert.closed_at, alert.detail) == (None, first.name)

    assert again(run).state == "succeeded"
    second = Delivery.objects.exclude(pk=first.pk).get()
    assert (second.state, second.rows) == ("delivered", first.rows)
    assert second.name != first.name
    assert line.stock.sent_through == second.upper_bound
    assert len(line.opened("open_write")) == 3


def test_d4_a_file_begun_on_another_server_is_not_looked_for_here(line: Line) -> None:
    """Its folder is not ours to guess; the new server gets the rows in a new file."""
    fail_once(line, "closed", DropConnection())
    run = run_now(line.stock, "stock_changes")
    Delivery.objects.update(peer="them@elsewhere.example:22", folder="/elsewhere")
    run = again(run)
    assert (run.error_code, line.stock.sent_through) == ("delivery_unknown", 0)
    assert Alert.objects.get(code="delivery_unknown").side == "store"
    assert again(run).state == "succeeded"
    second, first = Delivery.objects.all()
    assert (first.state, second.state) == ("unknown", "delivered")
    assert (second.rows, line.stock.sent_through) == (first.rows, second.upper_bound)


def test_an_upload_that_never_got_to_its_close_is_tried_as_often_as_it_takes(
    wide_line: Line,
) -> None:
    """D4 does not count what cannot have arrived."""
    run = enqueue(wide_line.stock, "stock_changes")
    for _ in range(3):
        fail_once(wide_line, "wrote", DropConnection(), at=2)
        SyncRun.objects.filter(pk=run.pk).update(due_at=timezone.now())
        execute.execute(run.pk, WORK)
        wide_line.sandbox.ip.sftp_faults.clear()
    assert Delivery.objects.get().announced == 0
    run.refresh_from_db()
    again(run)
    assert assert_one_right_file(wide_line).attempts == 4


def test_a_partial_object_is_replaced(wide_line: Line, broken: set[int]) -> None:
    """D1: an interrupted upload may leave what came so far (reliability.md §2)."""
    broken.add(3)
    wide_line.sandbox.ip.ssh.partial_objects = True
    fail_once(wide_line, "wrote", DropConnection(), at=3)
    run = run_now(wide_line.stock, "stock_changes")
    # The far side keeps what came once it sees that the line is gone.
    end = time.monotonic() + 10
    while not wide_line.drop.files() and time.monotonic() < end:
        time.sleep(0.01)
    again(run)
    assert_one_right_file(wide_line)


def test_a_file_that_is_shorter_there_is_not_counted_and_sent_again(
    wide_line: Line,
) -> None:
    """D1: every answer was good, and the size is not; the ledger says what was seen."""

    def cut_short() -> None:
        [path] = wide_line.drop.files()
        os.truncate(wide_line.drop.folder / path, 1000)

    faults = wide_line.sandbox.ip.sftp_faults
    at_step(faults, "stat", cut_short, path="/variant_warehouse/", nth=2)
    run = run_now(wide_line.stock, "stock_changes")
    short = Delivery.objects.get()
    assert (run.error_code, short.error_code) == ("size_mismatch", "size_mismatch")
    assert (short.size_seen, wide_line.stock.sent_through) == (1000, 0)
    again(run)
    assert_one_right_file(wide_line)


@pytest.mark.parametrize(
    ("op", "error", "code", "state"),
    [
        (
            "write",
            asyncssh.SFTPFailure("No space left on device"),
            "disk_full",
            "queued",
        ),
        ("close", asyncssh.SFTPFailure("quota exceeded"), "disk_full", "queued"),
        (
            "open_write",
            asyncssh.SFTPPermissionDenied("no"),
            "permission_denied",
            "needs_person",
        ),
    ],
)
def test_a_refused_write_is_named_and_moves_no_mark(
    line: Line, op: str, error: Exception, code: str, state: str
) -> None:
    """D5, D6."""
    fail_once(line, op, error)
    run = run_now(line.stock, "stock_changes")
    assert (run.error_code, run.state) == (code, state)
    refused = Delivery.objects.get()
    assert (refused.state, refused.announced) == ("sending", 0)
    assert line.stock.sent_through == 0
    assert line.dropped() == []
    if state == "queued":
        again(run)
    else:
        run_now(line.stock, "stock_changes")
    assert_one_right_file(line)


def test_a_foreign_file_of_our_name_is_left_alone(line: Line) -> None:
    """D7: the name is given up and another one taken."""

    def occupy(op: str, path: str) -> None:
        if op == "stat" and "/variant_warehouse/" in path:
            line.sandbox.ip.sftp_faults.clear()
            (line.drop.folder / path.lstrip("/")).write_bytes(b"theirs")

    line.sandbox.ip.sftp_faults.append(occupy)
    run = run_now(line.stock, "stock_changes")
    assert run.error_code == "name_taken"
    assert again(run).state == "succeeded"
    foreign, ours = Delivery.objects.order_by("pk")
    assert (foreign.state, ours.state) == ("foreign", "delivered")
    assert (foreign.size_seen, foreign.error_code) == (None, "name_taken")
    assert not foreign.chunks.exists()
    assert foreign.name != ours.name
    assert line.dropped()[0] == b"theirs"
    assert len(line.dropped()) == 2


@pytest.mark.parametrize(
    "at",
    [
        "run.claimed",
        "report.staging",
        "report.staged",
        "report.applying",
        "report.applied",
        "delivery.building",
        "delivery.built",
        "delivery.started",
        "delivery.bytes_sent",
        "delivery.announced",
        "delivery.visible",
        "delivery.size_checked",
        "delivery.recording",
        "delivery.recorded",
        "run.worked",
    ],
)
def test_a_worker_that_dies_at_any_step_leaves_one_file_in_the_end(
    line: Line, at: str
) -> None:
    """D2: what was done stays, what was not is done by the next run."""
    run = enqueue(line.stock, "stock_changes")
    assert work_and_die(run, at=at)
    rise_again(run)
    assert (run.state, run.attempts) == ("succeeded", 2)
    delivery = Delivery.objects.filter(state="delivered").get()
    assert line.drop.files() == [f"variant_warehouse/{delivery.name}"]
    assert hashlib.sha256(line.dropped()[0]).hexdigest() == delivery.sha256
    assert delivery.rows == 3
    assert not Delivery.objects.unfinished().exists()
    assert not work_and_die(enqueue(line.stock, "stock_changes"), at="delivery.built")
    assert len(line.dropped()) == 1


def test_a_channel_turned_off_meanwhile_sends_nothing(line: Line) -> None:
    """Off means off, also for a run that works already."""

    def turn_off(op: str, path: str) -> None:
        if op == "stat" and "/variant_warehouse/" in path:
            line.sandbox.ip.sftp_faults.clear()
            Channel.objects.filter(pk=line.stock.pk).update(enabled_at=None)

    line.sandbox.ip.sftp_faults.append(turn_off)
    run = run_now(line.stock, "stock_changes")
    assert run.state == "cancelled"
    assert line.dropped() == []
