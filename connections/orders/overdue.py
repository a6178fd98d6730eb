"""Orders that are past their due date become Delayed: for chasing (dropstream.md §6)."""

from __future__ import annotations

from datetime import date

from django.db import transaction
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


def mark_delayed() -> int:
    """Mark orders whose due date is over on their account's clock; return how many."""
    zones = Account.objects.order_by().values_list("time_zone", flat=True).distinct()
    return sum(_mark_all(zone) for zone in zones)


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
    """Mark a batch; a row that somebody works on waits for the next turn."""
    orders = list(
        PurchaseOrder.objects.select_for_update(of=("self",), skip_locked=True)
        .select_related("connection")
        .filter(account__time_zone=zone, status__in=MAY_BE, expected_on__lt=today)
        .order_by("expected_on")[:BATCH]
    )
    PurchaseOrder.objects.filter(pk__in=[order.pk for order in orders]).update(
        status=Status.DELAYED, changed_at=timezone.now()
    )
    for order in orders:
        if order.connection is not None:
            note(
                "order_delayed",
                connection=order.connection,
                order=order,
                number=str(order),
            )
    return len(orders)
