"""Tell the platform of warehouses, vendors and variants: it drops stock of unknown ones.

Only when somebody asks for it, or before the first stock file when the store is set up
so: a platform replaces what it knows by what it is told (inventory-planner.md §4.2).
"""

from __future__ import annotations

from django.db.models import Q
from psycopg import sql

from connections import platforms
from connections.deliveries import build, copy
from connections.deliveries.preflight import Preflight
from connections.deliveries.send import OnEnd
from connections.failpoints import failpoint
from connections.models import Channel, Connection, Delivery, StockLevel
from connections.models.delivery import DeliveryQuerySet
from connections.problems import Problem
from connections.runs.context import RunContext
from connections.stock import levels
from connections.stock.deliver import deliver, tell_left_out
from connections.stock.plan import peer_of_newest

State, Entity = Delivery.State, Delivery.Entity

# The errand of the files that go before a channel's first stock file.
FIRST = "first"

# Where stock lies. A place that is only known by its id is called so.
_WAREHOUSES = """
    SELECT location_id,
           CASE WHEN location_id = {code} THEN {name}::text
                ELSE concat_ws(' – ', {name}, coalesce(facilities, location_id))
           END AS name
    FROM (SELECT DISTINCT location_id FROM ({levels}) level) place
    LEFT JOIN (
        SELECT location_id, string_agg(facility, ', ' ORDER BY facility) AS facilities
        FROM connections_location
        WHERE connection_id = {connection} AND retired_at IS NULL AND facility <> ''
        GROUP BY location_id
    ) named USING (location_id)
    ORDER BY location_id
"""
_VARIANTS = """
    SELECT level.variant_id, max(level.sku) AS sku,
           coalesce(nullif(max(listing.title), ''), max(level.sku)) AS title,
           min(level.changed_at) AS changed_at
    FROM ({levels}) level
    LEFT JOIN connections_listing listing
        ON listing.store_id = {store} AND listing.variant_id = level.variant_id
       AND listing.retired_at IS NULL
    GROUP BY level.variant_id
    ORDER BY level.variant_id
"""
_ONE_ROW = "SELECT 1 AS one"
_SOURCES = {
    Entity.WAREHOUSE: _WAREHOUSES,
    Entity.VENDOR: _ONE_ROW,
    Entity.VARIANT: _VARIANTS,
}


def send(context: RunContext) -> None:
    """Send all three, once a run however often it is tried. Raises WireError, Problem."""
    target = platforms.stock_target(context.store)
    waits_for = target.missing(context.store)
    if waits_for:
        context.counts["waiting_for"] = waits_for
        return
    if not _has_stock(context):
        raise Problem("stock_not_reported")
    _send(context, str(context.run.public_id))


def send_first(context: RunContext) -> None:
    """Send them before a channel's first stock for a drop; nothing once that is there.

    Raises WireError, Problem: also when the warehouse's reports could not be read.
    """
    here = platforms.stock_target(context.store).peer(context.store)
    if _has_stock(context) and not stock_was_sent(context.channel, here):
        # What could not be read now would be told of to nobody later.
        context.check_warehouse()
        _send(context, FIRST)


def stock_was_sent(channel: Channel, here: str) -> bool:
    """Whether a channel's newest stock went to a peer; the mark may have gone back since."""
    return peer_of_newest(channel) in ("", here)


def _has_stock(context: RunContext) -> bool:
    return StockLevel.objects.filter(warehouse=context.warehouse).exists()


def _send(context: RunContext, errand: str) -> None:
    files = Delivery.objects.filter(
        channel=context.channel, entity__in=Delivery.MASTER_DATA
    )
    # One that is lost, or went to another drop, has all made anew: under another name of
    # the errand.
    here = platforms.stock_target(context.store).peer(context.store)
    is_elsewhere = Q(state=State.DELIVERED) & ~Q(peer__in=("", here))
    lost = files.filter(
        Q(state__in=(State.FOREIGN, State.UNKNOWN)) | is_elsewhere,
        subject__startswith=errand,
    )
    subject = f"{errand}/{lost.count()}"
    mine = files.filter(subject=subject)
    deliver(
        context, _left_over(context, files.exclude(subject=subject)), _noted(context)
    )
    if not mine.exists():
        _build(context, subject)
    unfinished = mine.unfinished().order_by("pk")
    deliver(context, list(unfinished), _noted(context))


def _left_over(context: RunContext, others: DeliveryQuerySet) -> list[Delivery]:
    """What has begun for another errand is brought to its end; the rest gives way."""
    with context.fenced():
        for delivery in others.filter(state=State.BUILT):
            build.supersede(delivery)
    return list(others.unfinished().order_by("pk"))


def _build(context: RunContext, subject: str) -> None:
    """Commit all files of an errand, or none."""
    target = platforms.stock_target(context.store)
    files = target.master_data(context.store)
    with context.fenced():
        for entity in Delivery.MASTER_DATA:
            file = files[entity]
            look = Preflight(file.sheet, tuple(file.select))
            rows = copy.rows(file.select, _source(context.connection, entity))
            build.build_parts(
                context.channel, look, rows, entity=entity, subject=subject
            )
            tell_left_out(context, look)
    failpoint("delivery.built")


def _source(connection: Connection, entity: Delivery.Entity) -> sql.Composed:
    return sql.SQL(_SOURCES[entity]).format(
        levels=levels.of_all(connection),
        connection=sql.Literal(connection.pk),
        store=sql.Literal(connection.store_id),
        code=sql.Literal(connection.warehouse.code),
        name=sql.Literal(connection.warehouse.name),
    )


def _noted(context: RunContext) -> OnEnd:
    def note(delivery: Delivery) -> None:
        context.note(
            "master_data_sent",
            file=delivery.name,
            rows=delivery.rows,
        )

    return note
