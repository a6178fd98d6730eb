"""Send changed levels to the store's platform as one file."""

from __future__ import annotations

from collections.abc import Iterator

from django.db import connections as databases
from psycopg import sql

from connections import platforms
from connections.deliveries import build, send
from connections.deliveries.send import Visibility
from connections.failpoints import failpoint
from connections.models import Channel, Delivery
from connections.platforms import StockFile
from connections.runs.context import RunContext
from stores.models import Warehouse

# Facilities that are not mapped add up into the warehouse's own code (design.md §3).
LEVELS = """
    SELECT level.sku,
           coalesce(location.location_id, {code}) AS location_id,
           sum(level.available) AS available,
           max(level.changed_at) AS changed_at
    FROM connections_stocklevel level
    LEFT JOIN connections_location location
        ON location.connection_id = {connection}
       AND location.facility = level.facility
    WHERE level.warehouse_id = {warehouse}
      AND ({full} OR level.sku IN (
          SELECT sku FROM connections_stocklevel
          WHERE warehouse_id = {warehouse} AND change_number > {mark}))
    GROUP BY 1, 2
    HAVING {full} OR max(level.change_number) > {mark}
    ORDER BY 1, 2
"""


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
    rows = _Rows(context, file, mark=mark, full=full)
    with context.fenced():
        delivery = build.build(
            context.channel,
            entity=Delivery.Entity.STOCK,
            prefix=file.prefix,
            pieces=rows.pieces(),
            upper_bound=bound,
        )
        delivery.rows = rows.count
        delivery.save(update_fields=["rows"])
        if not rows.count:
            delivery.delete()
            return None
    failpoint("delivery.built")
    return delivery


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
    Channel.objects.filter(
        pk=context.channel.pk, sent_through__lt=delivery.upper_bound
    ).update(sent_through=delivery.upper_bound)
    context.note("stock_sent", file=delivery.name, rows=delivery.rows)


class _Rows:
    """COPY of the levels as CSV, counted as it passes.

    Its own database connection: the bytes are written by another one meanwhile.
    """

    def __init__(
        self, context: RunContext, file: StockFile, *, mark: int, full: bool
    ) -> None:
        self.count = 0
        levels = sql.SQL(LEVELS).format(
            code=sql.Literal(context.warehouse.code),
            connection=sql.Literal(context.connection.pk),
            warehouse=sql.Literal(context.warehouse.pk),
            full=sql.Literal(full),
            mark=sql.Literal(mark),
        )
        columns = sql.SQL(", ").join(
            sql.SQL("{} AS {}").format(sql.SQL(select), sql.Identifier(name))
            for name, select in zip(file.header, file.select, strict=True)
        )
        self._copy = sql.SQL(
            "COPY (SELECT {} FROM ({}) level) TO STDOUT (FORMAT csv, HEADER)"
        ).format(columns, levels)

    def pieces(self) -> Iterator[bytes]:
        reader = databases.create_connection("default")
        try:
            with reader.cursor() as cursor:
                # A large stock takes as long as it takes to be packed.
                cursor.execute("SET statement_timeout = 0")
                with cursor.copy(self._copy) as copy:
                    for data in copy:
                        # One message a row, the header first: no row holds a line break.
                        self.count += bytes(data).count(b"\n")
                        yield bytes(data)
            self.count -= 1
        finally:
            reader.close()
