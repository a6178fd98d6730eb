"""What people must be told: one open row for each trouble, however often it came."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from connections.models.connection import Channel, Connection
from connections.models.run import SyncRun
from stores.models import User
from stores.models.tenant import TenantModel, TenantQuerySet


class AlertQuerySet(TenantQuerySet["Alert"]):
    merchant_path = "connection__merchant"

    def open(self) -> AlertQuerySet:
        return self.filter(closed_at__isnull=True)


class Alert(TenantModel):
    """A trouble of a channel, by its code; written by connections/alerts/ alone.

    Open until the work succeeds again or a person dismisses it: `closed_at`, and
    `dismissed_by` for the latter. What comes after that is a new row.
    """

    connection = models.ForeignKey(Connection, models.CASCADE, related_name="alerts")
    channel = models.ForeignKey(Channel, models.CASCADE, related_name="alerts")
    code = models.CharField(max_length=60)
    # The job whose success closes it; blank: any success of the channel does.
    job = models.CharField(max_length=40, blank=True)
    side = models.CharField(
        max_length=10, choices=SyncRun.Side, default=SyncRun.Side.STORE
    )
    detail = models.CharField(max_length=500, blank=True)
    count = models.PositiveIntegerField(default=1)
    opened_at = models.DateTimeField()
    last_at = models.DateTimeField()
    closed_at = models.DateTimeField(null=True)
    dismissed_by = models.ForeignKey(User, models.SET_NULL, null=True, related_name="+")

    objects = AlertQuerySet.as_manager()

    class Meta:
        ordering = ["-closed_at", "-pk"]  # open ones first: PostgreSQL puts nulls there
        constraints = [
            models.UniqueConstraint(
                fields=["channel", "code"],
                condition=Q(closed_at=None),
                name="connections_alert_one_open",
            ),
        ]
        indexes = [
            # The list: an account's alerts, open first, cut by keyset.
            models.Index(
                fields=["account", "-closed_at", "-id"], name="connections_alert_list"
            ),
            # Retention: what was closed long ago.
            models.Index(
                fields=["closed_at"],
                condition=Q(closed_at__isnull=False),
                name="connections_alert_closed",
            ),
        ]

    def __str__(self) -> str:
        return self.code
