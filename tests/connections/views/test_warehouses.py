"""A warehouse's page: its connection string, its test, what it sent."""

from __future__ import annotations

from typing import Any

import pytest
from django.urls import reverse

from connections.models import CheckRun, StockReport, SyncRun
from stores.models import AuditEvent, FileExchangeSettings
from tests import factories
from tests.connections.wizard.walk import errors, log_in
from tests.factories import Cast
from tests.household import PASSWORD, Household

STRING = "sftp://north:a%40b%3Ac@new.example.com:2222"


def url(name: str, rows: Household) -> str:
    return reverse(f"connections:{name}", args=[rows.warehouse.public_id])


def test_it_shows_all_but_the_password(cast: Cast, rows: Household) -> None:
    """dropstream.md §3: masked; a new string replaces it."""
    page = log_in(cast.staff).get(url("warehouse", rows)).content.decode()
    page = page.replace("<wbr>", "")
    assert "sftp://ship:***@files.example.com:22" in page
    assert PASSWORD not in page
    assert "sftp://username:password@hostname:22" in page
    report = reverse("connections:report", args=[rows.report.public_id])
    for words in ("inv_Plain.csv", "Refused", report, "Plain connection"):
        assert words in page
    assert '<th scope="row">2</th>' in log_in(cast.staff).get(report).content.decode()


def test_all_its_reports_are_listed_the_newest_first(
    cast: Cast, rows: Household, django_assert_max_num_queries: Any
) -> None:
    """One page costs the same however many there are; other warehouses' are not on it."""
    StockReport.objects.bulk_create(
        StockReport(
            account=cast.acme,
            warehouse=rows.warehouse,
            name=f"inv_{n:03}.csv",
            size=1,
            rows=n,
            state=StockReport.State.APPLIED,
        )
        for n in range(120)
    )
    elsewhere = factories.warehouse(cast.merchant, code="WH2")
    StockReport.objects.create(
        account=cast.acme, warehouse=elsewhere, name="inv_else.csv", size=1
    )
    client, there = log_in(cast.staff), url("report_list", rows)
    names: list[str] = []
    while there:
        with django_assert_max_num_queries(8):
            page = client.get(there)
        names += [report.name for report in page.context["reports"]]
        after = page.context["page"].next_after
        there = after and f"{url('report_list', rows)}?after={after}"
    newest_first = [f"inv_{n:03}.csv" for n in reversed(range(120))]
    assert names == [*newest_first, "inv_Plain.csv"]


def test_a_new_string_replaces_the_old_one(cast: Cast, rows: Household) -> None:
    """A1; what waited for it goes on at once."""
    client = log_in(cast.scoped_staff)
    response = client.post(url("warehouse", rows), {"connection_string": STRING})
    assert response.headers["Location"] == url("warehouse", rows)
    row = FileExchangeSettings.objects.get()
    assert str(row) == "sftp://north:***@new.example.com:2222"
    assert row.unseal("password").reveal() == "a@b:c"
    event = AuditEvent.objects.latest("pk")
    assert event.action == "warehouse.connection_string"
    assert event.actor == str(cast.scoped_staff)
    assert "a@b:c" not in f"{event.before} {event.after}"
    assert SyncRun.objects.filter(trigger="change").exists()


@pytest.mark.parametrize(
    "typed", ["", "nonsense-word", "sftp://u:secret-word@localhost"]
)
def test_a_wrong_string_changes_nothing(
    cast: Cast, rows: Household, typed: str
) -> None:
    """Issue 2: a clear message; what is stored stays, what was typed is not shown."""
    before = FileExchangeSettings.objects.values().get()
    client = log_in(cast.staff)
    response = client.post(url("warehouse", rows), {"connection_string": typed})
    assert list(errors(response)) == ["connection_string"]
    assert "-word" not in response.content.decode()
    assert FileExchangeSettings.objects.values().get() == before


def test_its_test_is_asked_for(cast: Cast, rows: Household) -> None:
    client = log_in(cast.staff)
    response = client.post(url("warehouse_test", rows))
    assert response.headers["Location"] == url("warehouse", rows)
    check = CheckRun.objects.get(warehouse=rows.warehouse)
    assert (check.requested_by, check.state) == (cast.staff, "queued")
    assert "Testing…" in client.get(url("warehouse", rows)).content.decode()


def test_an_approved_key_is_tried_at_once(cast: Cast, rows: Household) -> None:
    """H1, A1: the fingerprint is shown, one click trusts it and tests again."""
    client = log_in(cast.staff)
    store = reverse("connections:store", args=[rows.store.public_id])
    assert rows.host_key.sha256 in client.get(store).content.decode()
    approve = reverse(
        "connections:check_approve",
        args=[rows.check.public_id, rows.host_key.public_id],
    )
    assert client.post(approve).headers["Location"] == f"{store}#check"
    rows.host_key.refresh_from_db()
    assert rows.host_key.approved_by == cast.staff
    event = AuditEvent.objects.latest("pk")
    assert event.action == "host_key.approved"
    assert event.after == {"sha256": rows.host_key.sha256}
    assert CheckRun.objects.filter(store=rows.store, state="queued").count() == 1
    assert "Approve this key" not in client.get(store).content.decode()


def test_a_warehouse_without_a_string_gets_one(cast: Cast) -> None:
    """Its page opens, and is where the string is added."""
    there = factories.warehouse(cast.merchant)
    where = reverse("connections:warehouse", args=[there.public_id])
    client = log_in(cast.staff)
    assert "SFTP connection string" in client.get(where).content.decode()
    assert client.post(where, {"connection_string": STRING}).status_code == 302
    assert FileExchangeSettings.objects.get().warehouse == there
