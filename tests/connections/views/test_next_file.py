"""The next file can be seen before it is sent."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse

from connections.models import Channel, Delivery, StockReport
from connections.runs import switch
from stores.models import AuditEvent
from tests import factories
from tests.engine import run_now
from tests.factories import Line


@pytest.fixture
def reported(line: Line, client: Client) -> Line:
    """A warehouse that has reported; nothing was sent, and somebody is logged in."""
    line.clear_reports()
    report(line, "B,2\n=1+1,3\nA,1.50\n")
    client.force_login(line.person)
    return line


def report(line: Line, rows: str) -> None:
    """Have a report read while the store has no endpoint, so that nothing is sent."""
    factories.change_store(line.store, sftp_endpoint="")
    line.report(f"inv_{StockReport.objects.count()}.csv", f"sku,available\n{rows}")
    run_now(line.stock, "stock_changes")
    factories.change_store(line.store, sftp_endpoint=line.drop.endpoint)


def page(client: Client, line: Line, job: str = "stock_changes") -> str:
    url = reverse("connections:preview", args=[line.connection.public_id])
    return client.get(url, {"job": job}).content.decode()


def download(client: Client, line: Line, **data: str) -> bytes:
    url = reverse("connections:preview_file", args=[line.connection.public_id])
    return client.post(url, data).getvalue()


def test_it_shows_what_would_be_sent_and_why_and_sends_nothing(
    reported: Line, client: Client
) -> None:
    text = page(client, reported)
    assert "Every level: none was sent there yet." in text
    assert "3 rows" in text
    for cell in ("VARIANT_ID", "UPDATED_AT", "<code>A</code>", "1.5<", "WH1<"):
        assert cell in text
    assert not Delivery.objects.exists()
    assert reported.dropped() == []


def test_it_is_byte_for_byte_what_is_sent_then(reported: Line, client: Client) -> None:
    for job in ("stock_changes", "stock_full"):
        previewed = download(client, reported, job=job)
        run_now(reported.stock, job)
        assert reported.dropped()[-1] == previewed


def test_for_a_spreadsheet_it_holds_no_formula(reported: Line, client: Client) -> None:
    data = download(client, reported, **{"as": "spreadsheet"}).decode()
    assert "'=1+1,WH1,3,false," in data
    assert data.startswith("\ufeffVARIANT_ID,")
    assert AuditEvent.objects.filter(action="next_file.exported").count() == 1


def test_only_what_changed_is_shown_after_a_file(
    reported: Line, client: Client
) -> None:
    run_now(reported.stock, "stock_changes")
    assert "There is nothing new" in page(client, reported)
    assert "Every level, whether it changed or not." in page(
        client, reported, "stock_full"
    )
    report(reported, "A,7\n")
    text = page(client, reported)
    assert "What changed since the last file." in text
    assert "1 row." in text
    assert "<code>B</code>" not in text


def test_everything_is_shown_before_the_first_file_for_another_drop(
    reported: Line, client: Client
) -> None:
    run_now(reported.stock, "stock_changes")
    Delivery.objects.update(peer="them@elsewhere.example:22")
    text = page(client, reported)
    assert "Every level: none was sent there yet." in text
    assert "3 rows" in text


def test_a_row_that_would_be_left_out_is_named(reported: Line, client: Client) -> None:
    run_now(reported.stock, "stock_changes")
    report(reported, "<b>,123456789012345.6789\n")
    text = page(client, reported)
    assert "Row 1, <code>&lt;b&gt; @ WH1</code>: IN_STOCK is not a number" in text
    assert "no file would be sent" in text


def test_what_it_waits_for_and_what_goes_first_is_said(
    reported: Line, client: Client
) -> None:
    factories.change_store(reported.store, sftp_endpoint="")
    shown = page(client, reported)
    assert "The SFTP endpoint is not set yet." in shown
    assert reverse("connections:store", args=[reported.store.public_id]) in shown
    run_now(reported.stock, "stock_changes")
    assert not Delivery.objects.exists()
    factories.change_store(reported.store, sftp_endpoint=reported.drop.endpoint)
    run_now(reported.stock, "stock_changes")
    Delivery.objects.update(state=Delivery.State.SENDING)
    assert "A file that has begun goes out first." in page(client, reported)
    Delivery.objects.update(state=Delivery.State.DELIVERED)


def test_that_master_data_goes_first_and_that_it_is_off_is_said(
    reported: Line, client: Client
) -> None:
    factories.change_store(reported.store, master_data="first", vendor_currency="EUR")
    text = page(client, reported)
    assert "variants go out before it" in text
    assert "It is off" not in text
    switch.disable_channel(reported.stock, by=reported.person)
    assert "It is off" in page(client, reported)
    switch.enable_channel(reported.stock, by=reported.person)
    run_now(reported.stock, "stock_changes")
    assert "variants go out before it" not in page(client, reported, "stock_full")


def test_a_store_that_takes_no_stock_has_no_next_file(
    reported: Line, client: Client
) -> None:
    Channel.objects.filter(pk=reported.stock.pk).delete()
    url = reverse("connections:preview", args=[reported.connection.public_id])
    assert client.get(url).status_code == 404


def test_the_connections_page_leads_to_it(reported: Line, client: Client) -> None:
    url = reverse("connections:page", args=[reported.connection.public_id])
    link = reverse("connections:preview", args=[reported.connection.public_id])
    assert f"{link}?job=stock_full" in client.get(url).content.decode()
