"""A person uploads stock: looked at first, applied once, and never half (issue 5)."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection as database
from django.db import transaction
from django.db.models import F
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from connections import tasks
from connections.models import (
    Connection,
    StagedLevel,
    StockLevel,
    StockReport,
    SyncRun,
    UploadChunk,
)
from connections.models.stock import UPLOAD_KEPT_FOR
from connections.runs import switch
from connections.stock import changes, uploads
from connections.stock.preview import Preview
from connections.warehouses.platforms import WarehousePlatform
from stores.models import AuditEvent, Warehouse
from tests import factories
from tests.connections.wizard.walk import errors, log_in
from tests.factories import Cast
from tests.lab.locks import wait_for_waiting

FIRST = b"sku,facility,available,on_hand\nA,RENO,3,4\nB,RENO,5,5\n"
SECOND = (
    b"sku,facility,available,on_hand\nA,RENO,7,4\nB,RENO,5,5\nC,RENO,1,1\nD,RENO,x,1\n"
)


@pytest.fixture
def by_hand(cast: Cast) -> Connection:
    """A connection that is on, to a warehouse that people serve."""
    warehouse = factories.warehouse(cast.merchant)
    warehouse.platform = WarehousePlatform.MANUAL
    warehouse.save()
    return factories.connection(factories.store(cast.merchant), warehouse)


@pytest.fixture
def staff(cast: Cast) -> Client:
    return log_in(cast.staff)


def send(
    client: Client,
    to: Warehouse,
    content: bytes,
    *,
    name: str = "stock.csv",
    **more: Any,
) -> Any:
    """Send the form as a browser does: the file, and then the field after it."""
    url = reverse("connections:stock_upload", args=[to.public_id])
    return client.post(
        url, {"stock": SimpleUploadedFile(name, content), "end": "1"} | more
    )


def preview(client: Client, to: Warehouse, content: bytes) -> StockReport:
    """Upload a good file and return the report that waits."""
    response = send(client, to, content)
    report = StockReport.objects.latest("pk")
    assert response.headers["Location"] == page_of(report)
    assert report.state == "waiting"
    return report


def page_of(report: StockReport) -> str:
    return reverse("connections:report", args=[report.public_id])


def do(client: Client, report: StockReport, what: str) -> str:
    """Click Apply or Discard; return the page that follows."""
    url = reverse(f"connections:report_{what}", args=[report.public_id])
    return client.post(url, follow=True).content.decode()


def stored(client: Client, to: Warehouse, content: bytes = FIRST) -> None:
    do(client, preview(client, to, content), "apply")


def levels() -> dict[str, int]:
    return {level.sku: int(level.available) for level in StockLevel.objects.all()}


def words(page: str) -> str:
    """A page's text, its tags and line breaks taken away."""
    return " ".join(re.sub(r"<[^>]*>", " ", page).split())


def test_it_shows_what_would_change_and_changes_nothing(
    staff: Client, by_hand: Connection
) -> None:
    stored(staff, by_hand.warehouse)
    report = preview(staff, by_hand.warehouse, SECOND)
    for _refresh in range(2):
        page = words(staff.get(page_of(report)).content.decode())
        assert "Apply 2 changes?" in page
        assert "Rows read 3 New 1 Changed 1 Unchanged 1 Left out 1" in page
        assert "A RENO 3 → 7 4 –" in page
        assert "C New RENO 1 1 –" in page
        assert "B RENO" not in page
        assert "5 available is not a number: &#x27;x&#x27;" in page
    assert levels() == {"A": 3, "B": 5}


def test_applying_writes_the_levels_and_lets_them_go_out(
    cast: Cast, staff: Client, by_hand: Connection
) -> None:
    """A1: who applied what is in the audit."""
    report = preview(staff, by_hand.warehouse, FIRST)
    assert not SyncRun.objects.exists()
    page = do(staff, report, "apply")
    assert "Applied." in page
    url = reverse("connections:page", args=[by_hand.public_id])
    assert f'<a href="{url}">{by_hand}</a>' in page
    assert levels() == {"A": 3, "B": 5}
    assert SyncRun.objects.filter(job="stock_changes", trigger="change").exists()
    event = AuditEvent.objects.latest("pk")
    assert (event.action, event.actor) == ("stock_report.applied", str(cast.staff))
    assert event.after == {"file": "stock.csv", "rows": 2, "changed": 2}
    assert not UploadChunk.objects.exists()
    assert not StagedLevel.objects.exists()


def test_applied_while_nothing_runs_says_when_it_goes_out(
    staff: Client, by_hand: Connection
) -> None:
    switch.disable_connection(by_hand, by=None)
    page = do(staff, preview(staff, by_hand.warehouse, FIRST), "apply")
    assert "once an inventory channel of this warehouse is on" in page


def test_applying_twice_applies_once(staff: Client, by_hand: Connection) -> None:
    """A second click or another tab finds that it is done, and says so."""
    report = preview(staff, by_hand.warehouse, FIRST)
    do(staff, report, "apply")
    StockLevel.objects.filter(sku="A").update(available=99)
    assert "Applied." in do(staff, report, "apply")
    assert levels() == {"A": 99, "B": 5}
    assert AuditEvent.objects.filter(action="stock_report.applied").count() == 1


@pytest.mark.django_db(transaction=True)
def test_two_tabs_at_the_same_moment_apply_once(
    cast: Cast, staff: Client, by_hand: Connection
) -> None:
    report = preview(staff, by_hand.warehouse, FIRST)

    def click(_tab: int) -> str:
        try:
            return uploads.apply(report, by=cast.staff).state
        finally:
            database.close()

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(click, range(4))) == ["applied"] * 4
    assert AuditEvent.objects.filter(action="stock_report.applied").count() == 1
    by_hand.warehouse.refresh_from_db()
    assert by_hand.warehouse.change_number == 1


@pytest.mark.django_db(transaction=True)
def test_an_upload_waits_in_the_order_of_listings_and_links(
    cast: Cast, staff: Client, by_hand: Connection
) -> None:
    """They lock channels, then the warehouse: the other way round ends in a deadlock."""
    report = preview(staff, by_hand.warehouse, FIRST)

    def click() -> None:
        try:
            uploads.apply(report, by=cast.staff)
        finally:
            database.close()

    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            changes.may_have_sent(by_hand.store)
            clicked = pool.submit(click)
            wait_for_waiting(1)
            Warehouse.objects.select_for_update(nowait=True).get()
        clicked.result(30)
    assert levels() == {"A": 3, "B": 5}


def test_the_same_report_again_changes_nothing(
    staff: Client, by_hand: Connection
) -> None:
    stored(staff, by_hand.warehouse)
    before = list(StockLevel.objects.order_by("pk").values())
    SyncRun.objects.all().delete()
    report = preview(staff, by_hand.warehouse, FIRST)
    assert "Nothing would change" in staff.get(page_of(report)).content.decode()
    assert "nothing differed from what was stored" in do(staff, report, "apply")
    assert list(StockLevel.objects.order_by("pk").values()) == before
    assert not SyncRun.objects.exists()


def test_a_figure_older_than_the_stored_one_would_not_change(
    staff: Client, by_hand: Connection
) -> None:
    """docs/decisions/0004: the preview goes by the same rule."""
    stored(staff, by_hand.warehouse)
    old = b"sku,facility,available,reported_at\nA,RENO,1,2001-01-01T00:00:00Z\n"
    report = preview(staff, by_hand.warehouse, old)
    page = words(staff.get(page_of(report)).content.decode())
    assert "Nothing would change" in page
    assert "Older than what is stored 1" in page
    applied = do(staff, report, "apply")
    assert "most of what differs is older" in applied
    assert "check the clock and the time zone" in applied
    assert levels() == {"A": 3, "B": 5}


def test_a_discarded_report_changes_nothing(staff: Client, by_hand: Connection) -> None:
    report = preview(staff, by_hand.warehouse, FIRST)
    assert "“stock.csv” was discarded." in do(staff, report, "discard")
    assert "Discarded: nothing was changed." in do(staff, report, "apply")
    assert "dealt with before" in do(staff, report, "discard")
    assert not StockLevel.objects.exists()
    assert not UploadChunk.objects.exists()
    assert not StagedLevel.objects.exists()
    actions = AuditEvent.objects.values_list("action", flat=True)
    assert list(actions).count("stock_report.discarded") == 1
    assert "stock_report.applied" not in actions


def test_a_report_that_nobody_applies_expires(
    staff: Client, by_hand: Connection
) -> None:
    report = preview(staff, by_hand.warehouse, FIRST)
    tasks.tick()
    assert StagedLevel.objects.count() == 2
    StockReport.objects.update(read_at=F("read_at") - UPLOAD_KEPT_FOR)
    tasks.tick()
    assert "Nobody applied it in time" in do(staff, report, "apply")
    assert not StockLevel.objects.exists()
    assert not UploadChunk.objects.exists()
    assert not StagedLevel.objects.exists()


def test_an_upload_that_died_with_its_server_is_forgotten(
    cast: Cast, staff: Client, by_hand: Connection
) -> None:
    """It is on no page, and the tick takes its bytes away."""
    report = uploads.begin(by_hand.warehouse, file_name="half.csv", by=cast.staff)
    incoming = uploads.Incoming(report)
    incoming.add(b"sku,avail")
    incoming.end()
    url = reverse("connections:warehouse", args=[by_hand.warehouse.public_id])
    assert "half.csv" not in staff.get(url).content.decode()
    assert staff.get(page_of(report)).status_code == 404
    long_ago = report.read_at - UPLOAD_KEPT_FOR - timedelta(seconds=1)
    StockReport.objects.update(read_at=long_ago)
    tasks.tick()
    assert not StockReport.objects.exists()
    assert not UploadChunk.objects.exists()


def test_rows_that_a_crash_of_the_database_took_are_read_again(
    staff: Client, by_hand: Connection
) -> None:
    """Q13: what is staged is not logged; the uploaded bytes are."""
    report = preview(staff, by_hand.warehouse, FIRST)
    StagedLevel.objects.filter(sku="B").delete()
    do(staff, report, "apply")
    assert levels() == {"A": 3, "B": 5}


def test_a_file_of_many_chunks_comes_whole(staff: Client, by_hand: Connection) -> None:
    count = 2 * uploads.CHUNK_BYTES // 200
    rows = b"".join(b"%0200d,1\n" % n for n in range(count))
    report = preview(staff, by_hand.warehouse, b"sku,available\n" + rows)
    assert UploadChunk.objects.count() == 3
    assert (report.rows, report.bad_rows) == (count, 0)
    found = Preview.of(report)
    assert (found.new, len(found.changes)) == (count, 50)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"name,count\nx,1\n", "no column sku"),
        (b"\xff\xfe\x00", "not UTF-8"),
        (b"sku,available\nSKU-1,seven\n", "1 of 1 rows cannot be read"),
        (b"PK\x03\x04\x14\x00", "an Excel workbook"),
    ],
)
def test_a_bad_file_is_refused_with_its_reason(
    staff: Client, by_hand: Connection, content: bytes, reason: str
) -> None:
    response = send(staff, by_hand.warehouse, content)
    report = StockReport.objects.get()
    assert response.headers["Location"] == page_of(report)
    page = words(staff.get(page_of(report)).content.decode())
    assert "Nothing was changed." in page
    assert reason in page
    if b"seven" in content:
        assert "2 available is not a number: &#x27;seven&#x27;" in page
    assert "does not wait any more" in do(staff, report, "apply")
    assert not StockLevel.objects.exists()
    assert not UploadChunk.objects.exists()
    assert "needs attention" not in staff.get("/connections/").content.decode().lower()


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"end": ""}, "The upload broke off."),
        ({"stock": ""}, "Choose a CSV file."),
        ({"stock": SimpleUploadedFile("stock.csv", b"")}, "The file is empty."),
    ],
)
def test_nothing_is_kept_of_a_form_that_does_not_hold(
    staff: Client, by_hand: Connection, more: dict[str, Any], reason: str
) -> None:
    response = send(staff, by_hand.warehouse, FIRST, **more)
    assert reason in str(errors(response)["stock"])
    assert not StockReport.objects.exists()
    assert not UploadChunk.objects.exists()


def test_b8_a_file_beyond_the_cap_is_refused_and_not_kept(
    staff: Client, by_hand: Connection, settings: Settings
) -> None:
    settings.STOCK_UPLOAD_BYTES = 1000
    response = send(staff, by_hand.warehouse, b"sku,available\n" + b"x,1\n" * 500)
    assert "larger than 1000" in str(errors(response)["stock"])
    assert not StockReport.objects.exists()


@pytest.mark.parametrize(
    ("who", "status"), [("merchant_user", 403), ("stranger", 404), ("onboarding", 404)]
)
def test_nothing_is_kept_of_who_may_not_upload(
    cast: Cast, by_hand: Connection, who: str, status: int
) -> None:
    """T5: refused before the first byte is kept."""
    response = send(log_in(getattr(cast, who)), by_hand.warehouse, FIRST)
    assert response.status_code == status
    assert not StockReport.objects.exists()


def test_nothing_is_kept_without_the_forms_token(
    cast: Cast, by_hand: Connection
) -> None:
    """B4: the token is in the same body as the file."""
    client = Client(enforce_csrf_checks=True)
    client.force_login(cast.staff, "django.contrib.auth.backends.ModelBackend")
    assert send(client, by_hand.warehouse, FIRST).status_code == 403
    assert not StockReport.objects.exists()
    page = client.get(
        reverse("connections:stock_upload", args=[by_hand.warehouse.public_id])
    )
    token = str(page.context["csrf_token"])
    response = send(client, by_hand.warehouse, FIRST, csrfmiddlewaretoken=token)
    assert response.status_code == 302


def test_a_warehouse_that_sends_files_takes_no_upload(
    cast: Cast, staff: Client
) -> None:
    there = factories.warehouse(cast.merchant)
    response = send(staff, there, FIRST)
    url = reverse("connections:warehouse", args=[there.public_id])
    assert response.headers["Location"] == url
    assert not StockReport.objects.exists()
