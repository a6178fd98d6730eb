"""Delayed: at the warehouse, not fully received, and past its day (dropstream.md §6)."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from django.utils import timezone

from connections.models import Activity, PurchaseOrder
from connections.orders import overdue, receipts
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
