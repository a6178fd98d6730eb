"""Link a warehouse's facilities to the store's locations (dropstream.md §3, Locations)."""

from __future__ import annotations

from collections.abc import Collection

from django.db import connection as database
from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone
from django.utils.translation import gettext as _

from connections.models import Channel, Connection, Location
from connections.stock import changes
from stores import audit
from stores.models import User


class LocationTakenError(Exception):
    """Another connection of the store sends to that location, or has yet to take back
    what it sent; the message says which."""


@transaction.atomic
def link(
    connection: Connection, facility: str, location_id: str, *, by: User | None
) -> None:
    """Let a facility's stock count at a location of the store, and no longer elsewhere.

    Raises LocationTakenError: two files would hold rows for the same place.
    """
    rows = connection.locations.filter(facility=facility)
    heard = changes.may_have_sent(connection.store)
    _claim(connection, location_id)
    [warehouse] = changes.lock_warehouses(Q(pk=connection.warehouse_id))
    live = rows.filter(retired_at__isnull=True).first()
    if live is not None and live.location_id == location_id:
        return
    now = timezone.now()
    _end(connection, facility, live, heard=heard)
    Location.objects.update_or_create(
        connection=connection,
        facility=facility,
        location_id=location_id,
        defaults={
            "account_id": connection.account_id,
            "retired_at": None,
            "change_number": warehouse.change_number,
            "changed_at": now,
        },
    )
    changes.keep(warehouse)
    audit.record(
        "location.linked",
        connection,
        by=by,
        before={facility: live.location_id if live else ""},
        after={facility: location_id},
    )


def refuse_taken_code(connection: Connection) -> None:
    """Let no new connection bring a warehouse whose code is a location already.

    In the transaction that adds it. Raises LocationTakenError.
    """
    changes.may_have_sent(connection.store)
    _claim(connection, connection.warehouse.code)


@transaction.atomic
def unlink(location: Location, *, by: User | None) -> None:
    """End a link: the facility's stock counts at the warehouse's own code again."""
    connection = location.connection
    heard = changes.may_have_sent(connection.store)
    [warehouse] = changes.lock_warehouses(Q(pk=connection.warehouse_id))
    live = connection.locations.filter(pk=location.pk, retired_at__isnull=True).first()
    if live is None:
        return
    live.change_number = warehouse.change_number
    live.changed_at = timezone.now()
    _end(connection, live.facility, live, heard=heard)
    changes.keep(warehouse)
    audit.record(
        "location.unlinked",
        connection,
        by=by,
        before={live.facility: live.location_id},
    )


def _end(
    connection: Connection, facility: str, live: Location | None, *, heard: bool
) -> None:
    """Retire where the facility counted until now; forget it when nobody heard of it."""
    if live is not None and not heard:
        live.delete()
        return
    if live is not None:
        live.retired_at = timezone.now()
        live.save(update_fields=["retired_at", "change_number", "changed_at"])
    elif heard:
        Location.objects.get_or_create(
            connection=connection,
            facility=facility,
            location_id=connection.warehouse.code,
            defaults={
                "account_id": connection.account_id,
                "retired_at": timezone.now(),
            },
        )


def facilities(warehouses: Collection[int]) -> list[str]:
    """The facilities that warehouses have reported stock in, by name.

    Skips from one to the next in their index: the work grows with their number.
    """
    with database.cursor() as cursor:
        cursor.execute(
            """
            SELECT DISTINCT found.facility
            FROM unnest(%(warehouses)s::bigint[]) AS place (id)
            CROSS JOIN LATERAL (
                WITH RECURSIVE seen AS (
                    (SELECT facility FROM connections_stocklevel
                     WHERE warehouse_id = place.id ORDER BY facility LIMIT 1)
                    UNION ALL
                    SELECT (SELECT level.facility FROM connections_stocklevel level
                            WHERE level.warehouse_id = place.id
                              AND level.facility > seen.facility
                            ORDER BY level.facility LIMIT 1)
                    FROM seen WHERE seen.facility IS NOT NULL
                )
                SELECT facility FROM seen WHERE facility IS NOT NULL
            ) found
            ORDER BY found.facility
            """,
            {"warehouses": list(warehouses)},
        )
        return [facility for [facility] in cursor.fetchall()]


def _claim(connection: Connection, location_id: str) -> None:
    """Let no other connection of the store send for a location, not even zero any more.

    While the channels of the store are locked: of two at once the second sees it, and no
    mark moves. Raises LocationTakenError.
    """
    others = Connection.objects.filter(store=connection.store_id).exclude(
        pk=connection.pk
    )
    taken = others.filter(
        Q(warehouse__code=location_id)
        | Q(locations__location_id=location_id, locations__retired_at__isnull=True)
    ).first()
    if taken is not None:
        raise LocationTakenError(
            _("“%(connection)s” sends stock for %(location)s already.")
            % {"connection": taken, "location": location_id}
        )
    former = Location.objects.filter(
        connection__in=others, location_id=location_id, retired_at__isnull=False
    )
    # A facility's zeros for where it once counted carry its newest number.
    unsent = former.filter(
        connection__locations__facility=F("facility"),
        connection__locations__change_number__gt=F(
            "connection__channels__sent_through"
        ),
        connection__channels__type=Channel.Type.INVENTORY,
    ).first()
    if unsent is not None:
        raise LocationTakenError(
            _(
                "“%(connection)s” sent stock for %(location)s and has not sent yet that "
                "it is gone. Its next inventory update does; try again after it."
            )
            % {"connection": unsent.connection, "location": location_id}
        )
    former.delete()  # it would go on sending zero for what is sent from here now
