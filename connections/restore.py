"""After a restore the rows know less than the far sides: doubt what might be doubled.

Stock heals by itself (the next files carry present figures), write-backs read before
they write, and receipts are known by their ids. What is left is a file or an order that
was sent after the backup and before the restore (reliability.md O4).
"""

from __future__ import annotations

from dataclasses import dataclass

from django.db import transaction
from django.db.models import Exists, OuterRef
from django.db.models.functions import Coalesce, Now

from connections.models import Connection, Delivery, HandOver, PurchaseOrder
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

    Orders without a tombstone are held, and so will be those that the next imports find
    and that were made before now. Files that wait count as begun: the next run looks for
    them under their names and sends the same bytes under the same name if need be.
    """
    sent = HandOver.objects.filter(
        store=OuterRef("store"), external_id=OuterRef("external_id")
    )
    orders = PurchaseOrder.objects.filter(
        ~Exists(sent),
        status=PurchaseOrder.Status.NEW,
        held="",
        # Of the others people know what they handed out.
        connection__warehouse__platform=WarehousePlatform.FILE_EXCHANGE,
    ).update(held=PurchaseOrder.Held.RESTORED)
    files = Delivery.objects.filter(state=Delivery.State.BUILT).update(
        state=Delivery.State.SENDING,
        first_attempt_at=Coalesce("first_attempt_at", Now()),
    )
    for connection in Connection.objects.all():
        note("restored", connection=connection)
    connections = Connection.objects.update(orders_doubted_before=Now())
    return Doubted(connections, orders, files)
