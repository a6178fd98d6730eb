"""Inventory → Warehouse and → Channel: what each person finds there, and its files."""

from __future__ import annotations

import csv
import io
import re
from datetime import timedelta
from decimal import Decimal
from html import unescape
from typing import Any

import pytest
from django.db import connection as database
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from connections.models import Channel, Connection, Delivery
from connections.runs import switch
from connections.stock import listings, locations
from connections.stock.listings import Row
from connections.views import paging
from stores.models import AuditEvent, Merchant, User, Warehouse
from tests import engine, factories
from tests.factories import Cast

WAREHOUSE, CHANNEL = "connections:inventory_warehouse", "connections:inventory_channel"


def line(of: Merchant, *, code: str = "WH1", on: bool = True) -> Connection:
    """A connection whose store has all that it needs."""
    store = factories.store(of, sftp_endpoint="drop.example.com")
    return factories.connection(store, factories.warehouse(of, code=code), on=on)


def report(to: Warehouse, *rows: str) -> None:
    """`SKU@FACILITY=available`, as a person uploads it."""
    lines = [text.replace("@", ",").replace("=", ",") for text in rows]
    engine.report(to, "\n".join(["sku,facility,available", *lines]))


def listing(of: Connection, sku: str, variant: str, **more: Any) -> None:
    row = Row(line=2, variant_id=variant, sku=sku, **({"channel_sku": variant} | more))
    listings.change(of.store, [row], by=None)


def delivered(of: Connection, name: str, bound: int) -> Delivery:
    """A stock file that reached the platform."""
    channel = of.channels.get(type=Channel.Type.INVENTORY)
    made = Delivery.objects.create(
        account=of.account,
        connection=of,
        channel=channel,
        store=of.store,
        entity=Delivery.Entity.STOCK,
        name=name,
        rows=1,
        size=1,
        sha256="0" * 64,
        upper_bound=bound,
        state=Delivery.State.DELIVERED,
        delivered_at=timezone.now(),
    )
    Channel.objects.filter(pk=channel.pk).update(sent_through=bound)
    return made


def client_of(person: User) -> Client:
    client = Client()
    client.force_login(person, "django.contrib.auth.backends.ModelBackend")
    return client


def table(html: str) -> list[list[str]]:
    """The texts of a page's rows, without their boxes."""
    body = html.partition("<tbody>")[2].partition("</tbody>")[0]
    rows = re.findall(r"<tr>(.*?)</tr>", body, re.S)
    return [
        [
            " ".join(unescape(re.sub(r"<[^>]+>", " ", cell)).split())
            for cell in re.findall(
                r'<t[hd](?! class="ds-choose")[^>]*>(.*?)</t[hd]>', row, re.S
            )
        ]
        for row in rows
    ]


def shown(person: User, view: str, **query: str) -> list[list[str]]:
    response = client_of(person).get(reverse(view), query)
    assert response.status_code == 200
    return table(response.content.decode())


def walk(person: User, view: str, **query: str) -> list[str]:
    """The first column of every page, as `Next page` leads through them."""
    client, found = client_of(person), []
    url = reverse(view)
    response = client.get(url, query)
    while True:
        html = response.content.decode()
        found += [row[0] for row in table(html)]
        following = re.search(r'href="(\?[^"]*after=[^"]+)">Next page', html)
        if following is None:
            return found
        response = client.get(url + following[1].replace("&amp;", "&"))
        assert response.status_code == 200


def file_of(person: User, view: str, **sent: str) -> list[list[str]]:
    response: Any = client_of(person).post(reverse(f"{view}_file"), sent)
    assert response.status_code == 200
    text = b"".join(response.streaming_content).decode("utf-8-sig")
    return list(csv.reader(io.StringIO(text, newline="")))


# --- Warehouse


def test_a_row_for_each_sku_and_facility(cast: Cast) -> None:
    of = line(cast.merchant)
    text = "sku,facility,available,on_hand,committed\nA,RENO,5,7,2\nA,DALLAS,-1.5,,\n"
    engine.report(of.warehouse, text)
    rows = shown(cast.staff, WAREHOUSE)
    assert [row[:7] for row in rows] == [
        ["A", "Blue Bottle Goods", "Main warehouse WH1", "DALLAS", "-1.5", "–", "–"],
        ["A", "Blue Bottle Goods", "Main warehouse WH1", "RENO", "5", "7", "2"],
    ]


def test_each_person_sees_their_own_stock_alone(cast: Cast) -> None:
    """T1: on the page, by filter, and in the file."""
    report(line(cast.merchant).warehouse, "MINE@=1")
    report(line(cast.other_merchant).warehouse, "OTHER@=1")
    report(line(factories.merchant(cast.other)).warehouse, "FAR@=1")
    seen = {
        "administrator": ["MINE", "OTHER"],
        "staff": ["MINE", "OTHER"],
        "scoped_staff": ["MINE"],
        "merchant_user": ["MINE"],
        "stranger": ["FAR"],
    }
    other = str(cast.other_merchant.public_id)
    for who, skus in seen.items():
        person = getattr(cast, who)
        for view in (WAREHOUSE, CHANNEL):
            assert [row[0] for row in shown(person, view)] == skus, who
            assert [row[0] for row in file_of(person, view)[1:]] == skus, who
            # A merchant out of sight is no filter at all.
            narrowed = ["OTHER"] if "OTHER" in skus else skus
            assert [r[0] for r in shown(person, view, merchant=other)] == narrowed, who


@pytest.mark.parametrize("view", [WAREHOUSE, CHANNEL])
def test_pages_follow_each_other_without_gap_or_repetition(
    cast: Cast, view: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two warehouses and stores whose SKUs interleave, several facilities, one page
    ending between the same SKU of both."""
    monkeypatch.setattr("connections.views.inventory.ROWS", 7)
    monkeypatch.setattr(paging, "ROWS", 7)
    skus = [f"S-{n:02}" for n in range(20)]
    for of in (line(cast.merchant), line(cast.other_merchant)):
        report(of.warehouse, *(f"{sku}@{f}=1" for sku in skus for f in ("", "X")))
        listing(of, "S-04", "Z-04")
        listing(of, "S-04", "A-04")
        listing(of, "S-19", "S-19")
        listing(of, "S-99", "nobody-reports-it")
    rows = [row.partition(" ")[0] for row in walk(cast.staff, view)]
    if view == WAREHOUSE:
        assert rows == [sku for sku in skus for _ in range(4)]
    else:
        once = [sku for sku in skus for _ in range(4 if sku == "S-04" else 2)]
        assert rows == [*once, "S-99", "S-99"]


def test_a_place_that_is_none_leads_to_the_first_page(cast: Cast) -> None:
    report(line(cast.merchant).warehouse, "A@=1")
    bad = ["x", "[]", "{}", '["A"]', '["A","x",3]', '["\\ud800","x","y"]', "[" * 9999]
    bad += ['["A\\u0000","x","y"]', '[1,"A","x","y\\u0000"]', '["A","x","y"]' * 2]
    for after in bad:
        for view in (WAREHOUSE, CHANNEL):
            assert [row[0] for row in shown(cast.staff, view, after=after)] == ["A"]


def test_the_search_takes_what_was_typed_at_its_word(cast: Cast) -> None:
    """A prefix, capitals and wildcards included; what cannot be stored finds nothing."""
    report(line(cast.merchant).warehouse, "AB-1@=1", "A%B@=1", "a_b@=1", "A\\B@=1")
    for search, found in {
        "A": ["A%B", "AB-1", "A\\B"],
        "A%": ["A%B"],
        "a_": ["a_b"],
        "A\\": ["A\\B"],
        "B": [],
        "A\0B": ["AB-1"],
    }.items():
        for view in (WAREHOUSE, CHANNEL):
            assert [row[0] for row in shown(cast.staff, view, q=search)] == found


def test_filters_narrow_and_are_offered_only_where_there_is_a_choice(
    cast: Cast,
) -> None:
    mine = line(cast.merchant)
    report(mine.warehouse, "A@RENO=1", "A@DALLAS=1")
    other = line(cast.other_merchant, code="WH2")
    report(other.warehouse, "B@RENO=1")
    assert [row[0] for row in shown(cast.staff, WAREHOUSE, facility="RENO")] == [
        *("A", "B")
    ]
    second = str(other.warehouse.public_id)
    assert [r[0] for r in shown(cast.staff, WAREHOUSE, warehouse=second)] == ["B"]
    store = str(other.store.public_id)
    assert [r[0] for r in shown(cast.staff, CHANNEL, store=store)] == ["B"]
    html = client_of(cast.merchant_user).get(reverse(WAREHOUSE)).content.decode()
    assert re.findall(r'<select[^>]* name="(\w+)"', html) == ["facility"]


def test_counts_stop_at_ten_thousand(cast: Cast, monkeypatch: Any) -> None:
    report(line(cast.merchant).warehouse, *(f"{n}@=1" for n in range(4)))
    for view in (WAREHOUSE, CHANNEL):
        for most, text in ((4, ">4 "), (3, ">3+ ")):
            monkeypatch.setattr("connections.views.inventory.COUNTED", most)
            response = client_of(cast.staff).get(reverse(view))
            assert text in response.content.decode()


@pytest.mark.parametrize("view", [WAREHOUSE, CHANNEL])
def test_an_empty_list_teaches_and_an_empty_search_leads_back(
    cast: Cast, view: str
) -> None:
    client = client_of(cast.staff)
    assert "Rows appear" in (html := client.get(reverse(view)).content.decode()) or (
        "Levels appear" in html
    )
    assert "Download CSV" not in html
    found = client.get(reverse(view), {"q": "x"}).content.decode()
    assert "Nothing found" in found
    assert "Show all" in found


@pytest.mark.parametrize("view", [WAREHOUSE, CHANNEL])
def test_a_page_costs_the_same_queries_whatever_it_shows(cast: Cast, view: str) -> None:
    of = line(cast.merchant)

    def queries() -> int:
        client = client_of(cast.staff)
        with CaptureQueriesContext(database) as found:
            client.get(reverse(view))
        return len(found)

    report(of.warehouse, "A@=1")
    one = queries()
    for more in (line(cast.other_merchant), line(cast.merchant, code="WH2")):
        report(more.warehouse, *(f"M{n}@F{n % 3}=1" for n in range(30)))
        listing(more, "M1", "L1")
    assert queries() == one


# --- Channel


def test_levels_stand_under_the_stores_own_ids(cast: Cast) -> None:
    of = line(cast.merchant)
    text = "sku,available,committed\nPLAIN,5,1\nMAPPED,7,2\nBIKE,10,0\nBATTERY,7,0\n"
    engine.report(of.warehouse, text)
    listing(of, "MAPPED", "4711", channel_sku="SHOP-M", title="Mapped")
    made_of = {"BIKE": "1", "BATTERY": "2"}
    bundle = [
        Row(n, "KIT", "KIT", "KIT", "Kit", component=sku, quantity=Decimal(quantity))
        for n, (sku, quantity) in enumerate(made_of.items())
    ]
    listings.change(of.store, bundle, by=None)
    rows = {row[0]: row[1:] for row in shown(cast.staff, CHANNEL)}
    assert rows["PLAIN"][0] == "as reported"
    assert rows["PLAIN"][3:5] == ["5", "1"]
    assert rows["MAPPED Mapped"][0] == "SHOP-M id 4711"
    assert rows["MAPPED Mapped"][3:5] == ["7", "2"]
    # 10 bikes and 7 batteries, two to a kit (dropstream.md §5).
    assert rows["KIT Bundle Kit"][3:5] == ["3", "–"]


def test_all_locations_and_connections_of_a_store_count_together(cast: Cast) -> None:
    of = line(cast.merchant)
    second = factories.warehouse(cast.merchant, code="WH2")
    factories.connection(of.store, second)
    report(of.warehouse, "A@RENO=1", "A@DALLAS=2")
    locations.link(of, "RENO", "L-1", by=None)
    report(second, "A@=4")
    [row] = shown(cast.staff, CHANNEL)
    assert row[4] == "7"


def test_a_listing_is_found_by_each_of_its_ids(cast: Cast) -> None:
    """By SKU first, then by listing SKU, then by variant id; each once."""
    of = line(cast.merchant)
    report(of.warehouse, "X1@=1", "B1@=1", "C1@=1", "A9@=1")
    listing(of, "B1", "v-b", channel_sku="X-b")
    listing(of, "C1", "X-c", channel_sku="shop-c")
    listing(of, "X0", "X-0", channel_sku="X-0")
    rows = shown(cast.staff, CHANNEL, q="X")
    assert [row[0] for row in rows] == ["X0", "X1", "B1", "C1"]
    found = file_of(cast.staff, CHANNEL, q="X")[1:]
    assert [row[0] for row in found] == ["X0", "C1", "X1", "B1"]  # by variant id


def test_the_status_says_what_was_sent_and_why_the_rest_was_not(cast: Cast) -> None:
    of = line(cast.merchant)
    report(of.warehouse, "A@=1", "OLD@=1")
    delivered(of, "first.csv", bound=1)
    report(of.warehouse, "A@=2")
    listing(of, "NOBODY", "N")
    channel = of.channels.get(type=Channel.Type.INVENTORY)

    def status() -> dict[str, str]:
        page = {row[0]: row[6] for row in shown(cast.staff, CHANNEL)}
        file = {row[0]: row[8] for row in file_of(cast.staff, CHANNEL)[1:]}
        assert page == file
        return page

    assert status() == {
        "A": "Goes with the next update",
        "OLD": "Uploaded",
        "NOBODY": "No warehouse reports it",
    }
    factories.change_store(of.store, sftp_endpoint="")
    assert status()["A"] == "Waits for the store's set-up"
    switch.disable_channel(channel, by=cast.staff)
    assert status()["A"] == "The inventory channel is off"
    switch.disable_connection(of, by=cast.staff)
    assert status()["A"] == "The connection is off"
    assert status()["OLD"] == "Uploaded"


def test_last_exported_is_the_file_that_first_reached_the_figure(cast: Cast) -> None:
    of = line(cast.merchant)
    report(of.warehouse, "A@=1")
    first = delivered(of, "first.csv", bound=1)
    report(of.warehouse, "B@=1")
    delivered(of, "second.csv", bound=2)
    Delivery.objects.filter(pk=first.pk).update(
        delivered_at=timezone.now() - timedelta(days=3)
    )
    exported = {row[0]: row[7] for row in shown(cast.staff, CHANNEL)}
    assert "3 days ago" in exported["A"]
    assert "3 days ago" not in exported["B"]


def test_a_sku_whose_id_a_listing_has_is_shown_as_not_sent(cast: Cast) -> None:
    of = line(cast.merchant)
    report(of.warehouse, "B@=2")
    listing(of, "B", "A")
    report(of.warehouse, "A@=1")
    taken, sold = shown(cast.staff, CHANNEL)
    assert (taken[0], taken[4]) == ("A", "–")
    assert taken[6] == "Not sent: another listing has this id"
    assert (sold[0], sold[4]) == ("B", "2")


def test_a_store_without_a_connection_shows_its_listings(cast: Cast) -> None:
    store = factories.store(cast.merchant)
    listings.change(store, [Row(2, "V", "A", "V")], by=None)
    [row] = shown(cast.staff, CHANNEL)
    assert row[6] == "No warehouse is connected"
    assert file_of(cast.staff, CHANNEL)[1][8] == "No warehouse is connected"


# --- Files


def test_a_file_holds_what_the_page_shows_and_runs_nothing(cast: Cast) -> None:
    """F3: formulas neutralised, numbers left alone; an attachment with a plain name."""
    of = line(cast.merchant)
    text = "sku,facility,available\n=1+1,-2+3+cmd,-5.5\n-5,,1\n"
    engine.report(of.warehouse, text)
    header, *rows = file_of(cast.staff, WAREHOUSE)
    assert header[:5] == ["SKU", "Merchant", "Warehouse", "Facility", "Available"]
    assert [(row[0], row[3], row[4]) for row in rows] == [
        ("-5", "", "1"),
        ("'=1+1", "'-2+3+cmd", "-5.5"),
    ]
    assert file_of(cast.staff, CHANNEL)[2][0] == "'=1+1"
    response = client_of(cast.staff).post(reverse(f"{WAREHOUSE}_file"))
    name = f"inventory-warehouse-{timezone.localdate():%Y-%m-%d}.csv"
    disposition = f'attachment; filename="{name}"'
    assert response.headers["Content-Disposition"] == disposition
    assert response.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("view", [WAREHOUSE, CHANNEL])
def test_a_file_costs_the_same_queries_however_long_it_is(
    cast: Cast, view: str
) -> None:
    of = line(cast.merchant)

    def queries(rows: int) -> int:
        skus = [f"SKU-{n:04}" for n in range(rows)]
        report(of.warehouse, *(f"{sku}@=1.50" for sku in skus))
        with CaptureQueriesContext(database) as asked:
            assert [row[0] for row in file_of(cast.staff, view)[1:]] == skus
        return len(asked)

    assert queries(1) == queries(2_000)


def test_the_channels_file_and_its_pages_agree(cast: Cast) -> None:
    """Several warehouses and stores, a link, a bundle, ids that ended, that another
    listing has, and that nobody reports."""
    of = line(cast.merchant)
    second = factories.warehouse(of.merchant, code="WH2")
    factories.connection(of.store, second)
    report(of.warehouse, "A@RENO=1.50", "A@=2", "B@=7", "C@=3", "F@=-2.5")
    report(second, "A@=10", "G@=5", "G@X=5")
    locations.link(of, "RENO", "L-1", by=None)
    listing(of, "C", "ended")
    delivered(of, "first.csv", bound=3)
    kit = [
        Row(n, "KIT", "KIT", "KIT", "Kit", component=sku, quantity=Decimal(quantity))
        for n, (sku, quantity) in enumerate({"B": "2", "G": "3"}.items())
    ]
    ends = Row(2, "ended", retired=True)
    listings.change(of.store, [*kit, ends], by=None)
    listing(of, "B", "E", channel_sku="shop-b", title="Bee")
    listing(of, "NOBODY", "nobody")
    report(of.warehouse, "E@=1")
    listings.change(factories.store(of.merchant), [Row(2, "V", "A", "V")], by=None)
    report(line(cast.other_merchant, code="WH3").warehouse, "A@=1", "H@=1")

    page = [
        (row[0].split()[0], row[3], *(text.replace("–", "") for text in row[4:7]))
        for row in shown(cast.staff, CHANNEL)
    ]
    file = file_of(cast.staff, CHANNEL)[1:]
    assert len(file) == 11
    assert sorted(page) == sorted((row[0], row[5], *row[6:9]) for row in file)
    assert {bool(row[9]) for row in file} == {True, False}


def test_a_file_obeys_the_filters_of_its_page(cast: Cast) -> None:
    report(line(cast.merchant).warehouse, "A1@X=1", "A2@Y=1", "B1@X=1")
    found = file_of(cast.staff, WAREHOUSE, q="A", facility="X")
    assert [row[0] for row in found[1:]] == ["A1"]
    client = client_of(cast.staff)
    html = client.get(reverse(WAREHOUSE), {"q": "A", "facility": "X"}).content.decode()
    assert '<input type="hidden" name="q" value="A">' in html
    assert '<input type="hidden" name="facility" value="X">' in html


def test_a_file_is_audited(cast: Cast) -> None:
    """A4: who took what, and narrowed by what."""
    file_of(cast.merchant_user, WAREHOUSE, q="A")
    event = AuditEvent.objects.latest("pk")
    assert (event.action, event.actor) == (
        "inventory.warehouse.exported",
        "mia@acme.example",
    )
    assert event.after == {"q": "A"}
