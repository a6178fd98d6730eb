"""A SKU's page: reported, computed, sent when in which file, and why not."""

from __future__ import annotations

from decimal import Decimal

import pytest
from django.db import connection as database
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from connections.models import Channel, Connection, Delivery, SyncRun
from connections.runs import switch
from connections.stock import listings, locations
from connections.stock.listings import Row
from stores.models import Merchant, User
from tests import engine, factories
from tests.connections.views.test_inventory import (
    client_of,
    delivered,
    line,
    listing,
    report,
    table,
)
from tests.factories import Cast


def read(person: User, of: Merchant, sku: str) -> str:
    url = reverse("connections:inventory_sku", args=[of.public_id])
    response = client_of(person).get(url, {"sku": sku})
    assert response.status_code == 200
    return response.content.decode().replace("<wbr>", "")


def sold(html: str) -> list[list[str]]:
    """The rows of the first store's table."""
    return table(html.partition("Sold by")[2])


def bundle(of: Connection, variant: str, **made_of: int) -> None:
    rows = [
        Row(n, variant, variant, variant, component=sku, quantity=Decimal(quantity))
        for n, (sku, quantity) in enumerate(made_of.items(), start=2)
    ]
    listings.change(of.store, rows, by=None)


def test_what_is_reported_stands_by_facility_with_its_report(cast: Cast) -> None:
    of = line(cast.merchant)
    text = "sku,facility,available,on_hand,committed\nA,RENO,5,7,2\nA,DALLAS,1,,\n"
    done = engine.report(of.warehouse, text)
    rows = table(read(cast.merchant_user, cast.merchant, "A"))
    assert [row[:5] for row in rows] == [
        ["Main warehouse WH1", "DALLAS", "1", "–", "–"],
        ["Main warehouse WH1", "RENO", "5", "7", "2"],
    ]
    assert done.name in rows[0][5]
    url = reverse("connections:report", args=[done.public_id])
    assert url in read(cast.staff, cast.merchant, "A")
    assert url not in read(cast.merchant_user, cast.merchant, "A")  # may not open it


def test_each_id_at_each_location_says_in_which_file_it_went_out(cast: Cast) -> None:
    of = line(cast.merchant)
    locations.link(of, "RENO", "L-RENO", by=None)
    report(of.warehouse, "A@RENO=5", "A@DALLAS=2", "B@RENO=1")
    listing(of, "A", "V-A")
    bundle(of, "KIT", A=2, B=1)
    delivered(of, "first.csv", bound=1)
    delivered(of, "second.csv", bound=9)
    delivered(of, "third.csv", bound=20)
    rows = sold(read(cast.staff, cast.merchant, "A"))
    assert [row[:3] for row in rows] == [
        ["KIT Bundle: 2 × A, 1 × B", "L-RENO", "1"],
        ["KIT Bundle: 2 × A, 1 × B", "WH1", "0"],
        ["V-A Listing", "L-RENO", "5"],
        ["V-A Listing", "WH1", "2"],
        ["A No longer sold: sent as zero", "L-RENO", "0"],
        ["A No longer sold: sent as zero", "WH1", "0"],
    ]
    # The first whose bound reaches the change of the listing, not the newest.
    assert {row[4].split()[1] for row in rows} == {"second.csv"}


def test_an_id_that_ended_is_sent_as_zero(cast: Cast) -> None:
    of = line(cast.merchant)
    report(of.warehouse, "A@=5")
    listing(of, "A", "OLD")
    listings.change(of.store, [Row(2, "OLD", retired=True)], by=None)
    rows = sold(read(cast.staff, cast.merchant, "A"))
    assert [row[:3] for row in rows] == [
        ["A As reported", "WH1", "5"],
        ["OLD No longer sold: sent as zero", "WH1", "0"],
    ]


def test_why_it_was_not_sent_is_said_in_full(cast: Cast) -> None:
    """The connection, the channel, the endpoint, a run's error; each leads on."""
    of = line(cast.merchant)
    report(of.warehouse, "A@=5")

    def page() -> str:
        return read(cast.staff, cast.merchant, "A")

    assert sold(page())[0][4] == "Goes with the next update"
    channel = of.channels.get(type=Channel.Type.INVENTORY)
    SyncRun.objects.create(
        account=of.account,
        connection=of,
        channel=channel,
        store=of.store,
        job="stock_changes",
        state=SyncRun.State.NEEDS_PERSON,
        error_code="auth_refused",
        error_side=SyncRun.Side.STORE,
        trigger=SyncRun.Trigger.SCHEDULE,
        due_at=of.created_at,
    )
    assert "The server did not let us in." in page()
    SyncRun.objects.all().delete()
    factories.change_store(of.store, sftp_endpoint="")
    html = page()
    assert sold(html)[0][4] == "Waits for the store's set-up"
    assert reverse("connections:store", args=[of.store.public_id]) in html
    switch.disable_channel(channel, by=cast.staff)
    assert sold(page())[0][4] == "The inventory channel is off"
    switch.disable_connection(of, by=cast.staff)
    assert sold(page())[0][4] == "The connection is off"
    assert "Off: nothing runs" in page()


def test_a_file_on_its_way_is_named(cast: Cast) -> None:
    of = line(cast.merchant)
    report(of.warehouse, "A@=5")
    made = delivered(of, "way.csv", bound=1)
    Delivery.objects.filter(pk=made.pk).update(state=Delivery.State.SENDING)
    Channel.objects.update(sent_through=0)
    row = sold(read(cast.staff, cast.merchant, "A"))[0]
    assert row[4] == "Goes with the next update way.csv is on its way."


def test_staff_go_on_from_a_level_to_its_file(cast: Cast) -> None:
    of = line(cast.merchant)
    report(of.warehouse, "A@=5")
    made = delivered(of, "file.csv", bound=1)
    href = reverse("connections:delivery", args=[made.public_id])
    assert href in read(cast.staff, cast.merchant, "A")
    html = read(cast.merchant_user, cast.merchant, "A")
    assert href not in html  # they may not open it
    assert "file.csv" in html
    # The very file is being sent again: what it left out waits as all else does.
    key = {"key": ["A", "WH1"], "row": 1, "column": "IN_STOCK", "reason": "is odd"}
    Delivery.objects.filter(pk=made.pk).update(left_out=1, problems=[key])
    Channel.objects.update(sent_through=0)
    row = sold(read(cast.staff, cast.merchant, "A"))[0]
    assert row[4] == "Goes with the next update"


def test_an_update_of_several_files_says_so(cast: Cast) -> None:
    of = line(cast.merchant)
    report(of.warehouse, "A@=5")
    made = delivered(of, "last.csv", bound=1)
    Delivery.objects.filter(pk=made.pk).update(part=3, parts=3)
    row = sold(read(cast.staff, cast.merchant, "A"))[0]
    assert "The last of 3 files of one update; it may be in another." in row[4]


def test_what_counts_as_sent_without_a_file_is_not_called_uploaded(cast: Cast) -> None:
    """A push whose rows were all left out makes no file, and the mark moves on."""
    of = line(cast.merchant)
    report(of.warehouse, "A@=5")
    Channel.objects.update(sent_through=1)
    row = sold(read(cast.staff, cast.merchant, "A"))[0]
    assert row[4] == "No file with it is on record"
    html = client_of(cast.staff).get(reverse("connections:inventory_channel"))
    assert table(html.content.decode())[0][6] == "No file with it is on record"


def test_what_the_file_left_out_is_said_with_its_reason(cast: Cast) -> None:
    """On the SKU's page and in the channel view."""
    of = line(cast.merchant)
    report(of.warehouse, "A@=5", "B@=5")
    made = delivered(of, "left.csv", bound=1)
    key = {"key": ["A", "WH1"], "row": 1, "column": "IN_STOCK", "reason": "is odd"}
    Delivery.objects.filter(pk=made.pk).update(left_out=1, problems=[key])
    row = sold(read(cast.staff, cast.merchant, "A"))[0]
    assert "Not sent: the platform would drop it" in row[4]
    assert "left.csv leaves it out: IN_STOCK is odd." in row[4]
    assert sold(read(cast.staff, cast.merchant, "B"))[0][4].startswith("Uploaded")
    html = client_of(cast.staff).get(reverse("connections:inventory_channel"))
    statuses = {row[0]: row[6] for row in table(html.content.decode())}
    assert statuses == {"A": "Not sent: the platform would drop it", "B": "Uploaded"}
    Delivery.objects.filter(pk=made.pk).update(left_out=500)
    row = sold(read(cast.staff, cast.merchant, "B"))[0]
    assert "left out 500 rows; this may be one of them" in row[4]


def test_a_sku_that_a_listing_hides_says_which(cast: Cast) -> None:
    of = line(cast.merchant)
    listing(of, "B", "A")
    report(of.warehouse, "A@=1", "B@=2")
    html = read(cast.staff, cast.merchant, "A")
    assert "The listing of SKU B goes out under the id A" in html
    assert sold(html) == []


def test_a_listing_of_what_nobody_reports_says_so(cast: Cast) -> None:
    listing(line(cast.merchant), "A", "V")
    html = read(cast.staff, cast.merchant, "A")
    assert "no warehouse of this merchant has named it" in html
    assert sold(html) == [["V Listing", "–", "–", "–", "No warehouse reports it"]]


def test_a_sku_that_nobody_knows_leads_back(cast: Cast) -> None:
    assert "Nothing is known of this SKU" in read(cast.staff, cast.merchant, "x\0")
    url = reverse("connections:inventory_sku", args=[cast.merchant.public_id])
    response = client_of(cast.staff).get(url)
    assert response.headers["Location"] == reverse("connections:inventory_warehouse")


@pytest.mark.parametrize("who", ["scoped_staff", "merchant_user", "stranger"])
def test_another_merchants_sku_is_not_there(cast: Cast, who: str) -> None:
    """T1: the same SKU of two merchants never meets on a page."""
    report(line(cast.other_merchant).warehouse, "A@=77")
    report(line(cast.merchant).warehouse, "A@=5")
    url = reverse("connections:inventory_sku", args=[cast.other_merchant.public_id])
    assert client_of(getattr(cast, who)).get(url, {"sku": "A"}).status_code == 404
    assert [row[2] for row in sold(read(cast.staff, cast.merchant, "A"))] == ["5"]


def test_the_page_costs_the_same_queries_for_many_stores(cast: Cast) -> None:
    url = reverse("connections:inventory_sku", args=[cast.merchant.public_id])

    def queries() -> int:
        client = client_of(cast.staff)
        with CaptureQueriesContext(database) as found:
            client.get(url, {"sku": "A"})
        return len(found)

    of = line(cast.merchant)
    report(of.warehouse, "A@=1")
    listing(of, "A", "V")
    bundle(of, "KIT", A=1)
    one = queries()
    for code in ("WH2", "WH3"):
        more = line(cast.merchant, code=code)
        report(more.warehouse, "A@X=1", "A@Y=1")
        listing(more, "A", "V")
        bundle(more, "KIT", A=1)
    assert queries() == one


def test_odd_skus_are_linked_from_the_lists(cast: Cast) -> None:
    of = line(cast.merchant)
    engine.report(of.warehouse, 'sku,available\na/b?&=# %é"<x>,1\n')
    for view in ("warehouse", "channel"):
        html = client_of(cast.staff).get(reverse(f"connections:inventory_{view}"))
        href = html.content.decode().partition('<th scope="row"><a href="')[2]
        page = client_of(cast.staff).get(href.partition('"')[0])
        assert "What the warehouse reports" in page.content.decode()
        assert "Main warehouse" in page.content.decode()
