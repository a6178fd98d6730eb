"""Orders whose way is interrupted: every effect once all the same (issue 2 e)."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta

import asyncssh
import pytest
from django.db import connection as database
from django.utils import timezone

from connections.models import (
    Activity,
    Delivery,
    HandOver,
    OffPeriod,
    PurchaseOrder,
    SyncRun,
)
from connections.orders import actions, hand_over, write_back
from connections.runs import execute, switch
from connections.tasks import WORK
from dropstream.sandbox import seed
from dropstream.sandbox.http_server import Request, Response, json_response
from tests import factories
from tests.connections.orders.test_flow import (
    ACCOUNT,
    ordered,
    received,
    remote,
    writes,
)
from tests.connections.orders.test_flow import set_up as set_up_line
from tests.engine import enqueue, run_now
from tests.factories import Line
from tests.lab.crash import rise_again, work_and_die
from tests.lab.judge import FarSides, judge
from tests.lab.script import apply_and_drop, at_request, at_step, cut, fail, refuse


@pytest.fixture
def one_order(line: Line) -> Line:
    """Inventory Planner holds order 1042 and no other."""
    planner = line.sandbox.ip.accounts[ACCOUNT]
    planner.orders[:] = [planner.order("1042")]
    set_up_line(line)
    return line


def again(run: SyncRun) -> SyncRun:
    assert run.state == "queued", (run.state, run.error_code)
    SyncRun.objects.filter(pk=run.pk).update(due_at=timezone.now())
    execute.execute(run.pk, WORK)
    run.refresh_from_db()
    return run


def cut_once(line: Line, op: str) -> None:
    """Cut the line at the first step of a kind in the warehouse's /in."""
    at_step(line.sandbox.warehouse.sftp_faults, op, cut, path="/in/")


def received_order(line: Line) -> PurchaseOrder:
    """Bring order 1042 to where only the write-back is missing."""
    run_now(line.orders, "orders_import")
    line.sandbox.warehouse.tick()
    return PurchaseOrder.objects.get()


@pytest.mark.parametrize("op", ["open_write", "wrote", "closed", "rename", "renamed"])
@pytest.mark.parametrize("taken", [True, False])
def test_a_line_cut_at_any_step_hands_the_order_over_once(
    one_order: Line, op: str, taken: bool
) -> None:
    """D1, D3, D4; `taken`: the warehouse takes its files before the retry."""
    line = one_order
    cut_once(line, op)
    run = run_now(line.orders, "orders_import")
    assert run.error_code == "network_lost"
    if taken:
        line.sandbox.warehouse.tick()
    assert again(run).state == "succeeded"
    line.sandbox.warehouse.tick()
    assert_handed_over_once(line)


@pytest.mark.parametrize(
    ("op", "error", "code", "state"),
    [
        ("write", asyncssh.SFTPFailure("No space left"), "disk_full", "queued"),
        ("close", asyncssh.SFTPFailure("quota exceeded"), "disk_full", "queued"),
        ("rename", asyncssh.SFTPFailure("No space left"), "disk_full", "queued"),
        ("rename", asyncssh.SFTPFailure("it is late"), "remote_failure", "queued"),
        (
            "rename",
            asyncssh.SFTPPermissionDenied("no"),
            "permission_denied",
            "needs_person",
        ),
    ],
)
def test_a_refusal_leaves_no_temporary_file_and_the_order_goes_once(
    one_order: Line, op: str, error: Exception, code: str, state: str
) -> None:
    """D5, D6: at write, at close, at rename."""
    line = one_order
    at_step(line.sandbox.warehouse.sftp_faults, op, refuse(error), path="/in/")
    run = run_now(line.orders, "orders_import")
    assert (run.error_code, run.state) == (code, state)
    assert list(line.far_warehouse.incoming.iterdir()) == []
    delivery = Delivery.objects.get()
    assert (delivery.state, delivery.announced) == ("sending", 0)
    run_now(line.orders, "orders_import")
    line.sandbox.warehouse.tick()
    assert_handed_over_once(line)


def test_a_rename_that_was_done_and_refused_is_not_done_twice(one_order: Line) -> None:
    """D3, D4: a server that errs in its answer; the warehouse takes the file at once."""
    line = one_order

    def lie() -> None:
        line.sandbox.warehouse.tick()
        raise asyncssh.SFTPFailure("something went wrong")

    at_step(line.sandbox.warehouse.sftp_faults, "renamed", lie)
    assert run_now(line.orders, "orders_import").error_code == "remote_failure"
    run_now(line.orders, "orders_import")
    line.sandbox.warehouse.tick()
    assert_handed_over_once(line)


def test_a_server_that_lets_nobody_look_proves_no_renaming(one_order: Line) -> None:
    """D4, D6: the line was cut before the rename; what cannot be seen is not gone."""
    line = one_order
    cut_once(line, "rename")
    run_now(line.orders, "orders_import")
    faults = line.sandbox.warehouse.sftp_faults

    def hide(step: str, path: str) -> None:
        if step == "stat" and path.startswith("/in/"):
            raise asyncssh.SFTPPermissionDenied("no")

    faults.append(hide)
    run = run_now(line.orders, "orders_import")
    assert (run.state, run.error_code) == ("needs_person", "permission_denied")
    assert PurchaseOrder.objects.get().status == "new"
    faults.clear()
    run_now(line.orders, "orders_import")
    line.sandbox.warehouse.tick()
    assert_handed_over_once(line)


@pytest.mark.parametrize("taken", [True, False])
@pytest.mark.parametrize(
    "at",
    [
        "orders.storing",
        "orders.stored",
        "delivery.building",
        "delivery.built",
        "delivery.started",
        "delivery.bytes_sent",
        "delivery.size_checked",
        "delivery.announced",
        "delivery.visible",
        "delivery.recording",
        "delivery.recorded",
    ],
)
def test_a_worker_that_dies_at_any_step_hands_the_order_over_once(
    one_order: Line, at: str, taken: bool
) -> None:
    """D2: every step, with and without the warehouse taking its files meanwhile."""
    line = one_order
    run = enqueue(line.orders, "orders_import")
    assert work_and_die(run, at=at)
    if taken:
        line.sandbox.warehouse.tick()
    rise_again(run)
    assert run.state == "succeeded"
    line.sandbox.warehouse.tick()
    assert_handed_over_once(line)


def assert_handed_over_once(line: Line) -> None:
    [taken] = line.far_warehouse.orders
    assert taken.copies == 1
    assert not line.far_warehouse.rejected
    order = PurchaseOrder.objects.get()
    assert order.status in ("open", "received")  # its receipt may be there already
    hand_over = HandOver.objects.get()
    assert taken.file == hand_over.file_name
    assert Delivery.objects.get().state == "delivered"
    leftovers = list(line.far_warehouse.incoming.iterdir())
    assert leftovers == []
    assert judge(FarSides.of(line.sandbox), settled=["purchase_orders"]) == []


@pytest.mark.parametrize(
    "at",
    [
        "receipts.applying",
        "receipts.applied",
        "quantities.intended",
        "quantities.written",
        "quantities.recorded",
        "status.intended",
        "status.written",
        "status.recorded",
    ],
)
def test_a_worker_that_dies_while_writing_back_writes_each_effect_once(
    one_order: Line, at: str
) -> None:
    """I11, I12: at every step; read before write."""
    line = one_order
    received_order(line)
    line.sandbox.warehouse.tick()
    run = enqueue(line.orders, "orders_status")
    assert work_and_die(run, at=at)
    rise_again(run)
    assert run.state == "succeeded"
    doc = remote(line, "1042")
    assert (doc["status"], received(doc)) == ("CLOSED", ordered(doc))
    order = PurchaseOrder.objects.get()
    assert order.acknowledgement == "CLOSED"
    assert len(writes(line)) == 2


@pytest.mark.parametrize("ending", ["/items", ""])
def test_a_write_whose_reply_is_lost_is_not_made_twice(
    one_order: Line, ending: str
) -> None:
    """I11: applied, then the line is cut."""
    line = one_order
    order = received_order(line)
    lost = apply_and_drop(line.sandbox)
    at_request(line.sandbox, "PATCH", ending or order.external_id, lost)
    run = run_now(line.orders, "orders_status")
    assert run.state == "queued"
    again(run)
    doc = remote(line, "1042")
    assert (doc["status"], received(doc)) == ("CLOSED", ordered(doc))
    assert len(writes(line)) == 2


def test_a_write_that_does_not_stick_is_tried_twice_and_then_shown(
    one_order: Line,
) -> None:
    """inventory-planner.md §2.6: the echo counts, not the 200."""
    line = one_order
    order = received_order(line)

    def unchanged(request: Request) -> Response | None:
        if request.method != "PATCH":
            return None
        return json_response({"items": []})

    line.sandbox.ip.answers.append(unchanged)
    run = run_now(line.orders, "orders_status")
    assert run.state == "succeeded"
    order.refresh_from_db()
    assert order.write_refused == "echo_mismatch"
    run_now(line.orders, "orders_status")
    assert len(writes(line)) <= 2


def test_an_outage_longer_than_the_polling_interval_misses_nothing(
    line: Line,
) -> None:
    """I9: whatever came, and came and changed, while nobody answered."""
    set_up_line(line)
    run = enqueue(line.orders, "orders_import")
    line.sandbox.ip.answers.append(fail(503))
    for _ in range(3):
        SyncRun.objects.filter(pk=run.pk).update(due_at=timezone.now())
        execute.execute(run.pk, WORK)
        line.sandbox.ip.make_order(ACCOUNT)
    assert not PurchaseOrder.objects.exists()
    line.sandbox.ip.answers.clear()
    run.refresh_from_db()
    again(run)
    far = FarSides.of(line.sandbox)
    assert judge(far, settled=["purchase_orders"]) == []
    assert PurchaseOrder.objects.count() == 6


def test_an_order_that_somebody_closed_there_is_left_alone(one_order: Line) -> None:
    """I10."""
    line = one_order
    order = received_order(line)
    remote(line, "1042")["status"] = "CANCELLED"
    run_now(line.orders, "orders_status")
    order.refresh_from_db()
    assert order.write_refused == "order_moved_there"
    assert writes(line) == []


def test_a_readonly_order_is_refused_and_the_others_go_on(line: Line) -> None:
    """I4."""
    set_up_line(line)
    run_now(line.orders, "orders_import")
    line.sandbox.warehouse.tick()
    remote(line, "1042")["readonly"] = True
    run = run_now(line.orders, "orders_status")
    assert run.counts["orders_refused"] == 1
    refused = PurchaseOrder.objects.get(reference="1042")
    assert refused.write_refused == "order_readonly"
    assert remote(line, "1043")["status"] == "CLOSED"


def test_a_decision_made_while_others_are_written_back_counts(line: Line) -> None:
    """Of a list of orders each is looked at when its turn comes."""
    set_up_line(line)
    run_now(line.orders, "orders_import")
    line.sandbox.warehouse.tick()
    first, second, third = PurchaseOrder.objects.order_by("pk")

    def stop(order: PurchaseOrder) -> Callable[[Request], None]:
        def act(_request: Request) -> None:
            actions.archive(order, line.person)
            database.close()  # this thread's own

        return act

    at_request(line.sandbox, "PATCH", f"{first.external_id}/items", stop(second))
    at_request(line.sandbox, "GET", third.external_id, stop(third))
    run = run_now(line.orders, "orders_status")
    assert run.state in ("queued", "succeeded")
    assert {write.rpartition(" ")[2] for write in writes(line)} == {
        "items",
        first.external_id,
    }
    assert len(writes(line)) == 2


def test_an_order_that_is_gone_there_is_marked(one_order: Line) -> None:
    """I3."""
    line = one_order
    order = received_order(line)
    line.sandbox.ip.accounts[ACCOUNT].orders.clear()
    run = run_now(line.orders, "orders_status")
    assert run.state == "succeeded"
    order.refresh_from_db()
    assert order.write_refused == "order_gone"


def test_an_unreadable_order_is_set_aside_and_the_rest_imported(line: Line) -> None:
    """I14."""
    set_up_line(line)
    remote(line, "1043")["items"] = {"not": "a list"}
    run = run_now(line.orders, "orders_import")
    assert run.state == "succeeded"
    assert run.counts["orders_unreadable"] == 1
    assert PurchaseOrder.objects.filter(status="open").count() == 2
    facts = Activity.objects.get(event="order_unreadable").facts
    assert facts["reason"] == "items is not a list"


def test_an_order_that_was_sent_before_is_held(one_order: Line) -> None:
    """design.md §3, Hand-over: the tombstone outlives the order's row."""
    line = one_order
    run_now(line.orders, "orders_import")
    PurchaseOrder.objects.all().delete()
    run_now(line.orders, "orders_import")
    order = PurchaseOrder.objects.get()
    assert (order.status, order.held) == ("new", "sent_before")
    line.sandbox.warehouse.tick()
    assert line.far_warehouse.doubled() == []


def test_a_change_before_the_hand_over_is_taken_over(one_order: Line) -> None:
    line = one_order
    doc = remote(line, "1042")
    doc["items"][0]["sku"] = ""
    run_now(line.orders, "orders_import")
    assert PurchaseOrder.objects.get().held == "line_error"
    doc["items"][0]["sku"] = seed.sku(1)
    run_now(line.orders, "orders_import")
    order = PurchaseOrder.objects.get()
    assert (order.status, order.held) == ("open", "")


def test_a_change_before_an_order_is_sent_again_is_taken_over(one_order: Line) -> None:
    """Its first file arrived long ago; of the second there is none yet."""
    line = one_order
    run_now(line.orders, "orders_import")
    order = PurchaseOrder.objects.get()
    actions.reset(order, line.person)
    switch.disable_connection(line.connection, by=line.person)
    actions.send_again(order, line.person)
    remote(line, "1042")["items"][0]["replenishment"] = 7
    switch.enable_connection(line.connection, by=line.person)
    run_now(line.orders, "orders_import")
    order.refresh_from_db()
    assert (order.status, order.difference) == ("open", [])
    assert 7 in [line.quantity for line in order.lines.all()]
    newest = Delivery.objects.first()
    assert newest is not None
    assert ",7\n" in (line.far_warehouse.incoming / newest.name).read_text()


@pytest.mark.parametrize("op", ["write", "wrote"])
@pytest.mark.parametrize("there", ["CANCELLED", "CLOSED"])
def test_what_is_over_there_is_not_sent_from_a_file_that_nobody_has_seen(
    one_order: Line, op: str, there: str
) -> None:
    """D5: nor does a temporary file stay."""
    line = one_order
    cut_once(line, op)
    run = run_now(line.orders, "orders_import")
    assert run.error_code == "network_lost"
    remote(line, "1042")["status"] = there
    assert again(run).state == "succeeded"
    order = PurchaseOrder.objects.get()
    assert (order.status, order.held) == {
        "CANCELLED": ("canceled", ""),
        "CLOSED": ("new", "not_sendable"),
    }[there]
    assert Delivery.objects.get().state == "superseded"
    assert not list(line.far_warehouse.incoming.iterdir())
    assert not HandOver.objects.exists()  # it was never sent


def test_a_server_that_lets_nobody_remove_files_stops_no_order(line: Line) -> None:
    """Its temporary file stays then; warehouses do not pick those up."""
    set_up_line(line)
    cut_once(line, "wrote")
    run = run_now(line.orders, "orders_import")
    began = Delivery.objects.get()
    stopped = PurchaseOrder.objects.get(public_id=began.subject)
    remote(line, stopped.reference)["status"] = "CANCELLED"
    line.sandbox.warehouse.sftp_faults.append(forbid_removal)
    assert again(run).state == "succeeded"
    assert PurchaseOrder.objects.filter(status="open").count() == 2


def forbid_removal(step: str, path: str) -> None:
    if step == "remove" and path.startswith("/in/"):
        raise asyncssh.SFTPPermissionDenied("no")


def test_a_change_makes_a_file_that_nobody_has_seen_anew(one_order: Line) -> None:
    line = one_order
    cut_once(line, "wrote")
    run = run_now(line.orders, "orders_import")
    remote(line, "1042")["items"][0]["replenishment"] = 7
    assert again(run).state == "succeeded"
    second, first = Delivery.objects.all()
    assert (first.state, second.state) == ("superseded", "delivered")
    [file] = line.far_warehouse.incoming.iterdir()
    assert file.name == second.name
    assert ",7\n" in file.read_text()


def test_a_change_after_the_hand_over_is_only_recorded(one_order: Line) -> None:
    line = one_order
    run_now(line.orders, "orders_import")
    remote(line, "1042")["items"][0]["replenishment"] = 7
    run = run_now(line.orders, "orders_import")
    assert run.counts["orders_changed"] == 1
    assert HandOver.objects.count() == 1
    quantities = PurchaseOrder.objects.get().lines.values_list("quantity", flat=True)
    assert list(quantities) == [40, 25, 60]


def test_orders_made_while_the_connection_was_off_are_held(one_order: Line) -> None:
    """design.md §3, Off-periods; the first enabling has no lower bound."""
    line = one_order
    now = timezone.now()
    OffPeriod.objects.create(
        account=line.account,
        connection=line.connection,
        started_at=now - timedelta(days=20),
        ended_at=now,
    )
    run_now(line.orders, "orders_import")
    assert PurchaseOrder.objects.get().held == "off_period"


def many_orders(line: Line) -> None:
    """Two pages of them."""
    planner = line.sandbox.ip.accounts[ACCOUNT]
    planner.orders[:] = [
        seed.order(ACCOUNT, str(n), "ORDERED", [(1, 5, 0)], readonly=False)
        for n in range(120)
    ]
    factories.change_store(line.store, import_status_filter="ORDERED")
    # What this is about is the reading: nothing of it goes to the warehouse.
    OffPeriod.objects.create(
        account=line.account,
        connection=line.connection,
        started_at=timezone.now() - timedelta(days=20),
        ended_at=timezone.now(),
    )


def is_list(request: Request) -> bool:
    return request.method == "GET" and request.path.endswith("purchase-orders")


def test_an_order_added_between_two_pages_loses_none(line: Line) -> None:
    """I8: rows move down by one; what is seen twice is stored once."""
    many_orders(line)
    pages = [0]

    def insert(request: Request) -> Response | None:
        pages[0] += is_list(request)
        if pages[0] == 2:
            added = seed.order(ACCOUNT, "new", "ORDERED", [(1, 5, 0)])
            line.sandbox.ip.accounts[ACCOUNT].orders.insert(0, added)
            line.sandbox.ip.answers.clear()
        return None

    line.sandbox.ip.answers.append(insert)
    assert run_now(line.orders, "orders_import").state == "succeeded"
    numbers = set(PurchaseOrder.objects.values_list("reference", flat=True))
    assert numbers >= {str(n) for n in range(120)}


def test_the_same_page_for_ever_ends(line: Line) -> None:
    """I8."""
    many_orders(line)
    pages = [0]

    def first_page_again(request: Request) -> Response | None:
        if not is_list(request):
            return None
        pages[0] += 1
        query = {**dict(request.query), "page": "0"}
        first = Request("GET", request.path, tuple(query.items()), request.headers)
        return line.sandbox.ip.normal_answer(first)

    line.sandbox.ip.answers.append(first_page_again)
    assert run_now(line.orders, "orders_import").state == "succeeded"
    assert pages[0] == 2
    assert PurchaseOrder.objects.count() == 100


@pytest.mark.parametrize("odd", ["a\0b", "\ud800", "\udc00x"])
@pytest.mark.parametrize("field", ["notes", "reference"])
def test_text_that_the_database_cannot_hold_stops_no_other_order(
    line: Line, odd: str, field: str
) -> None:
    """I14: one order's odd characters are not everybody's."""
    set_up_line(line)
    remote(line, "1043")[field] = odd
    run = run_now(line.orders, "orders_import")
    assert (run.state, run.error_code) == ("succeeded", "")
    assert PurchaseOrder.objects.filter(reference__in=["1042", "1044"]).count() == 2


@pytest.mark.parametrize(
    ("depth", "outcome"), [(90, ("", True)), (120, ("api_unexpected_answer", False))]
)
def test_nesting_is_stored_or_refused(
    line: Line, depth: int, outcome: tuple[str, bool]
) -> None:
    """F5, I14: whatever is taken can be written down, as a new order and as a change."""
    set_up_line(line)
    document = remote(line, "1043")
    document["deep"] = json.loads("[" * depth + "]" * depth)
    for note in ("new", "changed"):
        document["notes"] = note
        run = run_now(line.orders, "orders_import")
        stored = PurchaseOrder.objects.filter(document__notes=note).exists()
        assert (run.error_code, stored) == outcome


def test_an_order_goes_to_the_connection_of_its_warehouse(line: Line) -> None:
    """design.md §3, Routing: exactly one, never guessed."""
    set_up_line(line)
    second = factories.connection(
        line.store, factories.warehouse(line.warehouse.merchant, code="WH2")
    )
    for connection, remote_id in ((line.connection, "c501_WH1"), (second, "c501_WH2")):
        connection.remote_warehouse = remote_id
        connection.save()
    remote(line, "1043")["warehouse"] = "c501_WH9"
    run_now(line.orders, "orders_import")
    routes = {
        order.reference: (order.connection, order.held)
        for order in PurchaseOrder.objects.all()
    }
    assert routes == {
        "1042": (line.connection, ""),
        "1043": (None, "no_route"),
        "1044": (second, ""),
    }
    line.sandbox.warehouse.tick()
    assert [order.po_number for order in line.far_warehouse.orders] == ["1042"]


def test_an_order_that_names_no_warehouse_is_nobodys_of_two(line: Line) -> None:
    """design.md §3, Routing: a connection without a mapping takes none by that."""
    set_up_line(line)
    factories.connection(
        line.store, factories.warehouse(line.warehouse.merchant, code="WH2")
    )
    line.connection.remote_warehouse = "c501_WH1"
    line.connection.save()
    remote(line, "1043")["warehouse"] = ""
    run_now(line.orders, "orders_import")
    order = PurchaseOrder.objects.get(reference="1043")
    assert (order.connection, order.held) == (None, "no_route")


def test_without_a_mapping_two_connections_of_a_store_hold_the_order(
    line: Line,
) -> None:
    set_up_line(line)
    factories.connection(
        line.store, factories.warehouse(line.warehouse.merchant, code="WH2")
    )
    run_now(line.orders, "orders_import")
    held = PurchaseOrder.objects.values_list("held", flat=True)
    assert set(held) == {"no_route"}
    assert not HandOver.objects.exists()


def test_a_500_for_one_order_stops_no_other_and_is_refused_in_the_end(
    line: Line,
) -> None:
    """I6, inventory-planner.md §2.7: that is how a bad write is refused as well."""
    set_up_line(line)
    run_now(line.orders, "orders_import")
    line.sandbox.warehouse.tick()
    line.sandbox.warehouse.tick()
    bad = remote(line, "1042")["id"]

    def refused(request: Request) -> Response | None:
        is_write = request.method == "PATCH" and bad in request.path
        return fail(500)(request) if is_write else None

    line.sandbox.ip.answers.append(refused)
    run = run_now(line.orders, "orders_status")
    assert (run.state, run.error_code) == ("queued", "api_server_error")
    assert remote(line, "1043")["status"] == "CLOSED"
    assert remote(line, "1044")["status"] == "CLOSED"
    assert again(run).state == "succeeded"
    order = PurchaseOrder.objects.get(reference="1042")
    assert (order.write_refused, order.error) == ("api_server_error", "scripted")
    assert len([w for w in writes(line) if w == "PATCH items"]) == 4


def test_more_than_was_ordered_is_told_as_far_as_it_is_taken(one_order: Line) -> None:
    """inventory-planner.md §3.6: sent; refused, what was ordered, and a note."""
    line = one_order
    line.sandbox.ip.api.over_receipt = False
    order = received_order(line)
    line.sandbox.warehouse.tick()
    sku = order.lines.all()[0].sku
    line.report(
        "rcp_more.csv",
        f"receipt_id,po_id,sku,quantity\nR9,{order.external_id},{sku},5\n",
    )
    assert run_now(line.orders, "orders_status").state == "succeeded"
    doc = remote(line, "1042")
    assert (doc["status"], received(doc)) == ("CLOSED", ordered(doc))
    assert order.lines.all()[0].received == 45
    assert Activity.objects.filter(event="order_received_too_much").count() == 1
    requests = len(writes(line))
    run_now(line.orders, "orders_status")
    assert len(writes(line)) == requests  # nothing is owed any more


def test_many_orders_are_sent_and_written_back_in_turns(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    """I15: a run has its share of time; it goes on behind those of other stores."""
    for module in (hand_over, write_back):
        monkeypatch.setattr(module, "ORDERS_A_TURN", 2)
    set_up_line(line)
    run = run_now(line.orders, "orders_import")
    assert (run.counts["orders_sent"], run.error_code) == (2, "")
    assert again(run).state == "succeeded"
    assert run.counts["orders_sent"] == 3
    for _ in range(2):
        line.sandbox.warehouse.tick()
    run = run_now(line.orders, "orders_status")
    assert len(writes(line)) == 4
    assert again(run).state == "succeeded"
    assert len(writes(line)) == 6
