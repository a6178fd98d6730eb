"""What stock refers to is told when somebody asks, or before the first stock file."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from connections.models import Channel, Delivery, Listing, Location, SyncRun
from inventory_planner.forms import InventoryPlannerForm
from tests import factories
from tests.engine import drain, enqueue, run_now
from tests.factories import Line
from tests.lab.crash import rise_again, work_and_die

FOLDERS = ["warehouse", "vendor", "variant", "variant_warehouse"]
STAMP = "%Y-%m-%d %H:%M:%S"


@pytest.fixture
def new_line(line: Line) -> Line:
    """A store whose account at Inventory Planner knows nothing yet."""
    account = line.sandbox.ip.accounts["123456"]
    account.variants.clear()
    account.warehouses.clear()
    account.vendors.clear()
    line.clear_reports()
    line.report("inv_1.csv", "sku,facility,available\nA,RENO,1\nB,DALLAS,2\n")
    factories.change_store(line.store, vendor_currency="eur")
    return line


def rows_in(line: Line, folder: str) -> list[dict[str, str]]:
    """The rows of the one file in a folder of the drop."""
    [path] = (line.drop.folder / folder).iterdir()
    return list(csv.DictReader(io.StringIO(path.read_text(), newline="")))


def written(line: Line) -> list[str]:
    """The folders in which files were opened, in that order."""
    return [path.split("/")[1] for path in line.opened("open_write")]


def test_stock_of_unknown_variants_is_taken_once_master_data_is_there(
    new_line: Line,
) -> None:
    """inventory-planner.md §4.2: one nightly sync reads all of it, in its order."""
    factories.change_store(new_line.store, master_data="first")
    run_now(new_line.stock, "stock_changes")
    assert written(new_line) == FOLDERS
    reports = new_line.sandbox.ip.sync_now("123456")
    assert [(r.folder, r.outcome, r.rows, r.dropped) for r in reports] == [
        ("warehouse", "read", 1, 0),
        ("vendor", "read", 1, 0),
        ("variant", "read", 2, 0),
        ("variant_warehouse", "read", 2, 0),
    ]


def test_the_columns_are_exactly_the_required_ones(new_line: Line) -> None:
    run_now(new_line.stock, "stock_changes")
    run = run_now(new_line.stock, "stock_master_data")
    assert (run.state, run.counts["files_sent"]) == ("succeeded", 3)
    [warehouse] = rows_in(new_line, "warehouse")
    assert list(warehouse) == ["WAREHOUSE_ID", "DISPLAY_NAME", "UPDATED_AT", "REMOVED"]
    assert warehouse["WAREHOUSE_ID"] == "WH1"
    assert warehouse["DISPLAY_NAME"] == new_line.warehouse.name
    [vendor] = rows_in(new_line, "vendor")
    assert list(vendor) == [
        *("VENDOR_ID", "DISPLAY_NAME", "CURRENCY", "REMOVED", "UPDATED_AT")
    ]
    assert vendor["CURRENCY"] == "EUR"
    first, second = rows_in(new_line, "variant")
    assert list(first) == [
        *("VARIANT_ID", "SKU", "TITLE", "BARCODE", "PRODUCT_ID", "PRICE"),
        *("CREATED_AT", "UPDATED_AT", "REMOVED"),
    ]
    assert [first["VARIANT_ID"], second["VARIANT_ID"]] == ["A", "B"]
    assert (first["TITLE"], first["PRICE"], first["BARCODE"]) == ("A", "0", "A")


def test_names_come_from_listings_and_links(new_line: Line) -> None:
    """Texts that people read are cut and tidied; ids never are (§4.4)."""
    account, store = new_line.account, new_line.store
    Location.objects.create(
        account=account,
        connection=new_line.connection,
        facility="DALLAS",
        location_id="WH-D",
    )
    Listing.objects.create(
        account=account,
        store=store,
        sku="A",
        channel_sku="SHOP-A",
        variant_id="id-1",
        title="Tea\ntowel " + "x" * 245 + "€",
        changed_at=timezone.now(),
    )
    run_now(new_line.stock, "stock_changes")
    run_now(new_line.stock, "stock_master_data")
    names = {
        row["WAREHOUSE_ID"]: row["DISPLAY_NAME"]
        for row in rows_in(new_line, "warehouse")
    }
    assert names == {
        "WH1": new_line.warehouse.name,
        "WH-D": f"{new_line.warehouse.name} – DALLAS",
    }
    [b, listed] = rows_in(new_line, "variant")
    assert (b["VARIANT_ID"], b["TITLE"]) == ("B", "B")
    assert (listed["VARIANT_ID"], listed["SKU"]) == ("id-1", "SHOP-A")
    assert listed["TITLE"] == "Tea towel " + "x" * 245 + "€"


def test_it_goes_before_the_first_stock_file_and_not_again(new_line: Line) -> None:
    factories.change_store(new_line.store, master_data="first")
    run_now(new_line.stock, "stock_changes")
    new_line.report("inv_2.csv", "sku,facility,available\nA,RENO,5\n")
    run_now(new_line.stock, "stock_changes")
    run_now(new_line.stock, "stock_full")
    assert written(new_line) == [*FOLDERS, "variant_warehouse", "variant_warehouse"]


def test_another_drop_is_told_of_all_before_its_first_stock_file(
    new_line: Line,
) -> None:
    factories.change_store(new_line.store, master_data="first")
    run_now(new_line.stock, "stock_changes")
    Delivery.objects.update(peer="them@elsewhere.example:22")
    run_now(new_line.stock, "stock_changes")
    run_now(new_line.stock, "stock_changes")
    assert written(new_line) == [*FOLDERS, *FOLDERS]


def test_a_mark_that_went_back_does_not_make_a_file_the_first(new_line: Line) -> None:
    """The setting was made after the first one: master data is for somebody to ask for."""
    run_now(new_line.stock, "stock_changes")
    factories.change_store(new_line.store, master_data="first")
    Channel.objects.filter(pk=new_line.stock.pk).update(sent_through=0)
    run_now(new_line.stock, "stock_changes")
    assert written(new_line) == ["variant_warehouse", "variant_warehouse"]


def test_it_is_not_sent_unless_it_is_wanted(new_line: Line) -> None:
    """The account may hold better: that is the safe default (§7)."""
    run_now(new_line.stock, "stock_changes")
    assert written(new_line) == ["variant_warehouse"]


def test_without_stock_there_is_nothing_to_tell_of(new_line: Line) -> None:
    new_line.clear_reports()
    factories.change_store(new_line.store, master_data="first")
    run_now(new_line.stock, "stock_changes")
    assert written(new_line) == []


@pytest.mark.parametrize(
    ("at", "nth"),
    [
        ("delivery.building", 2),
        ("delivery.built", 1),
        ("delivery.started", 2),
        ("delivery.announced", 1),
        ("delivery.visible", 2),
        ("delivery.recorded", 1),
        ("delivery.recorded", 3),
        ("delivery.recorded", 4),
    ],
)
def test_a_worker_that_dies_on_the_way_sends_each_file_once(
    new_line: Line, at: str, nth: int
) -> None:
    """D2: the stock waits for what it refers to, and nothing is doubled."""
    factories.change_store(new_line.store, master_data="first")
    run = enqueue(new_line.stock, "stock_changes")
    assert work_and_die(run, at=at, nth=nth)
    rise_again(run)
    assert run.state == "succeeded"
    for folder in FOLDERS:
        assert len(list((new_line.drop.folder / folder).iterdir())) == 1, folder
    assert not Delivery.objects.unfinished().exists()
    delivered = Delivery.objects.filter(state="delivered").order_by("delivered_at")
    assert [file.entity for file in delivered] == [
        *("warehouse", "vendor", "variant", "stock")
    ]


def test_a_file_that_is_lost_has_all_made_anew(new_line: Line) -> None:
    """D7."""
    run_now(new_line.stock, "stock_changes")

    def occupy(op: str, path: str) -> None:
        if op == "stat" and "/vendor/" in path:
            new_line.sandbox.ip.sftp_faults.clear()
            (new_line.drop.folder / path.lstrip("/")).write_bytes(b"theirs")

    new_line.sandbox.ip.sftp_faults.append(occupy)
    run = run_now(new_line.stock, "stock_master_data")
    assert run.error_code == "name_taken"
    SyncRun.objects.filter(pk=run.pk).update(due_at=timezone.now())
    drain()
    files = Delivery.objects.filter(entity__in=Delivery.MASTER_DATA).order_by("pk")
    assert [file.state for file in files] == [
        *("delivered", "foreign", "superseded"),
        *("delivered", "delivered", "delivered"),
    ]


def test_nothing_reported_is_said(new_line: Line) -> None:
    new_line.clear_reports()
    run = run_now(new_line.stock, "stock_master_data")
    assert (run.state, run.error_code) == ("needs_person", "stock_not_reported")
    assert written(new_line) == []


def test_a_folder_that_is_not_there_is_never_made(new_line: Line) -> None:
    """§4.3: a file in a wrong folder vanishes silently."""
    (new_line.drop.folder / "variant").rename(new_line.drop.folder / "elsewhere")
    run = run_now(new_line.stock, "stock_master_data")
    assert (run.state, run.error_code) == ("needs_person", "stock_folder_unknown")
    assert not (new_line.drop.folder / "variant").exists()


def store_page(line: Line) -> str:
    return reverse("connections:store", args=[line.store.public_id])


def test_the_stores_page_asks_before_it_sends(new_line: Line, client: Client) -> None:
    client.force_login(new_line.person)
    text = client.get(store_page(new_line)).content.decode()
    assert "Send master data?" in text
    url = reverse("connections:store_master_data", args=[new_line.store.public_id])
    assert "queued" in client.post(url, follow=True).content.decode()
    assert "already on its way" in client.post(url, follow=True).content.decode()
    assert SyncRun.objects.get(job="stock_master_data").requested_by == new_line.person


def test_without_a_currency_it_says_what_is_missing(line: Line, client: Client) -> None:
    client.force_login(line.person)
    text = client.get(store_page(line)).content.decode()
    assert "The currency of the placeholder vendor is not set yet." in text
    assert "Send master data?" not in text
    run = run_now(line.stock, "stock_master_data")
    assert (run.state, run.error_code) == ("needs_person", "vendor_currency_missing")


def test_master_data_has_no_rules_and_no_line_on_the_card(
    line: Line, client: Client
) -> None:
    client.force_login(line.person)
    page = reverse("connections:page", args=[line.connection.public_id])
    assert "Send master data" not in client.get(page).content.decode()
    rules = reverse(
        "connections:rules", args=[line.stock.public_id, "stock_master_data"]
    )
    assert client.get(rules).status_code == 404


@pytest.mark.parametrize(
    ("answers", "error"),
    [
        ({"master_data": "first"}, "Enter the currency"),
        ({"vendor_currency": "EURO"}, "at most 3"),
        ({"vendor_currency": "€"}, "three letters"),
    ],
)
def test_a_currency_that_is_none_is_refused_in_its_field(
    answers: dict[str, Any], error: str
) -> None:
    form = InventoryPlannerForm(
        {
            "acknowledge_when": "received",
            "send_received_quantities": "never",
            **answers,
        }
    )
    assert error in str(form.errors["vendor_currency"])
