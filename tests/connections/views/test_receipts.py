"""Purchase Orders → Receipts: searched, narrowed and cut into pages."""

from __future__ import annotations

from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from django.db import connection as database
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from connections.models import Connection, PurchaseOrder, Receipt
from connections.orders import actions, receipt_actions, receipts
from connections.views import paging
from connections.views import receipts as views
from stores.models import User
from tests import factories
from tests.connections.orders.test_flow import set_up
from tests.connections.views.test_inventory import client_of, shown, walk
from tests.connections.views.test_order_list import line, order
from tests.engine import run_now
from tests.factories import Cast, Line

LIST = "connections:receipt_list"


def receipt(of: Connection, name: str, *skus: str, **facts: Any) -> Receipt:
    """A receipt of one each, as it is stored."""
    told_of = facts.get("order")
    made = Receipt.objects.create(
        **{
            "account": of.account,
            "warehouse": of.warehouse,
            "external_id": name,
            "file_name": f"rcp_{name}.csv",
            "po_number": str(told_of) if told_of else "",
            "state": "completed",
            **facts,
        }
    )
    for sku in skus:
        made.lines.create(warehouse=of.warehouse, sku=sku, quantity=1)
    return made


def names(person: User, **query: str) -> list[str]:
    """The receipts of the first page."""
    return [row[0] for row in shown(person, LIST, **query)]


def page(name: str, public_id: UUID, person: User) -> str:
    """The page of an order or a receipt."""
    url = reverse(f"connections:{name}", args=[public_id])
    return client_of(person).get(url).content.decode()


def test_a_search_finds_po_numbers_then_receipts_then_files_then_skus(
    cast: Cast,
) -> None:
    """Each receipt once; the newest first where the same matched."""
    of = line(cast.merchant)
    receipt(of, "R-1", "TEA-1", "TEA-2", file_name="x.csv")
    receipt(of, "TEA-9", "TEA-1")
    receipt(of, "R-2", "TEA-1", order=order(of, "TEA-5"))
    receipt(of, "R-3", "TEA-2", file_name="TEA.csv")
    receipt(of, "R-4", po_number="TEA-5")  # of an order that nobody knows
    receipt(of, "R-5", "tea")
    assert names(cast.staff, q="TEA") == ["R-4", "R-2", "TEA-9", "R-3", "R-1"]
    assert names(cast.staff, q="TEA-1") == ["R-2", "TEA-9", "R-1"]
    assert names(cast.staff, q="rcp_R-2") == ["R-2"]
    assert names(cast.staff, q="T%") == names(cast.staff, q="EA") == []
    assert names(cast.staff, q="TEA", state="error") == []
    said = client_of(cast.staff).get(reverse(LIST), {"q": "nothing"}).content.decode()
    assert "Nothing found" in said
    assert "Show all" in said


def test_each_person_finds_their_own_receipts_alone(cast: Cast) -> None:
    """T1."""
    for of in (
        line(cast.merchant),
        line(cast.other_merchant),
        line(factories.merchant(cast.other)),
    ):
        receipt(of, f"R-{of.account.name}-{of.merchant.name}", "SKU")
    counts = {"staff": 2, "scoped_staff": 1, "merchant_user": 1, "stranger": 1}
    for who, count in counts.items():
        for query in ({}, {"q": "R-"}, {"q": "SKU"}, {"q": "rcp_"}):
            assert len(names(getattr(cast, who), **query)) == count, (who, query)


@pytest.mark.parametrize("query", [{}, {"q": "P"}, {"state": "ready"}])
def test_pages_follow_each_other_without_gap_or_repetition(
    cast: Cast, query: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (views, paging):
        monkeypatch.setattr(module, "ROWS", 3)
    lines = [line(cast.merchant), line(cast.other_merchant)]
    made = []
    for n in range(14):
        of = lines[n % 2]
        facts: dict[str, Any] = {"state": "ready", "po_number": f"{'PX'[n % 3 == 0]}-1"}
        made.append(
            receipt(of, f"{'PX'[n % 4 == 0]}-{n}", "P-SKU", **facts).external_id
        )
    found = walk(cast.staff, LIST, **query)
    assert sorted(found) == sorted(made)


@pytest.mark.parametrize("query", [{}, {"q": "R-"}, {"q": "A"}])
def test_a_page_costs_the_same_queries_whatever_it_shows(
    cast: Cast, query: dict[str, str]
) -> None:
    of = line(cast.merchant)

    def queries() -> int:
        client = client_of(cast.staff)
        with CaptureQueriesContext(database) as found:
            client.get(reverse(LIST), query)
        return len(found)

    receipt(of, "R-0", "A", order=order(of, "P-0"))
    one = queries()
    more = line(cast.other_merchant)
    for n in range(1, 9):
        receipt(more, f"R-{n}", "A", "B", order=order(more, f"P-{n}"))
    assert queries() == one


def test_a_place_that_is_none_is_left_out(cast: Cast) -> None:
    receipt(line(cast.merchant), "R-1", "A")
    for after in ("x", "[]", '[0,"x"]', '["0","x","y"]'):
        for query in ({}, {"q": "R"}):
            assert names(cast.staff, after=after, **query) == ["R-1"], after


def test_what_the_warehouse_told_is_found(line: Line) -> None:
    """By all that a file says, whether its order is known or not; and after a delete."""
    set_up(line)
    run_now(line.orders, "orders_import")
    told = "receipt_id,po_number,sku,quantity\n"
    line.report("rcp_1.csv", f"{told}R-1,1042,SKU-00101,12\nR-2,7000,OTHER,1\n")
    run_now(line.orders, "orders_status")
    person = line.person
    for typed in ("1042", "R-1", "SKU-00101"):
        assert names(person, q=typed) == ["R-1"], typed
    for typed in ("7000", "R-2", "OTHER"):
        assert names(person, q=typed) == ["R-2"], typed
    assert names(person, q="rcp_1") == ["R-2", "R-1"]
    order = PurchaseOrder.objects.get(reference="1042")
    [file] = order.tombstones()
    actions.delete(order, person, force=True)
    assert names(person, q="1042") == ["R-1"]
    # Back again it says how it went out and what came of it.
    run_now(line.orders, "orders_import")
    order = PurchaseOrder.objects.get(reference="1042")
    said = page("order", order.public_id, person)
    assert file.file_name in said
    came, imported = said.index("Receipt R-1 for"), said.index("1042 imported.")
    assert came < imported  # the newest first


def test_a_receipt_in_error_says_what_ends_it(cast: Cast) -> None:
    """U11: an order that is not known, and a file that could not be read."""
    of = line(cast.merchant)
    orphan = receipt(of, "R-1", "A", state="error", error="No order 7.")
    assert "once the order is imported" in page("receipt", orphan.public_id, cast.staff)
    assert "Not on the order" not in page("receipt", orphan.public_id, cast.staff)
    refused = receipt(of, "rcp.csv", file_name="rcp.csv", state="error", error="bad")
    said = page("receipt", refused.public_id, cast.staff)
    assert "Ask the warehouse to correct it" in said


def test_what_was_entered_by_hand_says_who_and_when(cast: Cast) -> None:
    """The form's token, which makes it count once, is no name for people."""
    made = order(line(cast.merchant), "P-1", "A", status="open")
    [one] = made.lines.all()
    receipts.enter(made, {one.pk: Decimal(4)}, token="f0e1d2", by=cast.staff)
    [name] = names(cast.staff, q="P-1")
    assert name.startswith(f"Entered by hand by {cast.staff}, ")
    assert names(cast.staff, q="A") == [name]
    Receipt.objects.update(entered_by="")  # by the version before
    assert names(cast.staff)[0].startswith("Entered by hand, ")


def test_merchants_read_what_was_done_and_not_who_did_it(cast: Cast) -> None:
    made = order(line(cast.merchant), "P-1", "A", status="open")
    [one] = made.lines.all()
    receipts.enter(made, {one.pk: Decimal(4)}, token="1", by=cast.staff)
    entered = made.receipts.get()
    receipt_actions.each(receipt_actions.archive, [entered], cast.staff)
    for reader in (cast.staff, cast.merchant_user):
        read = [
            page("order", made.public_id, reader),
            page("receipt", entered.public_id, reader),
            " ".join(names(reader)),
        ]
        assert [str(cast.staff) in text for text in read] == [reader == cast.staff] * 3
        assert "A receipt was entered by hand." in read[0]
        assert "it does not count on its order any more" in read[1]
