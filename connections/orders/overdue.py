"""Orders that are past their due date become Delayed: for chasing; much later Closed.

dropstream.md §6. After how long an open order is given up is not known (§8.10): a
setting says it, and without one none is (docs/decisions/0026-giving-orders-up.md).
"""

from __future__ import annotations

from datetime import date, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from connections.models import PurchaseOrder
from connections.models.activity import note
from stores.models import Account
from stores.models.people import zone_named

EVERY_S = 300
BATCH = 1000
Status = PurchaseOrder.Status
# At the warehouse and not fully received. A New order is still to be handed over.
MAY_BE = (Status.OPEN, Status.PARTIALLY_RECEIVED)


def sweep() -> None:
    """Mark what is late, and close what is given up."""
    mark_delayed()
    close_given_up()


def mark_delayed() -> int:
    """Mark orders whose due date is over on their account's clock; return how many."""
    zones = Account.objects.order_by().values_list("time_zone", flat=True).distinct()
    return sum(_mark_all(zone) for zone in zones)


def close_given_up() -> int:
    """Close orders to which nothing happened for CLOSE_ORDERS_AFTER_DAYS; return how many.

    Not before they are as many days past their due date. A receipt, a change in the
    store platform or a person's decision begins the days anew.
    """
    days = settings.CLOSE_ORDERS_AFTER_DAYS
    if days is None:
        return 0
    closed = 0
    while found := _close(days):
        closed += found
    return closed


def is_overdue(order: PurchaseOrder) -> bool:
    """Whether its due date is over; a day of the account's clock, whoever looks."""
    due = order.expected_on
    return due is not None and due < _today(order.account.time_zone)


def _today(zone: str) -> date:
    return timezone.localdate(timezone=zone_named(zone))


def _mark_all(zone: str) -> int:
    marked, today = 0, _today(zone)
    while found := _mark(zone, today):
        marked += found
    return marked


@transaction.atomic
def _mark(zone: str, today: date) -> int:
    late = PurchaseOrder.objects.filter(
        account__time_zone=zone, status__in=MAY_BE, expected_on__lt=today
    )
    moved = _move(late.order_by("expected_on"), Status.DELAYED)
    for order in moved:
        if order.connection is not None:
            note(
                "order_delayed",
                connection=order.connection,
                order=order,
                number=str(order),
            )
    return len(moved)


@transaction.atomic
def _close(days: float) -> int:
    before = timezone.now() - timedelta(days=days)
    given_up = PurchaseOrder.objects.filter(
        # What was late became Delayed that day: `changed_at` counts from there.
        Q(expected_on=None) | Q(expected_on__lt=before.date()),
        status__in=(*MAY_BE, Status.DELAYED),
        changed_at__lt=before,
        # For the index: nothing changes before it is imported.
        imported_at__lt=before,
        account__in=Account.objects.values("pk"),
    )
    moved = _move(given_up.order_by(), Status.CLOSED)
    for order in moved:
        if order.connection is not None:
            note(
                "order_closed",
                connection=order.connection,
                order=order,
                number=str(order),
                days=int(days),
            )
    return len(moved)


def _move(orders: QuerySet[PurchaseOrder], status: Status) -> list[PurchaseOrder]:
    """Move a batch on; a row that somebody works on waits for the next turn."""
    rows = list(
        orders.select_for_update(of=("self",), skip_locked=True)
        .defer("document")
        .select_related("connection")[:BATCH]
    )
    PurchaseOrder.objects.filter(pk__in=[order.pk for order in rows]).update(
        status=status, changed_at=timezone.now()
    )
    return rows
