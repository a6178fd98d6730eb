"""Delayed: past its day and not fully received; Closed: given up (dropstream.md §6)."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from django.utils import timezone
from pytest_django import Settings

from connections.models import Activity, PurchaseOrder
from connections.orders import actions, overdue, receipts
from stores.models import Account
from tests import factories
from tests.connections.views.test_order_list import line, order
from tests.factories import Cast

Status = PurchaseOrder.Status
YESTERDAY, TODAY = -1, 0


def due(in_days: int) -> date:
    return timezone.localdate(timezone=timezone.get_default_timezone()) + timedelta(
        days=in_days
    )


@pytest.mark.parametrize("status", Status)
def test_only_what_is_at_the_warehouse_can_be_late(cast: Cast, status: Status) -> None:
    of = line(cast.merchant)
    late = order(of, "LATE", "A", status=status, expected_on=due(YESTERDAY))
    order(of, "TODAY", "A", status=status, expected_on=due(TODAY))
    order(of, "SOME-DAY", "A", status=status)
    at_warehouse = status in (Status.OPEN, Status.PARTIALLY_RECEIVED)
    assert [overdue.mark_delayed() for _turn in "12"] == [at_warehouse, 0]
    late.refresh_from_db()
    assert late.status == (Status.DELAYED if at_warehouse else status)
    assert PurchaseOrder.objects.filter(status=status).count() == 3 - at_warehouse
    assert Activity.objects.filter(event="order_delayed").count() == at_warehouse


def test_the_day_is_the_accounts_whoever_looks(cast: Cast) -> None:
    """At any moment it is the next day somewhere between these two."""
    Account.objects.filter(pk=cast.acme.pk).update(time_zone="Pacific/Kiritimati")
    Account.objects.filter(pk=cast.other.pk).update(time_zone="Pacific/Pago_Pago")
    today = timezone.localdate(timezone=ZoneInfo("Pacific/Pago_Pago"))
    for merchant in (cast.merchant, factories.merchant(cast.other)):
        order(line(merchant), "P", "A", status=Status.OPEN, expected_on=today)
    assert overdue.mark_delayed() == 1
    assert PurchaseOrder.objects.get(status=Status.DELAYED).account == cast.acme


def test_a_part_that_comes_late_leaves_it_delayed_and_the_rest_ends_it(
    cast: Cast,
) -> None:
    late = order(line(cast.merchant), "P", "A", status="delayed", expected_on=due(-1))
    [line_] = late.lines.all()
    for token, quantity, status in (("1", 4, "delayed"), ("2", 6, "received")):
        receipts.enter(late, {line_.pk: Decimal(quantity)}, token=token, by=cast.staff)
        late.refresh_from_db()
        assert late.status == status


# --- Closed


@pytest.mark.parametrize("status", Status)
def test_what_nothing_happened_to_is_closed(
    cast: Cast, settings: Settings, status: Status
) -> None:
    """dropstream.md §6: aged out; §8.10: after how long is a setting, off by default."""
    old, recent = (timezone.now() - timedelta(days=days) for days in (31, 29))
    of = line(cast.merchant)
    facts = {"status": status, "imported_at": old, "changed_at": old}
    given_up = [
        order(of, "NO-DAY", "A", **facts),
        order(of, "PAST", "A", expected_on=due(-32), **facts),
    ]
    order(of, "CHANGED", "A", **facts | {"changed_at": recent})
    order(of, "STILL-DUE", "A", expected_on=due(1), **facts)
    order(of, "JUST-DUE", "A", expected_on=due(-29), **facts)
    assert overdue.close_given_up() == 0
    settings.CLOSE_ORDERS_AFTER_DAYS = 30
    at_warehouse = status in ("open", "partially_received", "delayed")
    expected = 2 if at_warehouse else 0
    assert [overdue.close_given_up() for _turn in "12"] == [expected, 0]
    if at_warehouse:
        closed = PurchaseOrder.objects.filter(status="closed")
        assert set(closed) == set(given_up)
    told = Activity.objects.filter(event="order_closed")
    assert told.count() == expected


def test_what_was_closed_lives_again_and_what_comes_late_is_kept(
    cast: Cast, settings: Settings
) -> None:
    """It does not move on by itself: Reprocess puts it where it stands."""
    settings.CLOSE_ORDERS_AFTER_DAYS = 30
    old = timezone.now() - timedelta(days=31)
    facts = {"status": "open", "imported_at": old, "changed_at": old}
    late = order(line(cast.merchant), "P", "A", **facts)
    overdue.sweep()
    [line_] = late.lines.all()
    receipts.enter(late, {line_.pk: Decimal(10)}, token="1", by=cast.staff)
    late.refresh_from_db()
    line_.refresh_from_db()
    assert (late.status, line_.received) == ("closed", Decimal(10))
    assert actions.reprocess(late, cast.staff)
    late.refresh_from_db()
    assert late.status == "received"
