"""A store's listings: found, added, changed, ended; bundles; nothing typed is lost."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from html import unescape
from typing import Any

import pytest
from django.db import connection as database
from django.db import connections as databases
from django.db import transaction
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from connections.models import Component, Connection, Listing
from connections.stock import listings
from connections.stock.listings import Row
from connections.views import paging
from stores.models import AuditEvent, Store, User
from tests.connections.views.test_inventory import (
    client_of,
    line,
    listing,
    report,
    table,
)
from tests.factories import Cast
from tests.lab.locks import wait_for_waiting


@pytest.fixture
def of(cast: Cast) -> Connection:
    return line(cast.merchant)


def url_of(name: str, row: Any) -> str:
    return reverse(f"connections:{name}", args=[row.public_id])


def typed(*parts: tuple[str, str], **values: str) -> dict[str, str]:
    """A filled form: its fields, and a line for each component."""
    sent = {"component-TOTAL_FORMS": str(len(parts)), "component-INITIAL_FORMS": "0"}
    for n, (sku, quantity) in enumerate(parts):
        sent |= {f"component-{n}-sku": sku, f"component-{n}-quantity": quantity}
    return sent | values


def post(person: User, url: str, sent: dict[str, str]) -> str:
    """What is said after a form was sent, on whatever page that leads to."""
    response = client_of(person).post(url, sent, follow=True)
    assert response.status_code == 200
    return unescape(response.content.decode())


def add(cast: Cast, store: Store, *parts: tuple[str, str], **values: str) -> str:
    return post(cast.staff, url_of("listing_add", store), typed(*parts, **values))


def live(store: Store) -> dict[str, tuple[str, str]]:
    rows = Listing.objects.live().filter(store=store)
    return {row.variant_id: (row.sku, row.channel_sku) for row in rows}


def test_blanks_stand_for_the_id_before(cast: Cast, of: Connection) -> None:
    add(cast, of.store, sku="A")
    add(cast, of.store, sku="B", channel_sku="SHOP-B")
    add(cast, of.store, sku=" C ", channel_sku="SHOP-C", variant_id="44")
    assert live(of.store) == {
        "A": ("A", "A"),
        "SHOP-B": ("B", "SHOP-B"),
        "44": ("C", "SHOP-C"),
    }


def test_a_bundle_is_added_with_its_components(cast: Cast, of: Connection) -> None:
    said = add(cast, of.store, ("BIKE", "1"), ("", ""), ("BATTERY", "2.5"), sku="KIT")
    assert "“KIT” was saved." in said
    parts = Component.objects.filter(listing__store=of.store)
    assert [str(part) for part in parts] == ["2.5 × BATTERY", "1 × BIKE"]
    assert "Bundle: 2.5 × BATTERY, 1 × BIKE" in table(said)[0][1]


def test_what_is_wrong_is_said_at_its_field_and_nothing_typed_is_lost(
    cast: Cast, of: Connection
) -> None:
    html = add(
        cast,
        of.store,
        ("ONE", "0"),
        ("TWO", ""),
        ("", "3"),
        ("FOUR", "1"),
        ("FOUR", "2"),
        sku="",
        channel_sku="SHOP",
        title="A\u2028B",
    )
    for reason in (
        "Enter the warehouse SKU.",
        "Enter a quantity above zero.",
        "Enter how many make one bundle.",
        "Enter the component's SKU.",
        "This component stands above already.",
        "Take out the line break or the invisible character.",
    ):
        # In the summary, and at the field.
        assert html.count(reason) == 2, reason
    for value in ("SHOP", "ONE", "TWO", "FOUR"):
        assert f'value="{value}"' in html
    assert "<title>Error:" in html
    assert not Listing.objects.exists()


def test_more_lines_keep_what_was_typed_and_judge_nothing(
    cast: Cast, of: Connection
) -> None:
    sent = typed(("BIKE", "x"), ("", ""), sku="", channel_sku="S") | {"more": "1"}
    html = post(cast.staff, url_of("listing_add", of.store), sent)
    assert 'value="S"' in html
    assert 'value="BIKE"' in html
    assert 'value="x"' in html
    assert "Enter the" not in html
    assert 'name="component-3-sku"' in html
    assert not Listing.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_of_two_who_add_an_id_at_once_one_is_refused_and_loses_nothing(
    cast: Cast,
) -> None:
    store = line(cast.merchant).store

    def add_as(sku: str) -> str:
        try:
            return add(cast, store, sku=sku, variant_id="V", title=f"Typed {sku}")
        finally:
            databases.close_all()

    with ThreadPoolExecutor(2) as people:
        with transaction.atomic():
            # Both have sent their form before either is let on.
            Store.objects.select_for_update().get(pk=store.pk)
            pages = [people.submit(add_as, sku) for sku in ("A", "B")]
            wait_for_waiting(2)
        texts = [page.result(30) for page in pages]
    [(first, _channel_sku)] = live(store).values()
    second = {"A": "B", "B": "A"}[first]
    refused = texts[second == "B"]
    assert f"The listing of SKU {first} has the id V already." in refused
    for value in (second, "V", f"Typed {second}"):
        assert f'value="{value}"' in refused


def test_an_id_that_is_taken_is_refused_with_who_has_it(
    cast: Cast, of: Connection
) -> None:
    listing(of, "A", "V")
    listing(of, "B", "W")
    reason = "The listing of SKU A has the id V already."
    assert reason in add(cast, of.store, sku="C", variant_id="V")
    other = Listing.objects.get(variant_id="W")
    sent = typed(sku="B", variant_id="V")
    assert reason in post(cast.staff, url_of("listing", other), sent)
    assert live(of.store) == {"V": ("A", "V"), "W": ("B", "W")}


def test_an_id_that_is_a_reported_sku_is_refused_with_what_to_do(
    cast: Cast, of: Connection
) -> None:
    report(of.warehouse, "A@=1", "B@=1")
    html = add(cast, of.store, sku="A", variant_id="B")
    assert "Variant id B is a SKU that the warehouse reports" in html
    assert 'value="B"' in html
    assert not Listing.objects.exists()


def test_a_listing_is_changed_and_another_id_ends_the_old_one(
    cast: Cast, of: Connection
) -> None:
    listing(of, "A", "V", channel_sku="SHOP-A", title="Tea towel")
    row = Listing.objects.get()
    shown = client_of(cast.staff).get(url_of("listing", row)).content.decode()
    for value in ("A", "SHOP-A", "V", "Tea towel"):
        assert f'value="{value}"' in shown
    post(
        cast.staff,
        url_of("listing", row),
        typed(sku="A", channel_sku="SHOP-A", variant_id="NEW", title="Towel"),
    )
    assert live(of.store) == {"NEW": ("A", "SHOP-A")}
    row.refresh_from_db()
    assert row.retired_at is not None
    event = AuditEvent.objects.latest("pk")
    assert (event.action, event.actor) == ("listings.changed", "sam@acme.example")
    assert event.before == {"V": "A"}


def test_saving_the_same_again_changes_nothing(cast: Cast, of: Connection) -> None:
    add(cast, of.store, ("B", "2"), sku="A")
    events = AuditEvent.objects.count()
    row = Listing.objects.get()
    html = client_of(cast.staff).get(url_of("listing", row)).content.decode()
    fields = re.findall(r'<input[^>]* name="([\w-]+)"[^>]*>', html)
    sent = {}
    for name in fields:
        tag = re.search(rf'<input[^>]* name="{name}"[^>]*>', html)
        assert tag is not None
        value = re.search(r' value="([^"]*)"', tag[0])
        sent[name] = value[1] if value else ""
    said = post(cast.staff, url_of("listing", row), sent)
    assert "Nothing was changed." in said
    assert AuditEvent.objects.count() == events


def test_ending_a_listing_twice_is_ending_it_once(cast: Cast, of: Connection) -> None:
    listing(of, "A", "V")
    row = Listing.objects.get()
    for _click in range(2):
        assert "has ended" in post(cast.staff, url_of("listing_end", row), {})
    assert live(of.store) == {}
    assert AuditEvent.objects.filter(action="listings.changed").count() == 2
    # Its page leads back to those that are left.
    response = client_of(cast.staff).get(url_of("listing", row))
    assert response.headers["Location"] == url_of("listing_list", of.store)


def test_a_listing_that_may_not_end_says_why(cast: Cast, of: Connection) -> None:
    """Its SKU would be sent under an id that another listing has."""
    report(of.warehouse, "A@=1", "B@=1")
    listings.change(of.store, [Row(1, "A", "B", "A"), Row(2, "V", "A", "V")], by=None)
    row = Listing.objects.get(variant_id="V")
    said = post(cast.staff, url_of("listing_end", row), {})
    assert "the listing of SKU B has that variant id. Change that one first." in said
    assert set(live(of.store)) == {"A", "V"}


def test_listings_are_found_by_each_id_and_paged(
    cast: Cast, of: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("connections.views.listings.ROWS", 3)
    monkeypatch.setattr(paging, "ROWS", 3)
    rows = [Row(n, f"v{n}", f"A{n}", f"S{n:02}") for n in range(10)]
    rows += [Row(90, "S-variant", "A90", "Z"), Row(91, "v91", "S-sku", "Y")]
    listings.change(of.store, rows, by=None)
    client, url = client_of(cast.staff), url_of("listing_list", of.store)
    for search, expected in {
        "": [*(f"S{n:02}" for n in range(10)), "Y", "Z"],
        # By listing SKU first, then by SKU, then by variant id.
        "S": [*(f"S{n:02}" for n in range(10)), "Y", "Z"],
        "A9": ["S09", "Z"],
        "v9": ["S09", "Y"],
        "x": [],
    }.items():
        found: list[str] = []
        following: str | None = f"{url}?q={search}"
        while following:
            html = client.get(following).content.decode()
            found += [row[0] for row in table(html)]
            more = re.search(r'href="(\?[^"]*after=[^"]+)">Next page', html)
            following = url + unescape(more[1]) if more else None
        assert found == expected, search


def test_a_page_of_listings_costs_the_same_queries(cast: Cast, of: Connection) -> None:
    def queries() -> int:
        client = client_of(cast.staff)
        with CaptureQueriesContext(database) as found:
            client.get(url_of("listing_list", of.store))
        return len(found)

    listing(of, "A", "A")
    one = queries()
    rows = [
        Row(n, f"K{n}", f"K{n}", f"K{n}", component=sku, quantity=Decimal(2))
        for n in range(30)
        for sku in ("X", "Y")
    ]
    listings.change(of.store, rows, by=None)
    assert queries() == one


def test_an_empty_list_says_when_listings_are_needed(
    cast: Cast, of: Connection
) -> None:
    client = client_of(cast.staff)
    html = client.get(url_of("listing_list", of.store)).content.decode()
    assert "None are needed where the store" in html
    assert "Export CSV" not in html
    store = client.get(url_of("store", of.store)).content.decode()
    assert url_of("listing_list", of.store) in store
    mine = client_of(cast.merchant_user).get(url_of("store", of.store))
    assert url_of("listing_list", of.store) not in mine.content.decode()


@pytest.mark.parametrize("who", ["merchant_user", "scoped_staff", "stranger"])
def test_people_change_listings_of_their_own_merchants_alone(
    cast: Cast, of: Connection, who: str
) -> None:
    """T1, T5: a merchant's own people read inventory, and change none of it."""
    other = line(cast.other_merchant)
    listing(other, "A", "V")
    client = client_of(getattr(cast, who))
    urls = [
        url_of("listing_list", other.store),
        url_of("listing", Listing.objects.get()),
    ]
    assert [client.get(url).status_code for url in urls] == [404, 404]
    mine = client.get(url_of("listing_list", of.store)).status_code
    assert mine == {"merchant_user": 403, "scoped_staff": 200, "stranger": 404}[who]
