"""Figures that stand still are told again: the 7-day rule, or all once a week."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db.models.functions import Now
from django.test import Client
from django.urls import reverse

from connections.models import Channel, Delivery, StockLevel
from dropstream.sandbox.ssh_server import DropConnection
from tests import factories
from tests.engine import run_now
from tests.factories import Line
from tests.lab.script import at_step, refuse

DAY = timedelta(days=1)


@pytest.fixture
def still_line(line: Line) -> Line:
    """Four SKUs that were sent, and when they last changed; told again 1.5 days ago."""
    line.clear_reports()
    line.report("inv_1.csv", "sku,available\nA,1\nB,2\nC,3\nD,4\n")
    run_now(line.stock, "stock_changes")
    for path in line.drop.files():
        (line.drop.folder / path).unlink()
    for sku, days in (("A", 7.5), ("B", 9), ("C", 3), ("D", 22)):
        StockLevel.objects.filter(sku=sku).update(changed_at=Now() - days * DAY)
    Channel.objects.filter(pk=line.stock.pk).update(repeated_at=Now() - 1.5 * DAY)
    return line


def ids(content: bytes) -> list[str]:
    return [row.split(",")[0] for row in content.decode().splitlines()[1:]]


def test_a_figure_is_told_again_every_seven_days(still_line: Line) -> None:
    """dropstream.md §5: A and D came due since figures were last told again."""
    run_now(still_line.stock, "stock_changes")
    [content] = still_line.dropped()
    assert ids(content) == ["A", "D"]
    assert (
        Delivery.objects.latest("pk").repeated_through == still_line.stock.repeated_at
    )
    assert run_now(still_line.stock, "stock_changes").counts == {}


def test_what_changed_goes_with_it_and_once(still_line: Line) -> None:
    still_line.report("inv_2.csv", "sku,available\nA,10\nC,30\n")
    run_now(still_line.stock, "stock_changes")
    [content] = still_line.dropped()
    assert ids(content) == ["A", "C", "D"]
    assert still_line.stock.sent_through == 2


def test_it_is_looked_for_once_a_day(still_line: Line) -> None:
    """Looking reads every level."""
    Channel.objects.filter(pk=still_line.stock.pk).update(repeated_at=Now() - 0.9 * DAY)
    assert run_now(still_line.stock, "stock_changes").counts == {}


def test_nothing_due_is_no_file_and_is_not_looked_for_again(still_line: Line) -> None:
    StockLevel.objects.update(changed_at=Now() - 2 * DAY)
    before = still_line.stock.repeated_at
    assert run_now(still_line.stock, "stock_changes").counts == {}
    after = still_line.stock.repeated_at
    assert before is not None
    assert after is not None
    assert after - before > DAY


def test_a_file_that_did_not_arrive_has_told_nothing(still_line: Line) -> None:
    """What is due stays due, also when the file gives way to a newer one."""
    at_step(
        still_line.sandbox.ip.sftp_faults,
        "list",
        refuse(DropConnection()),
        path="/",
    )
    before = still_line.stock.repeated_at
    run = run_now(still_line.stock, "stock_changes")
    assert run.state == "queued"
    assert still_line.stock.repeated_at == before
    still_line.sandbox.ip.sftp_faults.clear()
    run_now(still_line.stock, "stock_changes")
    assert ids(still_line.dropped()[-1]) == ["A", "D"]


@pytest.mark.parametrize(("days", "told"), [(6.9, []), (7.1, ["A", "B", "C", "D"])])
def test_everything_once_in_seven_days(
    still_line: Line, days: float, told: list[str]
) -> None:
    """inventory-planner.md §4.6: a guard against files that were skipped."""
    factories.change_store(still_line.store, repeat_stock="all")
    Channel.objects.filter(pk=still_line.stock.pk).update(
        repeated_at=Now() - days * DAY
    )
    run_now(still_line.stock, "stock_changes")
    assert [ids(content) for content in still_line.dropped()] == [told][: len(told)]


def test_a_full_update_counts_as_the_weeks(still_line: Line) -> None:
    factories.change_store(still_line.store, repeat_stock="all")
    Channel.objects.filter(pk=still_line.stock.pk).update(repeated_at=Now() - 8 * DAY)
    run_now(still_line.stock, "stock_full")
    assert run_now(still_line.stock, "stock_changes").counts == {}


def test_never_is_never(still_line: Line) -> None:
    factories.change_store(still_line.store, repeat_stock="never")
    Channel.objects.filter(pk=still_line.stock.pk).update(repeated_at=Now() - 90 * DAY)
    assert run_now(still_line.stock, "stock_changes").counts == {}


def test_the_setting_is_on_the_stores_page_and_stays(
    line: Line, client: Client
) -> None:
    client.force_login(line.person)
    url = reverse("connections:store", args=[line.store.public_id])
    form = client.get(url).context["form"]
    assert form["repeat_stock"].value() == "each"
    answers = {name: form[name].value() or "" for name in form.fields}
    client.post(url, answers | {"repeat_stock": "all"})
    assert client.get(url).context["form"]["repeat_stock"].value() == "all"
