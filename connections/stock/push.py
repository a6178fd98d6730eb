"""Send changed levels to the store's platform as one file."""

from __future__ import annotations

from collections.abc import Iterator

from psycopg.abc import Buffer

from connections import platforms
from connections.alerts.ledger import raise_alert
from connections.deliveries import build, copy, send
from connections.deliveries.preflight import Preflight
from connections.deliveries.send import Visibility
from connections.failpoints import failpoint
from connections.models import Channel, Delivery, SyncRun
from connections.platforms import StockFile
from connections.runs.context import RunContext
from connections.runs.jobs import STOCK_FULL
from connections.stock import levels
from stores.models import Warehouse


def push(context: RunContext, *, full: bool) -> None:
    """Bring the platform up to the warehouse's newest levels; once each.

    An unfinished delivery is brought to its end first. Raises WireError, Problem.
    """
    target = platforms.stock_target(context.store)
    waits_for = target.missing(context.store)
    if waits_for:
        # A normal path, not an error: nothing is built, so the newest levels go out
        # once when it is there (D17).
        context.counts["waiting_for"] = waits_for
        return
    unfinished = _unfinished(context)
    if unfinished is not None:
        _deliver(context, unfinished)
    delivery = _build(context, target.file, full=full)
    if delivery is not None:
        _deliver(context, delivery)


def _unfinished(context: RunContext) -> Delivery | None:
    """Return what an earlier run left; one that never started gives way."""
    left = (
        Delivery.objects.unfinished()
        .filter(channel=context.channel, entity=Delivery.Entity.STOCK)
        .first()
    )
    if left is not None and left.state == Delivery.State.BUILT:
        with context.fenced():
            build.supersede(left)
        return None
    return left


def _build(context: RunContext, file: StockFile, *, full: bool) -> Delivery | None:
    """Commit the next file, or return None when there is nothing to say."""
    mark = Channel.objects.values_list("sent_through", flat=True).get(
        pk=context.channel.pk
    )
    # Read before the rows: whatever carries a number up to this bound is visible to the
    # statement below, so moving the mark to it forgets nothing. A row that is newer is
    # sent now and once more.
    bound = Warehouse.objects.values_list("change_number", flat=True).get(
        pk=context.warehouse.pk
    )
    if bound <= mark and not full:
        return None
    if full or not mark:
        rows = levels.of_all(context.connection)
    else:
        rows = levels.of_changed(context.connection, mark)
    look = Preflight(file.sheet, tuple(file.select))
    with context.fenced():
        delivery = build.build(
            context.channel,
            entity=Delivery.Entity.STOCK,
            prefix=file.sheet.prefix,
            pieces=_checked(look, copy.rows(file.select, rows)),
            upper_bound=bound,
        )
        delivery.rows, delivery.left_out = look.rows, look.left_out
        delivery.problems, delivery.rules = look.problems, file.sheet.version
        delivery.save(update_fields=["rows", "left_out", "problems", "rules"])
        _tell_left_out(context, look)
        if not look.rows:
            # What changed is not sold here; the next push need not look again.
            delivery.delete()
            _reach(context, bound)
            return None
    failpoint("delivery.built")
    return delivery


def _checked(look: Preflight, rows: Iterator[Buffer]) -> Iterator[bytes]:
    yield look.header_line
    for block in look.blocks(rows):
        yield block.data


def _tell_left_out(context: RunContext, look: Preflight) -> None:
    """Alert until a full update finds nothing: a change alone looks at few rows."""
    if not look.left_out:
        return
    context.count("rows_left_out", look.left_out)
    raise_alert(
        "stock_rows_left_out",
        channel=context.channel,
        job=STOCK_FULL.slug,
        side=SyncRun.Side.STORE,
        detail=look.in_words(),
    )


def _deliver(context: RunContext, delivery: Delivery) -> None:
    target = platforms.stock_target(context.store)
    with target.open(context.store, context.deadline(delivery.size)) as sftp:
        send.send(
            context,
            delivery,
            sftp,
            folder=delivery.folder or target.folder(context.store, sftp),
            visibility=Visibility.ON_CLOSE,
            on_delivered=lambda done: _move_mark(context, done),
        )
    context.count("files_sent")
    context.count("rows_sent", delivery.rows)


def _move_mark(context: RunContext, delivery: Delivery) -> None:
    _reach(context, delivery.upper_bound)
    context.note("stock_sent", file=delivery.name, rows=delivery.rows)


def _reach(context: RunContext, bound: int) -> None:
    Channel.objects.filter(pk=context.channel.pk, sent_through__lt=bound).update(
        sent_through=bound
    )
