"""A connection, its channels and their schedules (dropstream.md §3)."""

from __future__ import annotations

from datetime import time

from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from stores.models import Merchant, Store, User, Warehouse
from stores.models.tenant import TenantModel, TenantQuerySet

DAY = 24 * 60  # minutes


class ConnectionQuerySet(TenantQuerySet["Connection"]):
    merchant_path = "merchant"


class Connection(TenantModel):
    """A named link of exactly one merchant, store and warehouse.

    Off (`enabled_at` null) means off: nothing runs, not even run-now.
    """

    name = models.CharField(_("connection name"), max_length=200)
    merchant = models.ForeignKey(Merchant, models.CASCADE, related_name="connections")
    store = models.ForeignKey(Store, models.CASCADE, related_name="connections")
    warehouse = models.ForeignKey(Warehouse, models.CASCADE, related_name="connections")
    remote_warehouse = models.CharField(
        _("warehouse id there"),
        max_length=256,
        blank=True,
        help_text=_("Orders for this warehouse of the store platform come here."),
    )
    enabled_at = models.DateTimeField(null=True, blank=True)
    # Set by a restore: orders made before it may have been sent by rows that are lost.
    orders_doubted_before = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    created_by = models.ForeignKey(User, models.SET_NULL, null=True, related_name="+")

    objects = ConnectionQuerySet.as_manager()

    class Meta:
        ordering = ["name", "pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["merchant", "store", "warehouse"],
                name="connections_connection_triple",
                violation_error_message=_(
                    "This merchant, store and warehouse are already connected."
                ),
            )
        ]
        indexes = [
            # The list: an account's connections by name, cut by keyset.
            models.Index(fields=["account", "name", "id"], name="connections_list"),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def is_on(self) -> bool:
        return self.enabled_at is not None


class OffPeriod(TenantModel):
    """When a connection was off; orders that IP made then are not fetched later."""

    connection = models.ForeignKey(
        Connection, models.CASCADE, related_name="off_periods"
    )
    started_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"{self.started_at} – {self.ended_at or '…'}"


class ChannelQuerySet(TenantQuerySet["Channel"]):
    merchant_path = "connection__merchant"

    def live(self) -> ChannelQuerySet:
        """Channels that may run: their own switch and the connection's are on."""
        return self.filter(
            enabled_at__isnull=False, connection__enabled_at__isnull=False
        )


class Channel(TenantModel):
    """One kind of data flow, with its own switch.

    `sent_through`: the warehouse's change number up to which stock was delivered.
    `repeated_at`: up to when figures that stood still were told again.
    `gate_until`: nothing of the channel starts by itself before (runs/retry.py).
    """

    class Type(models.TextChoices):
        INVENTORY = "inventory", _("Inventory")
        PURCHASE_ORDERS = "purchase_orders", _("Purchase Orders")

    connection = models.ForeignKey(Connection, models.CASCADE, related_name="channels")
    type = models.CharField(max_length=30, choices=Type)
    enabled_at = models.DateTimeField(null=True, blank=True)
    sent_through = models.BigIntegerField(default=0)
    repeated_at = models.DateTimeField(null=True)
    # The gate's state. Defaults in the database too: the version before writes none.
    failures = models.PositiveIntegerField(
        default=0, db_default=0, help_text=_("Transient ones in a row, of any job.")
    )
    refusals = models.PositiveIntegerField(
        default=0, db_default=0, help_text=_("In a row, each for a person to mend.")
    )
    gate_until = models.DateTimeField(null=True)
    gate_lifted_at = models.DateTimeField(
        null=True, help_text=_("When a person last gave reason to try anew.")
    )

    objects = ChannelQuerySet.as_manager()

    class Meta:
        ordering = ["pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["connection", "type"], name="connections_channel_once"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.connection}: {self.get_type_display()}"

    @property
    def is_on(self) -> bool:
        return self.enabled_at is not None


class Schedule(TenantModel):
    """A rule that makes a job of a channel due; several of one job stack.

    `runs/rules.py` says what the values mean. `next_due_at` is null while the channel or
    its connection is off, so that off rows never stand in the way of the due index.
    """

    class Kind(models.TextChoices):
        MINUTELY = "minutely", _("Minutely")
        HOURLY = "hourly", _("Hourly")
        DAILY = "daily", _("Daily")
        FLEXIBLE = "flexible", _("Flexible")

    channel = models.ForeignKey(Channel, models.CASCADE, related_name="schedules")
    job = models.CharField(max_length=40)
    every_minutes = models.PositiveIntegerField()
    # Defaults in the database as well: the version before writes none of them.
    kind = models.CharField(
        max_length=10,
        choices=Kind,
        default=Kind.MINUTELY,
        db_default=Kind.MINUTELY.value,
    )
    at = models.TimeField(default=time.min, db_default=time.min)
    weekdays = models.PositiveSmallIntegerField(default=127, db_default=127)
    start_hour = models.PositiveSmallIntegerField(default=0, db_default=0)
    end_hour = models.PositiveSmallIntegerField(default=23, db_default=23)
    next_due_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["pk"]
        constraints = [
            models.CheckConstraint(
                name="connections_schedule_shape",
                condition=(
                    Q(kind="minutely")
                    | Q(
                        kind="hourly",
                        every_minutes__in=[60 * hours for hours in range(1, 25)],
                        at__lt=time(1),
                    )
                    | Q(
                        kind="daily",
                        every_minutes__in=[DAY * days for days in range(1, 32)],
                    )
                    | Q(
                        kind="flexible",
                        every_minutes__lte=DAY,
                        weekdays__range=(1, 127),
                        start_hour__lte=F("end_hour"),
                        end_hour__lte=23,
                    )
                ),
            ),
            # The minimums of runs/jobs.py, said once more to whoever writes rows.
            models.CheckConstraint(
                name="connections_schedule_minimum",
                condition=Q(every_minutes__gte=15)
                & (Q(every_minutes__gte=60) | ~Q(job="stock_changes"))
                & (Q(every_minutes__gte=DAY) | ~Q(job="stock_full")),
            ),
        ]
        indexes = [
            # The tick: what is due, and nothing else.
            models.Index(
                fields=["next_due_at"],
                condition=Q(next_due_at__isnull=False),
                name="connections_schedule_due",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.job} {self.kind} {self.every_minutes} min"


class Location(TenantModel):
    """Maps a warehouse's facility to a WAREHOUSE_ID of the store platform.

    A link that ends is retired, not deleted: zero is sent under its id for what moved
    away. One that began keeps, retired, the id that the facility had before.
    """

    connection = models.ForeignKey(Connection, models.CASCADE, related_name="locations")
    facility = models.CharField(max_length=100)
    location_id = models.CharField(max_length=256)
    retired_at = models.DateTimeField(null=True)
    # The warehouse's number of the change; it counts for all that lies in the facility.
    change_number = models.BigIntegerField(default=0)
    changed_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["facility", "location_id"]
        constraints = [
            models.UniqueConstraint(
                fields=["connection", "facility"],
                condition=Q(retired_at__isnull=True),
                name="connections_location_one_live",
            ),
            models.UniqueConstraint(
                fields=["connection", "facility", "location_id"],
                name="connections_location_once",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.facility} → {self.location_id}"

    @property
    def dialog_id(self) -> str:
        """Of the dialog that asks before the link is removed."""
        return f"remove-{self.public_id}"
