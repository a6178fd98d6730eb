"""Hand orders to the warehouse as `po_*.csv`, each once (docs/formats.md)."""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Iterator

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from connections.alerts.ledger import raise_alert
from connections.deliveries import build, send
from connections.deliveries.send import Visibility
from connections.failpoints import failpoint
from connections.models import (
    Channel,
    Connection,
    Delivery,
    HandOver,
    PurchaseOrder,
    SyncRun,
)
from connections.models.activity import note
from connections.problems import Problem
from connections.runs.context import RunContext
from connections.warehouses import file_exchange
from connections.warehouses.platforms import exchanges_files
from connections.wire.errors import WireError
from connections.wire.sftp import Sftp, join_path
from stores import audit
from stores.models import User

HEADER = (
    "po_id",
    "po_number",
    "vendor",
    "expected_on",
    "line_id",
    "sku",
    "title",
    "quantity",
)
PREFIX = "po"
# Then other stores have their turn, and the run goes on behind them.
ORDERS_A_TURN = 500


def hand_over(context: RunContext) -> None:
    """Send every New order that nothing holds; finish what an earlier run began.

    Raises WireError, Problem.
    """
    if not exchanges_files(context.warehouse):
        return  # people download its orders (`hand_out`)
    if not (_unfinished(context) or _ready(context).exists()):
        return
    with context.at_warehouse():
        in_folder = file_exchange.settings_of(context.warehouse).in_folder
    with (
        context.at_warehouse(),
        file_exchange.open_warehouse(context.warehouse, context.deadline()) as sftp,
    ):
        for delivery in _unfinished(context):
            if _gives_way(delivery):
                _withdraw(context, sftp, delivery)
            else:
                _send(context, sftp, in_folder, delivery)
        # Documents are large, and no part of the file.
        ready = _ready(context).defer("document").order_by("pk")
        for order in ready[:ORDERS_A_TURN]:
            if (built := _build(context, order)) is not None:
                _send(context, sftp, in_folder, built)
    context.goes_on = context.goes_on or _ready(context).exists()


def _ready(context: RunContext) -> QuerySet[PurchaseOrder]:
    return PurchaseOrder.objects.filter(
        connection=context.connection, status=PurchaseOrder.Status.NEW, held=""
    )


def _unfinished(context: RunContext) -> list[Delivery]:
    return list(
        Delivery.objects.unfinished()
        .filter(channel=context.channel, entity=Delivery.Entity.PURCHASE_ORDER)
        .order_by("pk")
    )


def under_way(orders: Collection[PurchaseOrder]) -> QuerySet[Delivery]:
    """The files of these orders that are made and not at their end."""
    return Delivery.objects.unfinished().filter(
        store__in={order.store_id for order in orders},
        entity=Delivery.Entity.PURCHASE_ORDER,
        subject__in=[str(order.public_id) for order in orders],
    )


def outdate(orders: Collection[PurchaseOrder]) -> None:
    """Note that files of these orders tell what they were before."""
    under_way(orders).update(is_outdated=True)


def _gives_way(delivery: Delivery) -> bool:
    """Whether nobody has seen it, and the order is another by now, or stopped."""
    waiting = PurchaseOrder.objects.filter(
        public_id=delivery.subject, status=PurchaseOrder.Status.NEW, held=""
    )
    return delivery.announced == 0 and (delivery.is_outdated or not waiting.exists())


def _withdraw(context: RunContext, sftp: Sftp, delivery: Delivery) -> None:
    """End it as if it had never been made: its order was not sent."""
    if delivery.folder and delivery.peer in ("", sftp.peer):
        path = join_path(delivery.folder, delivery.name)
        try:
            sftp.remove(send.hidden_path(path))
        except WireError as error:
            if error.status is None:  # the server has not answered
                raise
    with context.fenced():
        build.supersede(delivery)
        delivery.hand_overs.all().delete()


def _build(context: RunContext, order: PurchaseOrder) -> Delivery | None:
    """Make the order's file; None when a person stopped it meanwhile."""
    with context.effect():
        ready = _ready(context).defer("document").select_for_update()
        row = ready.filter(pk=order.pk).first()
        if row is None:
            return None
        delivery = _commit(context.channel, row)
    failpoint("delivery.built")
    return delivery


def _commit(channel: Channel, order: PurchaseOrder) -> Delivery:
    """Commit the file and its tombstone: from here on the order counts as sent once."""
    delivery = build.build(
        channel,
        entity=Delivery.Entity.PURCHASE_ORDER,
        subject=str(order.public_id),
        prefix=PREFIX,
        pieces=_csv(order),
    )
    delivery.rows = order.lines.count()
    delivery.save(update_fields=["rows"])
    HandOver.objects.create(
        account_id=order.account_id,
        store_id=order.store_id,
        external_id=order.external_id,
        file_name=delivery.name,
        delivery=delivery,
    )
    return delivery


@transaction.atomic
def hand_out(order: PurchaseOrder, *, by: User) -> Delivery:
    """Give a manual warehouse's order to a person as a file; again: the same file.

    Raises Problem("order_not_ready") for one that is held, or not handed out by people.
    """
    order = PurchaseOrder.objects.select_for_update(of=("self",)).get(pk=order.pk)
    given = Delivery.objects.filter(
        subject=str(order.public_id),
        entity=Delivery.Entity.PURCHASE_ORDER,
        state=Delivery.State.DELIVERED,
    ).first()
    if given is not None and order.status != PurchaseOrder.Status.NEW:
        return given
    connection = order.connection
    ready = order.status == PurchaseOrder.Status.NEW and not order.held
    if connection is None or not ready or exchanges_files(connection.warehouse):
        raise Problem("order_not_ready")
    channel = connection.channels.get(type=Channel.Type.PURCHASE_ORDERS)
    delivery = _commit(channel, order)
    delivery.state, delivery.delivered_at = Delivery.State.DELIVERED, timezone.now()
    delivery.save(update_fields=["state", "delivered_at"])
    _set_open(delivery, connection)
    audit.record("order.handed_out", order, by=by, after={"file": delivery.name})
    return delivery


def _send(context: RunContext, sftp: Sftp, in_folder: str, delivery: Delivery) -> None:
    try:
        send.send(
            context,
            delivery,
            sftp,
            folder=lambda: in_folder,
            visibility=Visibility.RENAME,
            on_delivered=lambda done: _set_open(done, context.connection, context.run),
            on_doubt=lambda lost: _hold(context, lost),
        )
    except Problem as problem:
        if problem.code != "delivery_unknown":
            raise
        context.count("orders_in_doubt")  # the others need not wait for the answer
    else:
        context.count("orders_sent")


def _hold(context: RunContext, delivery: Delivery) -> None:
    """The warehouse perhaps has it: a new file only when a person says so."""
    PurchaseOrder.objects.filter(
        public_id=delivery.subject, status=PurchaseOrder.Status.NEW
    ).update(held=PurchaseOrder.Held.SENT_BEFORE, changed_at=timezone.now())
    raise_alert(
        "order_in_doubt",
        channel=context.channel,
        job=context.run.job,
        side=SyncRun.Side.WAREHOUSE,
        detail=delivery.name,
    )


def _set_open(
    delivery: Delivery, connection: Connection, run: SyncRun | None = None
) -> None:
    order = PurchaseOrder.objects.get(public_id=delivery.subject)
    # A receipt may have come first: then the order is further on already.
    PurchaseOrder.objects.filter(pk=order.pk, status=PurchaseOrder.Status.NEW).update(
        status=PurchaseOrder.Status.OPEN, changed_at=timezone.now()
    )
    note(
        "order_sent",
        connection=connection,
        run=run,
        order=order,
        number=str(order),
        file=delivery.name,
    )


def _csv(order: PurchaseOrder) -> Iterator[bytes]:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(HEADER)
    for line in order.lines.all():
        writer.writerow(
            (
                order.external_id,
                order.reference,
                order.vendor,
                order.expected_on or "",
                line.line_id,
                line.sku,
                " ".join(line.title.split()),
                f"{line.quantity.normalize():f}",
            )
        )
    yield text.getvalue().encode()
