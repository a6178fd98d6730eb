"""Listings from a file: preview, errors by line, applied once; what is exported comes
back as it was."""

from __future__ import annotations

import re
import zlib
from datetime import timedelta
from decimal import Decimal
from html import unescape
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse
from django.utils import timezone

from connections import tasks
from connections.models import Connection, Listing, ListingsFile
from connections.stock import listing_files, listings
from connections.stock.listings import Row
from stores.models import AuditEvent, Store, User
from tests.connections.views.test_inventory import (
    client_of,
    line,
    listing,
    report,
    table,
)
from tests.connections.views.test_listings import live, url_of
from tests.factories import Cast

HEADER = "sku,channel_sku,variant_id,title,component,quantity,retired\n"


@pytest.fixture
def of(cast: Cast) -> Connection:
    return line(cast.merchant)


def choose(person: User, store: Store, text: str | bytes) -> str:
    """Choose a file; return the page that follows."""
    data = text.encode() if isinstance(text, str) else text
    file = SimpleUploadedFile("mine.csv", data, "text/csv")
    response = client_of(person).post(
        url_of("listing_import", store), {"listings": file}, follow=True
    )
    assert response.status_code == 200
    return unescape(response.content.decode())


def decide(person: User, go: str) -> str:
    """Press a button of the newest file's page; return what is said."""
    url = page_of(ListingsFile.objects.latest("pk"))
    response = client_of(person).post(url, {"go": go}, follow=True)
    assert response.status_code == 200
    return unescape(response.content.decode())


def page_of(file: ListingsFile) -> str:
    return reverse("connections:listing_import_page", args=[file.public_id])


def problems(html: str) -> list[list[str]]:
    return table(html.partition("What is wrong")[2])


def exported(person: User, store: Store) -> bytes:
    response: Any = client_of(person).post(url_of("listing_file", store))
    return b"".join(response.streaming_content)


def test_a_preview_says_what_would_change_and_apply_does_it(
    cast: Cast, of: Connection
) -> None:
    for sku in ("SAME", "OLD", "GONE"):
        listing(of, sku, sku)
    html = choose(
        cast.staff,
        of.store,
        HEADER
        + "NEW,SHOP,44,Tea towel,,,\nSAME,,,,,,\nMOVED,OLD,OLD,,,,\n,,GONE,,,,yes\n",
    )
    assert "Apply 3 changes?" in html
    assert table(html) == [
        ["44", "Added", "NEW"],
        ["OLD", "Changed", "OLD → MOVED"],
        ["GONE", "Ended", "GONE"],
    ]
    assert set(live(of.store)) == {"SAME", "OLD", "GONE"}
    assert "Added: 1. Changed: 1. Ended: 1." in decide(cast.staff, "apply")
    assert live(of.store) == {
        "44": ("NEW", "SHOP"),
        "SAME": ("SAME", "SAME"),
        "OLD": ("MOVED", "OLD"),
    }
    event = AuditEvent.objects.latest("pk")
    assert (event.action, event.after["file"]) == ("listings.changed", "mine.csv")


def test_applying_twice_is_applying_once(cast: Cast, of: Connection) -> None:
    choose(cast.staff, of.store, "sku,variant_id\nA,V\n")
    decide(cast.staff, "apply")
    listings.change(of.store, [Row(1, "V", retired=True)], by=None)
    assert "This file was applied before." in decide(cast.staff, "apply")
    assert live(of.store) == {}
    file = ListingsFile.objects.get()
    assert bytes(file.data) == b""
    assert "Applied" in client_of(cast.staff).get(page_of(file)).content.decode()


def test_a_discarded_file_changes_nothing_and_is_gone(
    cast: Cast, of: Connection
) -> None:
    choose(cast.staff, of.store, "sku\nA\n")
    assert "Nothing was changed." in decide(cast.staff, "discard")
    assert not ListingsFile.objects.exists()
    assert live(of.store) == {}


def test_each_wrong_line_is_named_and_none_of_the_others_counts(
    cast: Cast, of: Connection
) -> None:
    report(of.warehouse, "REPORTED@=1")
    html = choose(
        cast.staff,
        of.store,
        HEADER
        + "GOOD,,,,,,\n"
        + ",S,,,,,\n"
        + "A,,,,B,,\n"
        + "A,,,,,3,\n"
        + "A,,,,B,0,\n"
        + "A,,,,B,1e3,\n"
        + "A,,,,,,perhaps\n"
        + "\n"
        + ",,,,,,yes\n"
        + "A,,,\n"
        + ",,NOBODY,,,,yes\n"
        + "A,,REPORTED,,,,\n"
        + "GOOD,,,,,,\n"
        + f"{'x' * 257},,,,,,\n",
    )
    assert "12 lines are wrong." in html
    assert problems(html) == [
        ["3", "sku is empty"],
        ["4", "component and quantity go together"],
        ["5", "component and quantity go together"],
        ["6", "quantity is not above zero, or too large"],
        ["7", "quantity is not a number: '1e3'"],
        ["8", "retired is neither yes nor no: 'perhaps'"],
        ["10", "variant_id is empty"],
        ["11", "4 values, the header has 7"],
        ["15", "sku is longer than 256 characters"],
        ["14", "variant id GOOD stands on line 2 already"],
        ["12", "no listing has the variant id NOBODY, so none can be retired"],
        [
            "13",
            (
                "variant id REPORTED is a SKU that the warehouse reports and that has no "
                "listing: both would be sent under one id. Give that SKU a listing of "
                "its own"
            ),
        ],
    ]
    assert 'value="apply"' not in html
    # Whoever presses the button all the same changes nothing.
    assert "Look at what is wrong." in decide(cast.staff, "apply")
    assert live(of.store) == {}


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ("\n", "the file is empty"),
        ("variant_id\nA\n", "there is no column sku"),
        ("sku,SKU\nA,B\n", "a column appears twice"),
        ("sku,varaint_id\nA,B\n", "there is no column called varaint_id"),
        ("sku;variant_id\nA;B\n", "there is no column sku"),
        (b"sku\n\xff\n", "the file is not UTF-8 text"),
        ('sku\n"A\n', "unexpected end of data"),
        (b"PK\x03\x04rest", "the file is an Excel workbook"),
    ],
)
def test_a_file_that_is_none_is_refused_with_the_reason(
    cast: Cast, of: Connection, data: str | bytes, reason: str
) -> None:
    html = choose(cast.staff, of.store, data)
    assert f"This file cannot be used: {reason}" in html
    assert "Look at what is wrong." in decide(cast.staff, "apply")
    assert live(of.store) == {}


def test_no_file_and_a_large_one_are_refused_at_the_field(
    cast: Cast, of: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = url_of("listing_import", of.store)
    html = client_of(cast.staff).post(url, {}).content.decode()
    assert html.count("Choose a CSV file.") == 2
    monkeypatch.setattr("connections.views.listing_import.LIMIT_BYTES", 300)
    html = choose(cast.staff, of.store, "sku\n" + "A" * 400)
    assert "The file is larger than 300" in html
    assert not ListingsFile.objects.exists()


def test_what_is_exported_comes_back_as_it_was(cast: Cast, of: Connection) -> None:
    """F3: even what a spreadsheet would run, or reads as text because of us."""
    odd = ["=1+1", "-2", "'=x", '"q"', "a,b", "+é", "@x"]
    rows = [Row(n, f"{one}v", one, f"{one}c", f"{one}t") for n, one in enumerate(odd)]
    rows += [
        Row(n, "KIT", "KIT", "KIT", "Kit", component=one, quantity=Decimal("1.5"))
        for n, one in enumerate(odd)
    ]
    listings.change(of.store, rows, by=None)
    before = live(of.store)
    data = exported(cast.staff, of.store)
    assert b"'=1+1" in data
    html = choose(cast.staff, of.store, data)
    assert "Nothing would change" in html
    # And into a store that has none of them.
    other = line(cast.merchant, code="WH2")
    choose(cast.staff, other.store, data)
    decide(cast.staff, "apply")
    assert live(other.store) == before
    assert exported(cast.staff, other.store) == data


def test_columns_in_any_order_and_case_and_a_bundle(cast: Cast, of: Connection) -> None:
    text = (
        "\ufeffQuantity,Component,SKU,Channel SKU\r\n2,B,KIT,SHOP\r\n1,A,KIT,SHOP\r\n"
    )
    choose(cast.staff, of.store, text)
    decide(cast.staff, "apply")
    row = Listing.objects.get()
    assert (row.sku, row.channel_sku, row.variant_id) == ("KIT", "SHOP", "SHOP")
    assert [str(part) for part in row.components.all()] == ["1 × A", "2 × B"]


def test_files_that_nobody_comes_back_for_are_forgotten(
    cast: Cast, of: Connection
) -> None:
    choose(cast.staff, of.store, "sku\nA\n")
    tasks.tick()
    assert ListingsFile.objects.exists()
    old = timezone.now() - timedelta(hours=25)
    ListingsFile.objects.update(uploaded_at=old)
    tasks.tick()
    assert not ListingsFile.objects.exists()


@pytest.mark.parametrize("who", ["merchant_user", "scoped_staff", "stranger"])
def test_nothing_is_kept_of_who_may_not_import(
    cast: Cast, of: Connection, who: str
) -> None:
    """T1, T5: neither the file nor its page."""
    other = line(cast.other_merchant)
    file = listing_files.keep(other.store, b"sku\nA\n", file_name="x", by=cast.staff)
    client = client_of(getattr(cast, who))
    sent = {"listings": SimpleUploadedFile("x.csv", b"sku\nB\n")}
    assert client.post(url_of("listing_import", other.store), sent).status_code == 404
    assert client.post(page_of(file), {"go": "apply"}).status_code == 404
    if who == "merchant_user":
        sent = {"listings": SimpleUploadedFile("x.csv", b"sku\nB\n")}
        assert client.post(url_of("listing_import", of.store), sent).status_code == 403
    assert ListingsFile.objects.count() == 1
    assert zlib.decompress(ListingsFile.objects.get().data) == b"sku\nA\n"
    assert not Listing.objects.exists()


def test_the_example_on_the_page_is_a_file(cast: Cast, of: Connection) -> None:
    listing(of, "A", "99001")
    html = client_of(cast.staff).get(url_of("listing_import", of.store))
    example = re.search(r"<pre[^>]*>(.*?)</pre>", html.content.decode(), re.S)
    assert example is not None
    choose(cast.staff, of.store, unescape(example[1]))
    assert "Added: 2. Changed: 0. Ended: 1." in decide(cast.staff, "apply")
