"""Purchase Orders → Purchases: who sees what, searched, filtered and cut into pages."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.urls import reverse
from django.utils import timezone

from connections.models import Connection, PurchaseOrder
from connections.views import order_list, paging
from stores.models import Merchant, User
from tests import factories
from tests.connections.orders.test_flow import set_up
from tests.connections.views.test_inventory import client_of, shown, walk
from tests.engine import run_now
from tests.factories import Cast, Line

LIST = "connections:order_list"
_numbers = itertools.count(1)


def line(of: Merchant, *, code: str = "WH1") -> Connection:
    return factories.connection(
        factories.store(of), factories.warehouse(of, code=code), on=False
    )


def order(of: Connection, reference: str, *skus: str, **facts: Any) -> PurchaseOrder:
    """An order of a line for each SKU, ten of each."""
    imported_at = facts.pop("imported_at", None)
    made = PurchaseOrder.objects.create(
        **{
            "account": of.account,
            "store": of.store,
            "connection": of,
            "external_id": f"order-{next(_numbers)}",
            "reference": reference,
            "document": {},
            "changed_at": timezone.now(),
            **facts,
        }
    )
    for number, sku in enumerate(skus):
        made.lines.create(
            store=of.store, external_id=sku, line_id=str(number), sku=sku, quantity=10
        )
    if imported_at:
        PurchaseOrder.objects.filter(pk=made.pk).update(imported_at=imported_at)
    return made


def numbers(person: User, **query: str) -> list[str]:
    """The PO numbers of the first page."""
    return [row[0] for row in shown(person, LIST, **query)]


def test_an_order_says_what_it_is_and_how_far(cast: Cast) -> None:
    of = line(cast.merchant)
    made = order(of, "PO-1", "A", "B", vendor="Acme", expected_on="2026-12-24")
    made.lines.filter(sku="A").update(received=4)
    order(of, "PO-2", "A", held="no_route", connection=None)
    held, open_ = shown(cast.staff, LIST)
    assert open_[:6] == [
        *("PO-1", "Acme", "New", "4 / 20", "24 Dec 2026"),
        of.name,
    ]
    assert held[:6] == [
        *("PO-2", "–", "New Choose a warehouse", "0 / 10", "–"),
        of.store.name,
    ]


def test_each_person_sees_their_own_orders_alone(cast: Cast) -> None:
    """T1: on the page, by search, by filter, with another's ids."""
    mine, others = line(cast.merchant), line(cast.other_merchant)
    far = line(factories.merchant(cast.other))
    for of, name in ((mine, "P-MINE"), (others, "P-OTHER"), (far, "P-FAR")):
        order(of, name, "SKU")
    seen = {
        "administrator": {"P-MINE", "P-OTHER"},
        "staff": {"P-MINE", "P-OTHER"},
        "scoped_staff": {"P-MINE"},
        "merchant_user": {"P-MINE"},
        "stranger": {"P-FAR"},
    }
    for who, found in seen.items():
        person = getattr(cast, who)
        for query in ({}, {"q": "P-"}, {"q": "SKU"}, {"status": "new"}):
            assert set(numbers(person, **query)) == found, (who, query)
        for name, row in (("store", others.store), ("connection", others)):
            # What is out of sight is no filter at all.
            narrowed = {"P-OTHER"} if "P-OTHER" in found else found
            query = {name: str(row.public_id)}
            assert set(numbers(person, **query)) == narrowed, (who, name)


def test_a_search_finds_po_numbers_then_vendors_then_skus(cast: Cast) -> None:
    """Each order once; the newest first where the same matched."""
    of = line(cast.merchant)
    order(of, "X-1", "TEA-1", "TEA-2")
    order(of, "TEA-9", "TEA-1", vendor="Tea & Co")
    order(of, "TEA-10", "OTHER")
    order(of, "X-2", "TEA-2", vendor="tea traders")
    order(of, "X-3", "TEA-1", "APRON")
    order(of, "X-4", "TEAL"[:2])
    assert numbers(cast.staff, q="TEA") == ["TEA-10", "TEA-9", "X-2", "X-3", "X-1"]
    assert numbers(cast.staff, q="tea") == ["TEA-9", "X-2"]  # vendors, whatever case
    assert numbers(cast.staff, q="TEA-1") == ["TEA-10", "X-3", "TEA-9", "X-1"]
    assert numbers(cast.staff, q="T%") == numbers(cast.staff, q="EA") == []


def test_filters_narrow_the_list_and_a_search(cast: Cast) -> None:
    one, two = line(cast.merchant), line(cast.other_merchant, code="WH2")
    monday = datetime(2026, 11, 2, 12, tzinfo=UTC)
    order(one, "A-1", status="open", imported_at=monday)
    order(one, "A-2", held="sent_before", imported_at=monday + timedelta(days=1))
    order(two, "A-3", status="open", imported_at=monday + timedelta(days=2))
    order(two, "A-4", status="error", imported_at=monday + timedelta(days=3))
    cases = {
        "A-4 A-3 A-2 A-1": {},
        "A-3 A-1": {"status": "open"},
        "A-2": {"status": "held"},
        "A-2 A-1": {"store": str(one.store.public_id)},
        "A-4": {"connection": str(two.public_id), "status": "error"},
        "": {"connection": str(two.public_id), "store": str(one.store.public_id)},
        "A-3 A-2": {"since": "2026-11-03", "until": "2026-11-04"},
    }
    for found, query in cases.items():
        assert numbers(cast.staff, **query) == found.split(), query
        searched = sorted(numbers(cast.staff, q="A-", **query))
        assert searched == sorted(found.split()), query


@pytest.mark.parametrize("query", [{}, {"q": "P"}, {"status": "open"}])
def test_pages_follow_each_other_without_gap_or_repetition(
    cast: Cast, query: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two stores whose orders interleave, several of one moment, all fields matched."""
    for module in (order_list, paging):
        monkeypatch.setattr(module, "ROWS", 4)
    lines = [line(cast.merchant), line(cast.other_merchant)]
    at = timezone.now()
    made = [
        order(
            lines[n % 2],
            f"{'PX'[n % 3 == 0]}-{n % 4}-{n}",
            "P-SKU",
            vendor=f"{'pq'[n % 2]} vendor",
            status="open",
            imported_at=at - timedelta(minutes=n // 3),
        )
        for n in range(18)
    ]
    found = walk(cast.staff, LIST, **query)
    assert len(found) == 18
    assert set(found) == {one.reference for one in made}
    if "q" not in query:
        newest = PurchaseOrder.objects.order_by("-imported_at", "-pk")
        assert found == list(newest.values_list("reference", flat=True))


def test_an_order_that_went_meanwhile_leaves_no_gap(
    cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (order_list, paging):
        monkeypatch.setattr(module, "ROWS", 2)
    of = line(cast.merchant)
    made = [order(of, f"P-{n}") for n in range(5)]
    client, url = client_of(cast.staff), reverse(LIST)
    after = client.get(url).context["page"].next_after
    made[3].delete()  # the last one shown
    second = client.get(url, {"after": after}).context["rows"]
    assert [str(row.order) for row in second] == ["P-2", "P-1"]


def test_a_place_or_filter_that_is_none_is_left_out(cast: Cast) -> None:
    order(line(cast.merchant), "P-1", "A")
    none = "00000000-0000-0000-0000-000000000000"
    for after in ("x", "[]", '[0,"x"]', '["0","x","y"]'):
        for query in ({}, {"q": "P"}):
            assert numbers(cast.staff, after=after, **query) == ["P-1"], after
    for key in ("x", "2026-01-01", "2026-01-01T00:00:00"):  # no time of ours
        assert numbers(cast.staff, after=f'[0,"{key}","{none}"]') == ["P-1"], key
    for name, value in {
        "status": "nonsense",
        "store": "x",
        "connection": none,
        "since": "2026-02-31",
        "until": "9999-12-31",
    }.items():
        assert numbers(cast.staff, **{name: value}) == ["P-1"]


def test_what_is_not_there_is_said(cast: Cast) -> None:
    client = client_of(cast.staff)
    assert "No purchase orders yet" in client.get(reverse(LIST)).content.decode()
    page = client_of(cast.merchant_user).get(reverse(LIST)).content.decode()
    assert "once your 3PL has imported them" in page
    page = client.get(reverse(LIST), {"q": "nothing"}).content.decode()
    assert "Nothing found" in page


def test_what_was_imported_is_found_by_its_sku(line: Line) -> None:
    set_up(line)
    run_now(line.orders, "orders_import")
    assert numbers(line.person, q="SKU-00204") == ["1043"]
