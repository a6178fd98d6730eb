"""Orders as rows: which of the platform's words stands in which column; COPY.

Documents are large: as parameters of an INSERT they would be quoted letter by letter.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import date, datetime
from typing import NamedTuple
from uuid import uuid4

from django.db import connection as database
from django.utils import timezone

from connections.models import Connection, PurchaseOrder
from connections.orders.routing import Fate
from connections.platforms import (
    OrderDocument,
    RemoteLine,
    RemoteOrder,
    UnreadableOrder,
)
from stores.models import Store

Status = PurchaseOrder.Status

LONGEST_ERROR = 500  # characters of its column

# Each by its key. Of a new store the statistics know no rows, and the planner would read
# all that it has by any index; behind a subquery it takes the average store's size.
KNOWN = """
    SELECT wanted.id, known.content_hash, known.held
    FROM unnest(%s::text[]) AS wanted(id),
    LATERAL (
        SELECT content_hash, held FROM connections_purchaseorder
        WHERE store_id = (SELECT %s::bigint) AND external_id = wanted.id
        OFFSET 0
    ) AS known
"""
TAKE_IDS = """
    SELECT nextval(pg_get_serial_sequence('connections_purchaseorder', 'id'))
    FROM generate_series(1, %s)
"""
COPY_ORDERS = """
    COPY connections_purchaseorder
        (id, public_id, account_id, store_id,
         connection_id, external_id, reference, vendor,
         remote_warehouse, remote_status,
         remote_modified_at, remote_created_at, expected_on,
         status, held, error,
         document, content_hash, imported_at, changed_at,
         acknowledgement, write_effect, write_attempts, write_refused)
    FROM STDIN
"""
COPY_LINES = """
    COPY connections_purchaseorderline
        (order_id, store_id, external_id, line_id, sku, title,
         quantity, received, received_there)
    FROM STDIN
"""


class Header(NamedTuple):
    """What of the platform's words stands in the order's own columns."""

    reference: str
    vendor: str = ""
    remote_warehouse: str = ""
    remote_status: str = ""
    remote_modified_at: datetime | None = None
    remote_created_at: datetime | None = None
    expected_on: date | None = None


def header(order: RemoteOrder) -> Header:
    """Say the platform's words by column."""
    return Header(
        order.reference,
        order.vendor,
        order.warehouse,
        order.status,
        order.modified_at,
        order.created_at,
        order.expected_on,
    )


def set_header(row: PurchaseOrder, order: RemoteOrder) -> None:
    """Let the columns hold the platform's words; saves nothing."""
    for name, value in header(order)._asdict().items():
        setattr(row, name, value)


class NewOrder(NamedTuple):
    """An order that is to be a row."""

    pk: int
    document: OrderDocument
    order: RemoteOrder | UnreadableOrder
    fate: Fate

    def __str__(self) -> str:
        return self.order.reference or self.order.external_id  # as PurchaseOrder

    @property
    def connection(self) -> Connection | None:
        return self.fate.connection


class Known(NamedTuple):
    """What a document must differ in to say anything new of its order."""

    digest: str
    held: str


def known(store: Store, external_ids: Collection[str]) -> dict[str, Known]:
    """Return the orders that are here, by their external ids."""
    if not external_ids:
        return {}
    with database.cursor() as cursor:
        cursor.execute(KNOWN, [list(external_ids), store.pk])
        return {external_id: Known(*row) for external_id, *row in cursor.fetchall()}


def take_ids(count: int) -> list[int]:
    """Take primary keys, so that orders and lines can be copied in one go each."""
    with database.cursor() as cursor:
        cursor.execute(TAKE_IDS, [count])
        return [pk for (pk,) in cursor.fetchall()]


def write_orders(store: Store, orders: Iterable[NewOrder]) -> None:
    """Insert orders that have their keys (`take_ids`).

    The server works while the next one is made: no other query may be asked meanwhile.
    """
    now = timezone.now()
    with database.cursor() as cursor, cursor.copy(COPY_ORDERS) as copy:
        for pk, document, order, (connection, held) in orders:
            if isinstance(order, RemoteOrder):
                words, status, error = header(order), Status.NEW, ""
            else:
                words = Header(order.reference, remote_warehouse=order.warehouse)
                status, error = Status.ERROR, order.reason[:LONGEST_ERROR]
            copy.write_row(
                (
                    *(pk, uuid4(), store.account_id, store.pk),
                    *(connection and connection.pk, order.external_id, *words),
                    *(status, held, error),
                    *(document.text, document.digest, now, now, "", "", 0, ""),
                )
            )


def write_lines(
    store: Store, orders: Iterable[tuple[int, Iterable[RemoteLine]]]
) -> None:
    """Insert the lines of orders, by key, that have none (yet, or any more).

    Before the orders themselves, if need be: the database looks for them at the end. It
    works while the next lines are made: no other query may be asked meanwhile.
    """
    with database.cursor() as cursor, cursor.copy(COPY_LINES) as copy:
        for pk, lines in orders:
            for line in lines:
                copy.write_row(
                    (
                        pk,
                        store.pk,
                        line.external_id,
                        line.line_id,
                        line.sku,
                        line.title,
                        line.quantity,
                        0,
                        line.received,
                    )
                )
