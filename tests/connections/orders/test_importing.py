"""What is imported, how far it is read, and what later changes come to (issue 6)."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection as database
from django.db.models.functions import Now
from django.test.utils import CaptureQueriesContext

from connections.models import (
    Activity,
    Alert,
    HandOver,
    OffPeriod,
    OrderReading,
    PurchaseOrder,
    SyncRun,
)
from connections.orders import actions, editing, importing, storing
from connections.runs import execute
from connections.tasks import WORK
from dropstream.sandbox import seed
from dropstream.sandbox.http_server import Request, Response
from tests import factories
from tests.connections.orders.test_flow import ACCOUNT, remote, set_up, writes
from tests.engine import due, enqueue, run_now
from tests.factories import Line
from tests.lab.crash import rise_again, work_and_die
from tests.lab.script import at_request, fail

WRITING = ("INSERT", "UPDATE", "DELETE", "COPY")


@pytest.fixture
def crowd(line: Line) -> Line:
    """250 orders, three pages, none of which goes to the warehouse."""
    set_up(line)
    now = datetime.now(UTC)
    lines: list[seed.Line] = [(1, 5, 0), (2, 6, 0)]
    line.sandbox.ip.accounts[ACCOUNT].orders[:] = [
        seed.order(
            ACCOUNT,
            str(number),
            "ORDERED",
            lines,
            last_modified=seed.stamp(now - timedelta(days=3, minutes=number)),
        )
        for number in range(250)
    ]
    OffPeriod.objects.create(
        account=line.account,
        connection=line.connection,
        started_at=now - timedelta(days=20),
        ended_at=now,
    )
    return line


def import_now(line: Line) -> SyncRun:
    run = run_now(line.orders, "orders_import")
    assert (run.state, run.error_code) == ("succeeded", "")
    return run


def lists(line: Line) -> list[dict[str, str]]:
    """The questions for the list that have reached the API, and forget them."""
    asked = [
        dict(request.query)
        for request in line.sandbox.ip.requests
        if request.method == "GET" and request.path.endswith("purchase-orders")
    ]
    line.sandbox.ip.requests.clear()
    return asked


def pages(line: Line, *, filtered: bool = True) -> list[int]:
    return [
        int(one["page"]) for one in lists(line) if ("status_eqi" in one) is filtered
    ]


def touch(doc: dict[str, Any], **change: Any) -> None:
    """Change an order there, as its people do."""
    doc.update(change, last_modified=seed.stamp(datetime.now(UTC)))


def test_what_has_not_changed_is_not_written(crowd: Line) -> None:
    """orders.unchanged, and one query a page for it."""
    import_now(crowd)
    OrderReading.objects.update(all_read_at=None)
    crowd.sandbox.ip.requests.clear()
    with CaptureQueriesContext(database) as found:
        run = import_now(crowd)
    assert run.counts == {}
    asked = crowd.sandbox.ip.requests
    statements = [query["sql"] for query in found]
    written = [
        sql
        for sql in statements
        if sql.lstrip().startswith(WRITING) and "purchaseorder" in sql
    ]
    assert written == []
    compared = [sql for sql in statements if "content_hash" in sql]
    assert len(compared) == len(asked)


def test_a_hash_that_was_made_another_way_is_no_change(crowd: Line) -> None:
    """As by an earlier version, or when the platform says the same in other words."""
    import_now(crowd)
    orders = PurchaseOrder.objects.order_by("pk")
    as_they_were = list(orders.values_list("content_hash", "changed_at"))
    orders.update(content_hash="of another version")
    OrderReading.objects.update(all_read_at=None)
    touch(remote(crowd, "240"), notes="other")
    assert import_now(crowd).counts == {"orders_changed": 1}
    told = Activity.objects.exclude(event="order_imported")
    assert list(told.values_list("order__reference", flat=True)) == ["240"]
    now = list(orders.values_list("content_hash", "changed_at"))
    differ = [
        before
        for before, after in zip(as_they_were, now, strict=True)
        if before != after
    ]
    assert len(differ) == 1


def test_known_orders_are_found_by_their_keys_before_the_statistics_know_any(
    crowd: Line,
) -> None:
    """orders.import: another index has all orders of the store read for each page."""
    import_now(crowd)
    neighbour = factories.store(crowd.store.merchant, ip_account="999")
    with database.cursor() as cursor:
        move = "UPDATE connections_purchaseorder SET store_id = %s"
        cursor.execute(move, [neighbour.pk])
        cursor.execute("ANALYZE connections_purchaseorder")
        cursor.execute(move, [crowd.store.pk])
        ids = [str(number) for number in range(100)]
        cursor.execute(f"EXPLAIN {storing.KNOWN}", [ids, crowd.store.pk])
        plan = "\n".join(row for (row,) in cursor.fetchall())
    assert "connections_purchaseorder_once" in plan, plan
    assert re.search(r"Index Cond: .*external_id.* = wanted.id", plan), plan


@pytest.mark.parametrize("change", [False, True])
def test_a_page_costs_as_many_queries_with_one_order_as_with_many(
    line: Line, change: bool
) -> None:
    """A fixed number, for new orders and for changed ones."""
    set_up(line)
    counts = []
    for number in (1, 40):
        orders = [
            seed.order(ACCOUNT, f"{number}-{n}", "DRAFT", [(1, 5, 0)])
            for n in range(number)
        ]
        line.sandbox.ip.accounts[ACCOUNT].orders[:] = orders
        set_up(line, import_status_filter="DRAFT")
        # A status asked for by name may go to the warehouse: not in this test.
        factories.change_store(line.store, import_status_filter="")
        if change:
            import_now(line)
            for doc in orders:
                touch(doc, notes="other")
        with CaptureQueriesContext(database) as found:
            import_now(line)
        counts.append(len(found))
        PurchaseOrder.objects.all().delete()
        OrderReading.objects.all().delete()
    assert counts[0] == counts[1]


def test_the_mark_moves_only_after_a_reading_that_came_to_its_end(crowd: Line) -> None:
    """I9; what was stored before the failure stays, and is gone on from."""
    at_request(crowd.sandbox, "GET", "purchase-orders", fail(503), nth=3)
    run = run_now(crowd.orders, "orders_import")
    assert run.state == "queued"
    assert PurchaseOrder.objects.count() == 200
    mark = OrderReading.objects.get()
    assert (mark.read_at, mark.next_page) == (None, 2)
    lists(crowd)
    execute.execute(due(run).pk, WORK)
    assert pages(crowd) == [1, 2]  # the page before counts again
    assert PurchaseOrder.objects.count() == 250
    mark.refresh_from_db()
    assert mark.read_at is not None
    assert mark.read_at == mark.all_read_at


def test_reading_ends_with_a_page_that_is_older_than_the_overlap(crowd: Line) -> None:
    """§3.5: newest change first; one page when nothing has changed."""
    import_now(crowd)
    assert pages(crowd) == [0, 1, 2]
    import_now(crowd)
    assert pages(crowd) == [0]
    touch(remote(crowd, "249"), notes="urgent")
    assert import_now(crowd).counts == {"orders_changed": 1}
    assert pages(crowd) == [0, 1]


def test_once_a_day_everything_is_read_again(crowd: Line) -> None:
    """§3.5: what slipped through whatever hole is healed."""
    import_now(crowd)
    PurchaseOrder.objects.get(reference="240").delete()
    import_now(crowd)
    assert PurchaseOrder.objects.count() == 249
    OrderReading.objects.update(all_read_at=Now() - timedelta(hours=24))
    lists(crowd)
    import_now(crowd)
    assert pages(crowd) == [0, 1, 2]
    assert PurchaseOrder.objects.count() == 250


def test_what_is_deleted_while_all_is_read_comes_back_at_the_next_import(
    crowd: Line,
) -> None:
    """dropstream.md §6: its page was read already when it went."""
    import_now(crowd)

    def delete_meanwhile(_request: Request) -> Response | None:
        actions.delete(PurchaseOrder.objects.get(reference="150"), crowd.person)
        database.close()  # this thread's own
        return None

    OrderReading.objects.update(all_read_at=None)
    at_request(crowd.sandbox, "GET", "purchase-orders", delete_meanwhile, nth=3)
    import_now(crowd)
    assert not PurchaseOrder.objects.filter(reference="150").exists()
    import_now(crowd)
    assert PurchaseOrder.objects.filter(reference="150").exists()


def test_pages_in_another_order_are_all_read(crowd: Line) -> None:
    """§3.5: the mark helps only where the API sorts as it was asked to."""
    import_now(crowd)
    orders = crowd.sandbox.ip.accounts[ACCOUNT].orders
    orders.reverse()

    def unsorted(request: Request) -> Response | None:
        kept = tuple((k, v) for k, v in request.query if not k.endswith("_sort"))
        plain = Request(request.method, request.path, kept, request.headers)
        return crowd.sandbox.ip.normal_answer(plain)

    crowd.sandbox.ip.answers.append(unsorted)
    lists(crowd)
    touch(remote(crowd, "0"), notes="urgent")
    assert import_now(crowd).counts == {"orders_changed": 1}
    assert pages(crowd) == [0, 1, 2]


def test_the_filter_is_sent_and_another_one_begins_anew(crowd: Line) -> None:
    """§3.5: a changed filter, account or kind knows of no mark."""
    import_now(crowd)
    asked = lists(crowd)
    assert {one["status_eqi"] for one in asked} == {"ordered"}
    factories.change_store(crowd.store, import_status_filter="Ordered ")
    import_now(crowd)
    assert pages(crowd) == [0]  # the same in other letters
    factories.change_store(crowd.store, import_status_filter="")
    import_now(crowd)
    assert pages(crowd, filtered=False) == [0, 1, 2]


def test_orders_that_move_up_while_others_leave_are_gone_back_for(crowd: Line) -> None:
    """I8: ten orders leave the filter between two pages."""
    orders = crowd.sandbox.ip.accounts[ACCOUNT].orders

    def leave(_request: Request) -> None:
        for doc in orders[:10]:
            doc["status"] = "SHIPPED"

    at_request(crowd.sandbox, "GET", "purchase-orders", leave, nth=2)
    import_now(crowd)
    assert pages(crowd) == [0, 1, 0, 1, 2]
    assert PurchaseOrder.objects.count() == 250


def test_transfers_and_assembly_orders_are_imported_when_asked_for(line: Line) -> None:
    """§3.5: left out by default."""
    set_up(line, import_status_filter="")
    import_now(line)
    assert not PurchaseOrder.objects.filter(reference__in=["T-17", "A-9"]).exists()
    factories.change_store(line.store, other_kinds="imported")
    import_now(line)
    kinds = PurchaseOrder.objects.filter(reference__in=["T-17", "A-9"])
    assert kinds.count() == 2


def test_an_unreadable_order_is_a_row_and_an_alert_until_it_is_mended(
    line: Line,
) -> None:
    """I14: found, counted, told; the rest goes on."""
    set_up(line)
    doc = remote(line, "1043")
    items = doc["items"]
    touch(doc, items={"not": "a list"})
    assert import_now(line).counts["orders_unreadable"] == 1
    row = PurchaseOrder.objects.get(reference="1043")
    assert (row.status, row.held) == ("error", "unreadable")
    assert row.error == "items is not a list"
    assert row.document["items"] == {"not": "a list"}
    assert Activity.objects.filter(event="order_unreadable", order=row).count() == 1
    assert import_now(line).counts == {"orders_unreadable": 1}  # no second note
    alert = Alert.objects.open().get()
    assert (alert.code, alert.count, alert.detail) == ("orders_unreadable", 1, "1043")
    touch(doc, items=items)
    import_now(line)
    row.refresh_from_db()
    assert (row.status, row.held, row.error) == ("open", "", "")
    assert row.lines.count() == 2
    assert not Alert.objects.open().exists()


@pytest.mark.parametrize("mended_by", ["import", "person"])
def test_what_came_while_an_order_could_not_be_read_counts_once_it_can(
    line: Line, mended_by: str
) -> None:
    """It is not sent: the warehouse has it. A receipt of it may even have come first."""
    set_up(line)
    doc = remote(line, "1043")
    items = doc["items"]
    tell = "receipt_id,po_id,sku,quantity\n{name},{id},{sku},{quantity:.0f}\n"
    for name, item in zip(("R-1", "R-2"), items, strict=True):
        facts = {"id": doc["id"], "sku": item["sku"], "quantity": item["replenishment"]}
        line.report(f"rcp_{name}.csv", tell.format(name=name, **facts))
        if name == "R-1":
            run_now(line.orders, "orders_status")
            touch(doc, items={"not": "a list"})
            import_now(line)
    run_now(line.orders, "orders_status")
    row = PurchaseOrder.objects.get(reference="1043")
    assert (row.status, row.held) == ("error", "unreadable")
    touch(doc, items=items)
    if mended_by == "import":
        import_now(line)
    else:  # a later version can read what came
        PurchaseOrder.objects.filter(pk=row.pk).update(document=doc)
        assert actions.each(actions.reprocess, [row], line.person).changed == 1
    row.refresh_from_db()
    assert (row.status, row.held) == ("received", "")
    assert not row.tombstones().exists()
    run_now(line.orders, "orders_status")
    assert doc["status"] == "CLOSED"


@pytest.mark.parametrize(
    ("odd", "name"),
    [
        (None, "~74234e98afe7498fb5daf1f36ac2d78acc339464"),
        ("text", "~1e1d0f251d3a76fa2b1bfc811640785726234038"),
        ({"reference": "X-1"}, "~3d9d0d86a100e8d1d221e87193ecf33796ce6471"),
        ({"id": "../x"}, "~4e3c42ffa3dfe3b03765b1062b78297b9f2c6c13"),
    ],
)
def test_an_order_without_an_id_is_set_aside_once(
    line: Line, odd: Any, name: str
) -> None:
    """I14: whatever stands in the list. One that is here keeps its name for good."""
    set_up(line, import_status_filter="")

    def odd_one(request: Request) -> Response | None:
        if not request.path.endswith("purchase-orders"):
            return None
        answer = line.sandbox.ip.normal_answer(request)
        body = answer.body.replace(b'"purchase-orders": [', _first(odd), 1)
        return Response(200, body)

    line.sandbox.ip.answers.append(odd_one)
    for _ in range(2):
        assert import_now(line).counts["orders_unreadable"] == 1
    assert PurchaseOrder.objects.get(held="unreadable").external_id == name


def _first(odd: Any) -> bytes:
    return b'"purchase-orders": [' + json.dumps(odd).encode() + b","


def test_two_lines_of_one_id_are_two_lines(line: Line) -> None:
    """§2.8: such an order stops no other; the write-back leaves it to people."""
    set_up(line)
    doc = remote(line, "1042")
    doc["items"].append({**doc["items"][0], "replenishment": 7})
    import_now(line)
    order = PurchaseOrder.objects.get(reference="1042")
    quantities = order.lines.values_list("quantity", flat=True)
    assert list(quantities) == [40, 25, 60, 7]


def test_an_order_cancelled_there_before_the_hand_over_is_not_sent(crowd: Line) -> None:
    """§3.5: it left the filter, and is not deleted."""
    import_now(crowd)
    touch(remote(crowd, "7"), status="Canceled")
    import_now(crowd)
    order = PurchaseOrder.objects.get(reference="7")
    assert (order.status, order.held, order.remote_status) == (
        *("canceled", ""),
        "Canceled",
    )


def test_an_order_cancelled_there_after_the_hand_over_says_so(line: Line) -> None:
    set_up(line)
    import_now(line)
    touch(remote(line, "1042"), status="CANCELLED")
    import_now(line)
    order = PurchaseOrder.objects.get(reference="1042")
    assert order.status == "canceled"
    assert HandOver.objects.filter(external_id=order.external_id).count() == 1
    alert = Alert.objects.open().get()
    assert (alert.code, alert.detail) == ("order_differs", "1042")


def test_an_order_that_left_the_filter_is_kept_with_its_new_status(line: Line) -> None:
    """dropstream.md §7: changing hands there removes nothing here."""
    set_up(line)
    import_now(line)
    touch(remote(line, "1043"), status="SHIPPED")
    import_now(line)
    order = PurchaseOrder.objects.get(reference="1043")
    assert (order.status, order.remote_status) == ("open", "SHIPPED")
    told = Activity.objects.filter(order=order, event="order_changed_after")
    assert told.get().facts["status"] == "SHIPPED"


def test_a_change_between_the_two_lists_is_taken_over(crowd: Line) -> None:
    """§3.5: the second list tells it first, though the order matches as before."""
    import_now(crowd)
    [first, *_] = crowd.sandbox.ip.accounts[ACCOUNT].orders
    asked: dict[str, str] = {}

    def change(request: Request) -> None:
        asked.update(request.query)
        touch(first, vendor_display_name="Borealis")

    at_request(crowd.sandbox, "GET", "purchase-orders", change, nth=2)
    assert import_now(crowd).counts == {"orders_changed": 1}
    assert asked["page"] == "0"
    assert "status_eqi" not in asked
    order = PurchaseOrder.objects.get(external_id=first["id"])
    assert order.vendor == "Borealis"


def test_a_change_after_the_hand_over_is_shown_and_told_once(line: Line) -> None:
    """§3.5: recorded, and an alert that no later run closes."""
    set_up(line)
    import_now(line)
    doc = remote(line, "1042")
    doc["items"][0]["replenishment"] = 7
    del doc["items"][1]
    touch(doc, expected_date="2031-05-06")
    before = PurchaseOrder.objects.get(reference="1042").expected_on
    for _ in range(2):
        import_now(line)
    order = PurchaseOrder.objects.get(reference="1042")
    assert order.difference == [
        f"{before} → 2031-05-06",
        "SKU-00101: 40 → 7",
        "SKU-00102: 25 → 0",
    ]
    assert list(order.lines.values_list("quantity", flat=True)) == [40, 25, 60]
    assert Activity.objects.filter(event="order_differs").count() == 1
    alert = Alert.objects.open().get()
    assert (alert.code, alert.count) == ("order_differs", 1)


def test_a_change_of_an_order_that_was_edited_here_replaces_nothing(
    crowd: Line,
) -> None:
    """What a person typed is not lost; the change is shown beside it."""
    import_now(crowd)
    order = PurchaseOrder.objects.get(reference="7")
    first, second = order.lines.all()
    editing.edit(
        order,
        editing.Header("7", "Corrected", order.expected_on),
        {first.pk: editing.Line("MENDED", "", Decimal(3)), second.pk: None},
        by=crowd.person,
    )
    touch(remote(crowd, "7"), vendor_display_name="Another")
    import_now(crowd)
    order.refresh_from_db()
    assert (order.vendor, order.status) == ("Corrected", "new")
    assert list(order.lines.values_list("sku", "quantity")) == [("MENDED", Decimal(3))]
    assert Alert.objects.open().get(code="order_differs").detail == "7"


def test_our_own_writes_are_no_change_to_tell_of(line: Line) -> None:
    set_up(line)
    import_now(line)
    line.sandbox.warehouse.tick()
    line.sandbox.warehouse.tick()
    run_now(line.orders, "orders_status")
    assert len(writes(line)) == 6
    import_now(line)
    assert not Alert.objects.open().exists()
    order = PurchaseOrder.objects.get(reference="1042")
    assert (order.status, order.remote_status) == ("received", "CLOSED")
    assert not Activity.objects.filter(event__startswith="order_changed").exists()


def test_a_huge_account_is_read_in_turns(
    crowd: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    """I15: so many pages a turn; then other stores are served first."""
    monkeypatch.setattr(importing, "PAGES_A_TURN", 2)
    run = run_now(crowd.orders, "orders_import")
    assert (run.state, run.counts) == ("queued", {"orders_imported": 200})
    assert run.tries == 0
    assert run.due_at > run.created_at
    execute.execute(run.pk, WORK)
    run.refresh_from_db()
    assert (run.state, run.counts) == ("succeeded", {"orders_imported": 250})
    assert pages(crowd) == [0, 1, 1, 2]
    assert PurchaseOrder.objects.count() == 250


def test_what_left_the_filter_is_read_in_turns_as_well(
    crowd: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    """I9: after an outage the one that was cancelled may be behind hundreds of others."""
    import_now(crowd)
    for doc in crowd.sandbox.ip.accounts[ACCOUNT].orders:
        touch(doc, status="CANCELLED" if doc["reference"] == "249" else "SHIPPED")
    lists(crowd)
    monkeypatch.setattr(importing, "PAGES_A_TURN", 2)
    run = run_now(crowd.orders, "orders_import")
    assert run.state == "queued"
    execute.execute(due(run).pk, WORK)
    run.refresh_from_db()
    assert (run.state, run.error_code) == ("succeeded", "")
    assert pages(crowd, filtered=False) == [0, 1, 1, 2]
    assert PurchaseOrder.objects.get(reference="249").status == "canceled"
    assert not OrderReading.objects.filter(begun_at__isnull=False).exists()


@pytest.mark.parametrize("at", ["orders.storing", "orders.stored", "orders.marked"])
def test_a_worker_that_dies_in_a_huge_account_goes_on_where_it_was(
    crowd: Line, at: str
) -> None:
    """I15, D2: resumable by page; nothing twice, nothing left out."""
    run = enqueue(crowd.orders, "orders_import")
    assert work_and_die(run, at=at, nth=1 if at == "orders.marked" else 2)
    lists(crowd)
    rise_again(run)
    assert run.state == "succeeded"
    assert pages(crowd)[0] == {"orders.storing": 0, "orders.stored": 1}.get(at, 0)
    assert PurchaseOrder.objects.count() == 250
    assert Activity.objects.filter(event="order_imported").count() == 250


def test_a_key_of_another_account_mixes_nothing(line: Line) -> None:
    """I16: both at once, as somebody pastes another merchant's credentials."""
    set_up(line)
    import_now(line)
    other = line.sandbox.facts["try"]
    set_up(line, api_key=other["api_key"], ip_account=other["account_id"])
    run = run_now(line.orders, "orders_import")
    assert (run.state, run.error_code) == ("needs_person", "other_account")
    assert PurchaseOrder.objects.count() == 3
    assert OrderReading.objects.get().read_at is None


def test_answers_of_another_account_are_refused_though_the_settings_stand(
    line: Line,
) -> None:
    """I16: the far side answers for somebody else; later for us again."""
    set_up(line)
    import_now(line)
    other = line.sandbox.facts["try"]

    def of_another(request: Request) -> Response:
        headers = {
            **request.headers,
            "account": other["account_id"],
            "authorization": other["api_key"],
        }
        asked = Request(
            request.method, request.path, request.query, headers, request.body
        )
        return line.sandbox.ip.normal_answer(asked)

    line.sandbox.ip.answers.append(of_another)
    run = run_now(line.orders, "orders_import")
    assert (run.state, run.error_code) == ("needs_person", "other_account")
    line.sandbox.warehouse.tick()
    line.sandbox.warehouse.tick()
    run = run_now(line.orders, "orders_status")
    assert run.error_code == "other_account"
    assert not PurchaseOrder.objects.exclude(write_refused="").exists()
    line.sandbox.ip.answers.clear()
    import_now(line)
    assert run_now(line.orders, "orders_status").state == "succeeded"
    assert PurchaseOrder.objects.count() == 3
    assert remote(line, "1042")["status"] == "CLOSED"


def test_orders_that_were_deleted_there_are_no_other_account(crowd: Line) -> None:
    """I16: the newest are all gone, but an old one, which left the filter, is there."""
    import_now(crowd)
    oldest = PurchaseOrder.objects.order_by("imported_at", "pk")[0]
    kept = remote(crowd, oldest.reference)
    kept["status"] = "CLOSED"
    new = seed.order(ACCOUNT, "NEW", "ORDERED", [(1, 5, 0)])
    crowd.sandbox.ip.accounts[ACCOUNT].orders[:] = [kept, new]
    import_now(crowd)
    assert PurchaseOrder.objects.filter(reference="NEW").count() == 1


def test_a_new_key_of_the_same_account_goes_on(line: Line) -> None:
    """I16: replaced as people do now and then; the letter changes no account."""
    set_up(line)
    import_now(line)
    line.sandbox.ip.accounts[ACCOUNT].key = "another" * 8
    set_up(line, api_key="another" * 8, ip_account=f"a{ACCOUNT}")
    lists(line)
    import_now(line)
    assert len(lists(line)) == 2  # from the mark on, and what left the filter
