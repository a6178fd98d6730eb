"""The backup and restore drill: an hour is lost and nothing is done twice (O4)."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterator

import pytest
from django.core.management import call_command

from connections.models import Activity, Alert, Delivery, PurchaseOrder, Receipt
from connections.runs import switch
from dropstream.sandbox.state import Doc
from tests import factories
from tests.engine import drain, enqueue, make_schedules_due, run_now
from tests.factories import Line
from tests.lab.backup import Backup
from tests.lab.crash import rise_again, work_and_die

ACCOUNT = "123456"


@pytest.fixture
def backup(line: Line) -> Iterator[list[Backup]]:
    """Where the test puts its backup, so that it is removed in the end."""
    kept: list[Backup] = []
    yield kept
    for made in kept:
        made.remove()


@pytest.fixture
def orders(line: Line) -> Line:
    """Orders only: imported when ORDERED, set CLOSED when received."""
    factories.change_store(
        line.store, import_status_filter="ORDERED", acknowledgement_status="CLOSED"
    )
    switch.disable_channel(line.stock, by=line.person)
    return line


def let_time_pass(line: Line, turns: int = 3) -> None:
    """Let both sides work: our jobs come due, the warehouse takes and receives."""
    for _ in range(turns):
        make_schedules_due()
        drain()
        line.sandbox.warehouse.tick()
    make_schedules_due()
    drain()


def remote(line: Line, reference: str) -> Doc:
    return line.sandbox.ip.accounts[ACCOUNT].order(reference)


def statuses_written(line: Line) -> Counter[str]:
    """How often each order's status was written, by what reached the API."""
    return Counter(
        request.path
        for request in line.sandbox.ip.requests
        if request.method == "PATCH" and not request.path.endswith("/items")
    )


def start_again(backup: Backup) -> str:
    """The drill: restore, then the one command, as docs/operations.md has it."""
    backup.restore()
    said = io.StringIO()
    call_command("after_restore", stdout=said)
    return said.getvalue()


def test_orders_of_a_lost_hour_are_neither_sent_nor_acknowledged_twice(
    orders: Line, backup: list[Backup]
) -> None:
    """O4: known but not sent at the backup; not known at all; sent, not received yet."""
    line = orders
    run = enqueue(line.orders, "orders_import")
    assert work_and_die(run, at="orders.stored")
    assert set(PurchaseOrder.objects.values_list("status", flat=True)) == {"new"}
    backup.append(Backup())
    # --- The hour that will be lost
    rise_again(run)
    unknown = line.sandbox.ip.make_order(ACCOUNT)
    let_time_pass(line)
    assert remote(line, unknown["reference"])["status"] == "CLOSED"
    unreceived = line.sandbox.ip.make_order(ACCOUNT)
    make_schedules_due()
    drain()
    assert len(line.far_warehouse.orders) == 4
    written = statuses_written(line)
    assert set(written.values()) == {1}
    assert len(written) == 4
    # ---
    assert "3 orders are held" in start_again(backup[0])
    assert PurchaseOrder.objects.count() == 3
    # Nobody but the restored rows may do anything until then: the warehouse goes on.
    line.sandbox.warehouse.tick()
    assert len(line.far_warehouse.orders) == 5
    # Worst order: a receipt is read before its order is known again.
    make_schedules_due()
    drain()
    orphans = Receipt.objects.filter(order=None)
    assert orphans.count() == 2
    rise_again(run)  # it was running at the backup; the reaper finds it
    let_time_pass(line)
    assert line.far_warehouse.doubled() == []
    assert len(line.far_warehouse.orders) == 5
    assert set(statuses_written(line).values()) == {1}
    assert len(statuses_written(line)) == 5
    # What the warehouse received is known again, from its files; all is in step.
    assert {o.status for o in PurchaseOrder.objects.all()} == {"received"}
    assert remote(line, unreceived["reference"])["status"] == "CLOSED"
    assert all(o.acknowledged_at for o in PurchaseOrder.objects.all())
    assert Receipt.objects.exclude(order=None).count() == PurchaseOrder.objects.count()
    assert orphans.count() == 1  # of the one that is CLOSED there, and comes no more
    # An order that is made after the restore goes its way like any other.
    later = line.sandbox.ip.make_order(ACCOUNT)
    let_time_pass(line)
    assert remote(line, later["reference"])["status"] == "CLOSED"


def test_an_order_that_may_have_been_sent_says_so(
    orders: Line, backup: list[Backup]
) -> None:
    """O4: flagged, on the order and on its connection's timeline."""
    backup.append(Backup())
    let_time_pass(orders, turns=0)
    assert len(list(orders.far_warehouse.incoming.glob("po_*"))) == 3
    start_again(backup[0])
    let_time_pass(orders, turns=0)
    assert {o.held for o in PurchaseOrder.objects.all()} == {"restored"}
    assert len(list(orders.far_warehouse.incoming.glob("po_*"))) == 3
    assert Activity.objects.filter(event="restored").count() == 1


@pytest.mark.parametrize("at", ["delivery.built", "delivery.started"])
def test_an_order_on_its_way_comes_again_under_its_own_name_alone(
    orders: Line, backup: list[Backup], at: str
) -> None:
    """O4: built or begun at the backup, sent in the lost hour, not taken yet."""
    run = enqueue(orders.orders, "orders_import")
    assert work_and_die(run, at=at)
    name = Delivery.objects.get().name
    backup.append(Backup())
    rise_again(run)
    incoming = orders.far_warehouse.incoming
    sent = {path.name: path.read_bytes() for path in incoming.glob("po_*")}
    assert name in sent
    assert len(sent) == 3
    start_again(backup[0])
    assert Delivery.objects.get().state == "sending"
    rise_again(run)
    let_time_pass(orders)
    assert Delivery.objects.get().state == "delivered"
    assert orders.far_warehouse.doubled() == []
    assert len(orders.far_warehouse.orders) == 3


@pytest.mark.parametrize("changed", [False, True])
@pytest.mark.parametrize("at", ["delivery.built", "delivery.started"])
def test_an_order_that_was_taken_in_the_lost_hour_is_not_sent_again(
    orders: Line, backup: list[Backup], at: str, changed: bool
) -> None:
    """O4: its file is gone; `changed`: so that the platform's document is another."""
    run = enqueue(orders.orders, "orders_import")
    assert work_and_die(run, at=at)
    first = PurchaseOrder.objects.get(public_id=Delivery.objects.get().subject)
    backup.append(Backup())
    rise_again(run)
    orders.sandbox.warehouse.tick()
    assert len(orders.far_warehouse.orders) == 3
    if changed:
        remote(orders, first.reference)["notes"] = "urgent"
    start_again(backup[0])
    rise_again(run)
    make_schedules_due()
    drain()
    orders.sandbox.warehouse.tick()
    assert orders.far_warehouse.doubled() == []
    assert Delivery.objects.get().state == "unknown"
    assert Alert.objects.open().filter(code="order_in_doubt").exists()


def test_a_file_that_was_changed_in_the_lost_hour_is_no_foreign_one(
    orders: Line, backup: list[Backup]
) -> None:
    """O4: built at the backup, sent and then annotated: ours all the same."""
    run = enqueue(orders.orders, "orders_import")
    assert work_and_die(run, at="delivery.built")
    name = Delivery.objects.get().name
    backup.append(Backup())
    rise_again(run)
    incoming = orders.far_warehouse.incoming
    (incoming / name).write_bytes((incoming / name).read_bytes() + b"# seen\n")
    sent = {path.name for path in incoming.iterdir()}
    start_again(backup[0])
    rise_again(run)
    make_schedules_due()
    drain()
    assert {path.name for path in incoming.iterdir()} == sent
    assert Delivery.objects.get().state == "unknown"


def test_an_order_that_was_held_at_the_backup_asks(
    orders: Line, backup: list[Backup]
) -> None:
    """O4: what held it was mended in the lost hour, and it was sent."""
    item = remote(orders, "1042")["items"][0]
    sku, item["sku"] = item["sku"], ""
    run_now(orders.orders, "orders_import")
    assert PurchaseOrder.objects.get(reference="1042").held == "line_error"
    backup.append(Backup())
    item["sku"] = sku
    run_now(orders.orders, "orders_import")
    assert PurchaseOrder.objects.get(reference="1042").status == "open"
    start_again(backup[0])
    run_now(orders.orders, "orders_import")
    order = PurchaseOrder.objects.get(reference="1042")
    assert (order.status, order.held) == ("new", "restored")


def test_stock_that_was_begun_comes_again_under_its_own_name_alone(
    line: Line, backup: list[Backup]
) -> None:
    """O4: begun at the backup, uploaded in the lost hour."""
    line.clear_reports()
    line.report("inv_1.csv", "sku,facility,available\nSKU-00001,RENO,7\n")
    switch.disable_channel(line.orders, by=line.person)
    run = enqueue(line.stock, "stock_changes")
    assert work_and_die(run, at="delivery.started")
    name = Delivery.objects.get().name
    backup.append(Backup())
    rise_again(run)
    [sent] = line.dropped()
    start_again(backup[0])
    rise_again(run)
    let_time_pass(line, turns=1)
    assert line.drop.files() == [f"variant_warehouse/{name}"]
    assert line.dropped() == [sent]
    assert Delivery.objects.get().state == "delivered"
