"""An old file once more: the same bytes under a new name, and the newest after it (R6)."""

from __future__ import annotations

import pytest
from django.db import connection as database
from django.urls import reverse

from connections.models import Channel, Delivery, SyncRun
from connections.runs import switch
from dropstream.sandbox.ssh_server import DropConnection
from tests.connections.wizard.walk import log_in
from tests.engine import drain, due, enqueue, run_now
from tests.factories import Line
from tests.lab.crash import rise_again, work_and_die
from tests.lab.script import at_step, cut

HEADER = "sku,facility,available\n"
SKUS = A, B, C = ("SKU-00001", "SKU-00002", "SKU-00003")  # Inventory Planner's own


@pytest.fixture
def old(line: Line) -> Delivery:
    """The first of two files; one of its three SKUs was sent anew by the second."""
    line.clear_reports()
    line.report(
        "inv_1.csv",
        HEADER + "".join(f"{sku},RENO,{n}\n" for n, sku in enumerate(SKUS, 1)),
    )
    run_now(line.stock, "stock_changes")
    line.report("inv_2.csv", f"{HEADER}{A},RENO,10\n")
    run_now(line.stock, "stock_changes")
    return Delivery.objects.earliest("pk")


def ask(line: Line, file: Delivery) -> Delivery:
    """Ask for it where a person does."""
    url = reverse("connections:delivery_send", args=[file.public_id])
    log_in(line.person).post(url, {"token": "one"})
    return file.resends.latest("pk")


def known_after_sync(line: Line) -> dict[str, float]:
    """What Inventory Planner knows once it has read all that lies on the drop."""
    line.sandbox.ip.sync_now("123456")
    account = line.sandbox.ip.accounts["123456"]
    return {sku: known.in_stock for (sku, _place), known in account.stock.items()}


NEWEST = {A: 10, B: 2, C: 3}


def test_the_same_bytes_go_out_under_a_new_name_and_the_newest_after(
    line: Line, old: Delivery
) -> None:
    """R6, D20: whoever reads both files in their order ends with the newest stock."""
    again = ask(line, old)
    assert ("stock_changes", "succeeded") in [(run.job, run.state) for run in drain()]
    first, second, third, fourth = line.dropped()
    assert third == first  # the file's own bytes
    assert fourth == second  # what has changed since
    again.refresh_from_db()
    assert (again.state, again.attempts) == ("delivered", 1)
    assert f"variant_warehouse/{again.name}" in line.drop.files()
    newest = Delivery.objects.filter(entity="stock").latest("pk")
    assert (newest.rows, newest.resend_of_id) == (1, None)
    assert line.stock.sent_through == newest.upper_bound > again.upper_bound
    assert known_after_sync(line) == NEWEST
    assert run_now(line.stock, "stock_changes").counts == {}


def test_the_newest_file_again_needs_nothing_after_it(line: Line) -> None:
    run_now(line.stock, "stock_changes")
    mark = line.stock.sent_through
    ask(line, Delivery.objects.get())
    drain()
    first, second = line.dropped()
    assert first == second
    assert line.stock.sent_through == mark


@pytest.mark.parametrize(
    "at",
    [
        "delivery.built",
        "delivery.started",
        "delivery.bytes_sent",
        "delivery.announced",
        "delivery.visible",
        "delivery.recording",
        "delivery.recorded",
    ],
)
def test_a_worker_that_dies_in_between_still_ends_with_the_newest(
    line: Line, old: Delivery, at: str
) -> None:
    """D2: the file is not given up for newer values, and not forgotten to be followed."""
    again = ask(line, old)
    run = SyncRun.objects.get(state="queued")
    assert work_and_die(run, at=at)
    rise_again(run)
    assert run.state == "succeeded"
    again.refresh_from_db()
    assert again.state == "delivered"
    files = line.dropped()
    assert (files.count(files[0]), files.count(files[1])) == (2, 2)
    assert known_after_sync(line) == NEWEST


def test_one_that_nobody_can_tell_of_is_followed_by_the_newest_all_the_same(
    line: Line, old: Delivery
) -> None:
    """D4: it may have been read, so the mark had moved back before it was sent."""
    again = ask(line, old)

    def swallow(step: str, path: str) -> None:
        if step == "closed" and again.name in path:
            line.sandbox.ip.sync_now("123456")
            raise DropConnection

    line.sandbox.ip.sftp_faults.append(swallow)
    run = SyncRun.objects.get(state="queued")
    for _ in range(4):
        due(run)
        drain()
        run.refresh_from_db()
    assert run.state == "succeeded"
    again.refresh_from_db()
    assert again.state == "unknown"
    assert known_after_sync(line) == NEWEST


def test_what_is_on_its_way_is_brought_to_its_end_first(
    line: Line, old: Delivery
) -> None:
    """One unfinished file a channel: the other one waits its turn."""
    at_step(line.sandbox.ip.sftp_faults, "wrote", cut, path="/variant_warehouse/")
    line.report("inv_3.csv", f"{HEADER}{B},RENO,20\n")
    run = run_now(line.stock, "stock_changes")
    assert run.error_code == "network_lost"
    begun = Delivery.objects.unfinished().get()
    again = ask(line, old)
    drain()
    begun.refresh_from_db()
    again.refresh_from_db()
    assert (begun.state, again.state) == ("delivered", "delivered")
    assert begun.delivered_at
    assert again.delivered_at
    assert begun.delivered_at < again.delivered_at
    assert known_after_sync(line) == {**NEWEST, B: 20}


def test_one_that_is_asked_for_while_a_run_works_goes_right_after_it(
    line: Line, old: Delivery
) -> None:
    line.report("inv_3.csv", f"{HEADER}{B},RENO,20\n")
    asked: list[Delivery] = []

    def meanwhile() -> None:
        asked.append(ask(line, old))
        database.close()  # this thread's own

    at_step(line.sandbox.ip.sftp_faults, "closed", meanwhile, path="/variant_warehouse")
    run_now(line.stock, "stock_changes")
    assert ("stock_changes", "person") in [(run.job, run.trigger) for run in drain()]
    asked[0].refresh_from_db()
    assert asked[0].state == "delivered"
    assert known_after_sync(line) == {**NEWEST, B: 20}


def test_turned_off_in_between_it_is_not_sent_later(line: Line, old: Delivery) -> None:
    """Off means off: what waited is dropped, as runs that wait are."""
    again = ask(line, old)
    switch.disable_connection(line.connection, by=line.person)
    switch.enable_connection(line.connection, by=line.person)
    drain()
    again.refresh_from_db()
    assert (again.state, again.chunks.count()) == ("superseded", 0)
    assert len(line.dropped()) == 2


def test_a_failed_one_is_tried_again_and_then_followed(
    line: Line, old: Delivery
) -> None:
    """The mark has moved back, and nothing newer is built before it is there."""
    again = ask(line, old)
    at_step(line.sandbox.ip.sftp_faults, "wrote", cut, path="/variant_warehouse/")
    drain()
    assert line.stock.sent_through == again.upper_bound
    assert len(line.dropped()) == 2
    due(SyncRun.objects.get(state="queued"))
    drain()
    again.refresh_from_db()
    assert (again.state, again.attempts) == ("delivered", 2)
    assert known_after_sync(line) == NEWEST


def test_after_a_part_that_reaches_nothing_by_itself_everything_follows(
    line: Line, old: Delivery
) -> None:
    Delivery.objects.filter(pk=old.pk).update(upper_bound=0, parts=2)
    ask(line, old)
    drain()
    newest = Delivery.objects.filter(entity="stock").latest("pk")
    assert (newest.rows, newest.upper_bound) == (3, line.stock.sent_through)
    assert known_after_sync(line) == NEWEST


def test_one_of_which_nobody_could_tell_is_sent_again_itself(
    line: Line, old: Delivery
) -> None:
    Delivery.objects.filter(pk=old.pk).update(state="unknown", delivered_at=None)
    again = ask(line, old)
    drain()
    again.refresh_from_db()
    assert again.state == "delivered"
    first, _second, third, *_rest = line.dropped()
    assert third == first
    assert known_after_sync(line) == NEWEST


def test_another_channels_mark_is_left_alone(line: Line, old: Delivery) -> None:
    ask(line, old)
    drain()
    assert Channel.objects.get(pk=line.orders.pk).sent_through == 0
    assert enqueue(line.stock, "stock_changes").state == "queued"
