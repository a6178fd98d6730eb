"""A change of listings or locations is a changed level: it is numbered as a report is."""

from __future__ import annotations

from django.db.models import Q

from connections.models import Channel, Delivery
from stores.models import Store, Warehouse


def may_have_sent(store: Store) -> bool:
    """Say whether the store's platform may have heard of any of its levels.

    Locks the channels: none is turned on before the caller's transaction ends.
    """
    channels = lock_channels(Q(connection__store=store, type=Channel.Type.INVENTORY))
    is_on = [channel.is_on and channel.connection.is_on for channel in channels]
    return (
        any(is_on)
        or Delivery.objects.filter(store=store, entity=Delivery.Entity.STOCK)
        .exclude(state=Delivery.State.SUPERSEDED)
        .exists()
    )


def lock_channels(where: Q) -> list[Channel]:
    """Take the lock of channels. Whoever needs warehouses' as well takes those after it.

    Then that of the audit. All wait in that order, so that no two wait for each other.
    """
    rows = Channel.objects.select_for_update(no_key=True, of=("self",)).filter(where)
    return list(rows.select_related("connection").order_by("pk"))


def lock_warehouses(where: Q) -> list[Warehouse]:
    """Take the lock of warehouses, and the next change number of each (design.md §3).

    The same lock as an ingest's: numbers become visible in their order, so that no push
    can skip one. `keep` writes the numbers.
    """
    # Found first: a join on a to-many path would repeat rows, and locks take none.
    found = Warehouse.objects.filter(where).values_list("pk", flat=True)
    locked = list(
        Warehouse.objects.select_for_update().filter(pk__in=set(found)).order_by("pk")
    )
    for warehouse in locked:
        warehouse.change_number += 1
    return locked


def keep(warehouse: Warehouse) -> None:
    """Write the raised number, in the transaction of what carries it."""
    warehouse.save(update_fields=["change_number"])
