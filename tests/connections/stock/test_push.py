"""Levels become one file on the drop, and each level goes out once (issue 2 d)."""

from __future__ import annotations

from datetime import UTC

import pytest

from connections.deliveries import resend
from connections.models import Delivery, Location, StockLevel, SyncRun
from connections.runs import execute, queue
from connections.tasks import WORK
from tests import factories
from tests.engine import drain, due, enqueue, run_now
from tests.factories import Line
from tests.lab.crash import rise_again, work_and_die
from tests.lab.script import at_step, cut

HEADER = b"VARIANT_ID,WAREHOUSE_ID,IN_STOCK,REMOVED,UPDATED_AT\n"


def stamp(sku: str) -> str:
    changed_at = StockLevel.objects.filter(sku=sku).latest("changed_at").changed_at
    return changed_at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")


def test_the_file_is_exact_to_the_byte(line: Line) -> None:
    """inventory-planner.md §4: five columns, sorted, facilities added up."""
    line.clear_reports()
    line.report(
        "inv_1.csv",
        "sku,facility,available\nB-2,RENO,4\na-1,RENO,1.50\nB-2,DALLAS,6\n"
        '"C,3",RENO,-2\n',
    )
    run = run_now(line.stock, "stock_changes")
    assert (run.state, run.counts["rows_sent"]) == ("succeeded", 3)
    expected = [
        f"B-2,WH1,10,false,{stamp('B-2')}",
        f'"C,3",WH1,-2,false,{stamp("C,3")}',
        f"a-1,WH1,1.5,false,{stamp('a-1')}",
    ]
    assert line.dropped() == [HEADER + "\n".join([*expected, ""]).encode()]
    delivery = Delivery.objects.get()
    assert delivery.rows == 3
    assert delivery.size == len(line.dropped()[0])
    assert line.drop.files() == [f"variant_warehouse/{delivery.name}"]


def test_inventory_planner_reads_every_row(line: Line) -> None:
    run_now(line.stock, "stock_changes")
    [report] = line.sandbox.ip.sync_now("123456")
    assert (report.outcome, report.rows, report.dropped) == ("read", 3, 0)
    delivery = Delivery.objects.get()
    assert (report.name, report.sha256) == (delivery.name, delivery.sha256)


def test_a_mapped_facility_has_its_own_rows(line: Line) -> None:
    """design.md §3: unmapped facilities add up into the warehouse's own code."""
    line.clear_reports()
    Location.objects.create(
        account=line.account,
        connection=line.connection,
        facility="DALLAS",
        location_id="WH-D",
    )
    line.report("inv_1.csv", "sku,facility,available\nA,RENO,1\nA,DALLAS,2\nA,ELKO,4\n")
    run_now(line.stock, "stock_changes")
    at = stamp("A")
    rows = f"A,WH-D,2,false,{at}\nA,WH1,5,false,{at}\n".encode()
    assert line.dropped() == [HEADER + rows]


def test_nothing_changed_sends_nothing(line: Line) -> None:
    run_now(line.stock, "stock_changes")
    line.sandbox.warehouse.report_full_stock(line.far_warehouse)
    run = run_now(line.stock, "stock_changes")
    assert run.counts == {"files_read": 1, "levels_changed": 0}
    assert len(line.dropped()) == 1


def test_changes_send_only_what_changed(line: Line) -> None:
    run_now(line.stock, "stock_changes")
    line.report("inv_9.csv", "sku,facility,available\nSKU-00002,RENO,77777\n")
    run = run_now(line.stock, "stock_changes")
    assert run.counts["rows_sent"] == 1
    first, second = line.dropped()
    assert first.count(b"\n") == 4
    dallas = StockLevel.objects.get(sku="SKU-00002", facility="DALLAS").available
    total = int(77777 + dallas)
    row = f"SKU-00002,WH1,{total},false,{stamp('SKU-00002')}\n".encode()
    assert second == HEADER + row


def test_a_full_update_sends_every_level_again(line: Line) -> None:
    run_now(line.stock, "stock_changes")
    run = run_now(line.stock, "stock_full")
    assert run.counts["rows_sent"] == 3
    first, second = line.dropped()
    assert first == second
    assert run_now(line.stock, "stock_changes").counts == {}


ELSEWHERE = "them@elsewhere.example:22"


def test_another_drop_is_told_everything(line: Line) -> None:
    """dropstream.md §3: a new endpoint knows nothing, whatever the mark says."""
    run_now(line.stock, "stock_changes")
    Delivery.objects.update(peer=ELSEWHERE)
    line.report("inv_9.csv", "sku,facility,available\nSKU-00002,RENO,77777\n")
    assert run_now(line.stock, "stock_changes").counts["rows_sent"] == 3
    assert run_now(line.stock, "stock_changes").counts == {}


def test_what_was_begun_for_another_drop_gives_way_to_everything(line: Line) -> None:
    """Sent here, a file of one change would make this drop look as if it knew the rest."""
    run_now(line.stock, "stock_changes")
    line.report("inv_9.csv", "sku,facility,available\nSKU-00002,RENO,77777\n")
    run = enqueue(line.stock, "stock_changes")
    assert work_and_die(run, at="delivery.started")
    Delivery.objects.update(peer=ELSEWHERE)
    rise_again(run)
    states = list(Delivery.objects.order_by("pk").values_list("state", "rows"))
    assert states == [("delivered", 3), ("superseded", 1), ("delivered", 3)]


def test_an_old_file_for_another_drop_does_not_stand_for_everything(
    line: Line,
) -> None:
    """Somebody has it sent again where nothing else is yet."""
    run_now(line.stock, "stock_changes")
    old = Delivery.objects.get()
    line.report("inv_9.csv", "sku,facility,available\nSKU-00002,RENO,77777\n")
    run_now(line.stock, "stock_changes")
    Delivery.objects.update(peer=ELSEWHERE)
    resend.ask(old, token="1", by=line.person)
    run = enqueue(line.stock, "stock_changes")
    assert work_and_die(run, at="delivery.recorded")
    rise_again(run)
    assert Delivery.objects.latest("pk").rows == 3


def test_without_an_endpoint_the_latest_stock_waits_and_goes_out_once(
    line: Line,
) -> None:
    """D17: nothing is sent, nothing is lost; afterwards exactly one file."""
    factories.change_store(line.store, sftp_endpoint="")
    run = run_now(line.stock, "stock_changes")
    assert run.state == "succeeded"
    assert run.counts["waiting_for"] == "endpoint_missing"
    line.report("inv_8.csv", "sku,facility,available\nSKU-00001,RENO,5\n")
    run_now(line.stock, "stock_changes")
    line.report("inv_9.csv", "sku,facility,available\nSKU-00001,RENO,6\n")
    run_now(line.stock, "stock_changes")
    assert not Delivery.objects.exists()
    assert line.opened() == []

    factories.change_store(line.store, sftp_endpoint=line.drop.endpoint)
    queue.enqueue_for_store(line.store)
    drain()
    [content] = line.dropped()
    dallas = StockLevel.objects.get(sku="SKU-00001", facility="DALLAS").available
    assert f"SKU-00001,WH1,{int(6 + dallas)},false".encode() in content
    assert content.count(b"\n") == 4
    drain()
    assert run_now(line.stock, "stock_changes").counts == {}
    assert len(line.dropped()) == 1


@pytest.fixture
def known_line(line: Line) -> Line:
    """What the warehouse reported is known, and the drop has heard nothing of it."""
    factories.change_store(line.store, sftp_endpoint="")
    run_now(line.stock, "stock_changes")
    factories.change_store(line.store, sftp_endpoint=line.drop.endpoint)
    return line


@pytest.mark.parametrize("job", ["stock_changes", "stock_full"])
def test_a_wrong_warehouse_password_keeps_no_known_stock_unsent(
    known_line: Line, job: str
) -> None:
    """The run still says what was refused, and where."""
    known_line.far_warehouse.password = "another"
    run = run_now(known_line.stock, job)
    assert (run.state, run.error_code, run.error_side) == (
        "needs_person",
        "auth_refused",
        "warehouse",
    )
    assert run.counts["rows_sent"] == 3


def test_a_full_update_goes_out_once_while_the_warehouse_is_down(
    known_line: Line,
) -> None:
    faults = known_line.sandbox.warehouse.sftp_faults
    at_step(faults, "list", cut)
    run = run_now(known_line.stock, "stock_full")
    assert (run.state, run.counts["rows_sent"]) == ("queued", 3)
    at_step(faults, "list", cut)
    assert "rows_sent" not in redone(run).counts
    at_step(faults, "list", cut)
    asked_again = run_now(known_line.stock, "stock_full")
    assert (asked_again, asked_again.counts["rows_sent"]) == (run, 3)
    known_line.report("inv_9.csv", "sku,facility,available\nSKU-00002,RENO,77777\n")
    assert (redone(run).state, run.counts["rows_sent"]) == ("succeeded", 1)


def test_what_goes_before_the_first_stock_waits_for_the_warehouse(
    known_line: Line,
) -> None:
    """Variants of a report that cannot be read now would be told of to nobody."""
    factories.change_store(known_line.store, master_data="first", vendor_currency="EUR")
    at_step(known_line.sandbox.warehouse.sftp_faults, "list", cut)
    run = run_now(known_line.stock, "stock_changes")
    assert (run.error_side, known_line.opened()) == ("warehouse", [])
    assert redone(run).state == "succeeded"
    assert len(known_line.opened()) == 4


def redone(run: SyncRun) -> SyncRun:
    execute.execute(due(run).pk, WORK)
    run.refresh_from_db()
    return run


def test_orders_run_while_stock_waits_for_its_endpoint(line: Line) -> None:
    """D17: the channels do not hold each other up."""
    factories.change_store(line.store, sftp_endpoint="")
    ended = {run.job: run.state for run in drain()}
    assert ended["stock_changes"] == "succeeded"
    assert ended["orders_import"] == "succeeded"


def test_a_delivery_that_never_started_gives_way_to_newer_values(line: Line) -> None:
    """The drop's key is not approved: the file is built and waits."""
    line.sandbox.rotate_host_key("ip")
    assert run_now(line.stock, "stock_changes").error_code == "host_key_changed"
    built = Delivery.objects.get()
    assert (built.state, built.attempts) == ("built", 0)
    line.report("inv_9.csv", "sku,facility,available\nSKU-00001,RENO,6\n")
    factories.approve_host_key(line.account, line.drop.endpoint, by=line.person)
    enqueue(line.stock, "stock_changes")
    drain()
    built.refresh_from_db()
    assert (built.state, built.chunks.count()) == ("superseded", 0)
    assert len(line.dropped()) == 1
    assert line.dropped()[0].count(b"\n") == 4
