"""After a restore the rows know less than the far sides: doubt what might be doubled.

Stock heals by itself (the next files carry present figures), write-backs read before
they write, and receipts are known by their ids. What is left is a file or an order that
was sent after the backup and before the restore (reliability.md O4).
"""

from __future__ import annotations

from dataclasses import dataclass

from django.db import transaction
from django.db.models import CharField, Exists, OuterRef
from django.db.models.functions import Cast, Coalesce, Now

from connections.deliveries import send
from connections.models import Connection, Delivery, PurchaseOrder
from connections.models.activity import note
from connections.warehouses.platforms import WarehousePlatform


@dataclass(frozen=True)
class Doubted:
    """How many rows were marked."""

    connections: int
    orders: int
    files: int


@transaction.atomic
def doubt() -> Doubted:
    """Mark all that may have been sent already; nothing may run between restore and this.

    Orders that wait are held, and so will be those that the next imports find and that
    were made before now. Files that wait count as begun: the next run looks for them under
    their names. Stock that is not there is sent with the same bytes under the same name;
    an order of which the file is not there may have been taken, and is held as well.
    """
    Status, Held, State = PurchaseOrder.Status, PurchaseOrder.Held, Delivery.State
    unfinished = Delivery.objects.unfinished()
    of_orders = unfinished.filter(entity=Delivery.Entity.PURCHASE_ORDER)
    has_file = of_orders.filter(subject=Cast(OuterRef("public_id"), CharField()))
    orders = PurchaseOrder.objects.filter(
        ~Exists(has_file),
        status=Status.NEW,
        held__in=("", Held.NOT_SENDABLE, Held.LINE_ERROR, Held.OFF_PERIOD),
        # Of the others people know what they handed out.
        connection__warehouse__platform=WarehousePlatform.FILE_EXCHANGE,
    ).update(held=Held.RESTORED)
    of_orders.filter(state__in=(State.BUILT, State.SENDING)).update(
        announced=send.MOST_SENDS
    )
    files = unfinished.filter(state=State.BUILT).update(
        state=State.SENDING,
        first_attempt_at=Coalesce("first_attempt_at", Now()),
    )
    for connection in Connection.objects.all():
        note("restored", connection=connection)
    connections = Connection.objects.update(orders_doubted_before=Now())
    return Doubted(connections, orders, files)
