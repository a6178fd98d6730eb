"""Which connection of its store an order goes to: exactly one, never a guess.

design.md §3, Routing and Off-periods.
"""

from __future__ import annotations

from typing import NamedTuple

from django.db import transaction

from connections.models import Channel, Connection, OffPeriod, PurchaseOrder, SyncRun
from connections.platforms import RemoteOrder, UnreadableOrder
from connections.runs import queue
from connections.runs.jobs import ORDERS_IMPORT
from connections.warehouses.platforms import exchanges_files
from stores import audit
from stores.models import Store, User

Held = PurchaseOrder.Held


class Fate(NamedTuple):
    """What becomes of an order that is new here; `held` blank: it is handed over."""

    connection: Connection | None
    held: str


class Routes:
    """The connections of a store, as they are now."""

    def __init__(self, store: Store) -> None:
        rows = Connection.objects.filter(store=store)
        self._connections = list(rows.select_related("warehouse"))
        ended = OffPeriod.objects.filter(ended_at__isnull=False)
        self._off_periods = list(ended.filter(connection__in=self._connections))

    def of(self, remote_warehouse: str) -> Connection | None:
        """The one connection for the platform's warehouse, or none."""
        matching = [
            connection
            for connection in self._connections
            if remote_warehouse and connection.remote_warehouse == remote_warehouse
        ]
        if len(matching) == 1:
            return matching[0]
        only = self._connections[0] if len(self._connections) == 1 else None
        return only if only and not only.remote_warehouse else None

    def fate(self, order: RemoteOrder | UnreadableOrder, *, sent_before: bool) -> Fate:
        """Where an order that is new here goes, and why not at once."""
        connection = self.of(order.warehouse)
        if isinstance(order, UnreadableOrder):
            return Fate(connection, Held.UNREADABLE)
        return Fate(connection, self.held(order, connection, sent_before=sent_before))

    def held(
        self, order: RemoteOrder, connection: Connection | None, *, sent_before: bool
    ) -> str:
        """Why an order that is new here is not handed over; blank: it is."""
        if connection is None:
            return Held.NO_ROUTE
        if sent_before:
            return Held.SENT_BEFORE
        if self._perhaps_sent(order, connection):
            return Held.RESTORED
        if self._made_while_off(order, connection):
            return Held.OFF_PERIOD
        return held_by_content(order)

    def _made_while_off(self, order: RemoteOrder, connection: Connection) -> bool:
        at = order.created_at
        return at is not None and any(
            period.connection_id == connection.pk
            and period.started_at <= at
            and (period.ended_at is None or at < period.ended_at)
            for period in self._off_periods
        )

    @staticmethod
    def _perhaps_sent(order: RemoteOrder, connection: Connection) -> bool:
        """Made before the database was restored: by now lost rows may have sent it."""
        before, at = connection.orders_doubted_before, order.created_at
        if before is None or not exchanges_files(connection.warehouse):
            return False
        return at is None or at < before


def lacks_warehouse(connection: Connection) -> bool:
    """Whether no order finds the connection: its store has several, it names none."""
    others = Connection.objects.filter(store=connection.store_id)
    return not connection.remote_warehouse and others.exclude(pk=connection.pk).exists()


@transaction.atomic
def serve(connection: Connection, remote_warehouse: str, *, by: User) -> bool:
    """Let a connection take the orders for one of the platform's warehouses.

    Blank: all orders of a store without another connection. The import that follows
    looks at what waits for a warehouse. False when nothing differs.
    """
    row = Connection.objects.select_for_update(of=("self",)).get(pk=connection.pk)
    before = row.remote_warehouse
    if remote_warehouse == before:
        return False
    row.remote_warehouse = remote_warehouse
    row.save(update_fields=["remote_warehouse"])
    audit.record(
        "connection.routed",
        row,
        by=by,
        before={"remote_warehouse": before},
        after={"remote_warehouse": remote_warehouse},
    )
    for channel in row.channels.filter(type=Channel.Type.PURCHASE_ORDERS):
        queue.enqueue(channel, ORDERS_IMPORT, SyncRun.Trigger.PERSON, by=by)
    return True


def held_by_content(order: RemoteOrder) -> str:
    """What in the order itself keeps it from the warehouse."""
    if not order.sendable:
        return Held.NOT_SENDABLE
    if not order.lines or any(
        not line.sku or line.quantity <= 0 for line in order.lines
    ):
        return Held.LINE_ERROR
    return ""
