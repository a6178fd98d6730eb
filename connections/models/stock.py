"""What warehouses report: files read, and the levels they left."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from stores.models import User, Warehouse
from stores.models.tenant import TenantModel, TenantQuerySet

# An upload that nobody applies is stale by the next day: stock moves.
UPLOAD_KEPT_FOR = timedelta(hours=24)


class StockReportQuerySet(TenantQuerySet["StockReport"]):
    merchant_path = "warehouse__merchant"

    def arrived(self) -> StockReportQuerySet:
        """Without those whose bytes are still on their way."""
        return self.exclude(state=StockReport.State.ARRIVING)


class StockReport(TenantModel):
    """A warehouse's stock file, read once; its name says which (docs/formats.md).

    One that a person uploads waits, with its bytes and the preview of what it would
    change, until somebody applies or discards it.
    """

    class State(models.TextChoices):
        ARRIVING = "arriving", _("Arriving")
        WAITING = "waiting", _("Waits to be applied")
        APPLIED = "applied", _("Applied")
        REFUSED = "refused", _("Refused")
        DISCARDED = "discarded", _("Discarded")
        EXPIRED = "expired", _("Expired")

    warehouse = models.ForeignKey(
        Warehouse, models.CASCADE, related_name="stock_reports"
    )
    name = models.CharField(max_length=255)
    size = models.BigIntegerField()
    state = models.CharField(max_length=10, choices=State)
    # Why it was refused.
    reason = models.CharField(max_length=200, blank=True, db_default="")
    rows = models.PositiveIntegerField(default=0)
    changed = models.PositiveIntegerField(default=0)
    # Figures that differ and are older than the stored ones: they are left.
    late = models.PositiveIntegerField(default=0, db_default=0)
    # Line number and reason of the first bad rows; `bad_rows` counts all.
    bad_rows = models.PositiveIntegerField(default=0)
    problems = models.JSONField(default=list)
    change_number = models.BigIntegerField(default=0)
    read_at = models.DateTimeField(auto_now_add=True)
    # Of an upload: what the person's file was called, and what it would have changed.
    file_name = models.CharField(max_length=255, blank=True, db_default="")
    uploaded_by = models.ForeignKey(User, models.SET_NULL, null=True, related_name="+")
    preview = models.JSONField(null=True)

    objects = StockReportQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["warehouse", "name"], name="connections_stockreport_once"
            ),
        ]
        indexes = [
            models.Index(fields=["warehouse", "-id"], name="connections_report_page"),
            # The tick asks which uploads nobody came back for.
            models.Index(
                fields=["read_at"],
                condition=Q(state__in=["arriving", "waiting"]),
                name="connections_report_open",
            ),
        ]

    def __str__(self) -> str:
        return self.file_name or self.name

    @property
    def is_late(self) -> bool:
        """Most of what it says anew is older than what was known."""
        return self.late > self.changed

    @property
    def expires_at(self) -> datetime:
        """Until when an upload waits for somebody to apply it."""
        return self.read_at + UPLOAD_KEPT_FOR


class UploadChunk(models.Model):
    """At most 1 MiB of an uploaded report, compressed; gone once it is applied."""

    report = models.ForeignKey(StockReport, models.CASCADE, related_name="chunks")
    n = models.PositiveIntegerField()
    data = models.BinaryField()

    class Meta:
        ordering = ["n"]
        constraints = [
            models.UniqueConstraint(
                fields=["report", "n"], name="connections_uploadchunk_once"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.report_id}/{self.n}"


class StagedLevel(models.Model):
    """A row of a report that is being read; gone once the report is applied.

    Unlogged: a crash of the database empties the table. `reader` is the id of the run;
    of an upload, which no run reads, the report's own id below zero. No foreign key on
    purpose: it would be checked for every row of a file.
    """

    pk = models.CompositePrimaryKey("reader", "attempt", "line")
    reader = models.BigIntegerField()
    attempt = models.PositiveIntegerField()
    line = models.PositiveIntegerField()
    sku = models.CharField(max_length=256, db_collation="C")
    facility = models.CharField(max_length=100)
    available = models.DecimalField(max_digits=20, decimal_places=4)
    on_hand = models.DecimalField(max_digits=20, decimal_places=4, null=True)
    committed = models.DecimalField(max_digits=20, decimal_places=4, null=True)
    reported_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.reader}/{self.attempt}/{self.line}"


class StockLevelQuerySet(TenantQuerySet["StockLevel"]):
    merchant_path = "warehouse__merchant"


class StockLevel(models.Model):
    """The last quantity that a warehouse reported for a SKU in a facility.

    `available` is the warehouse's own figure, on hand where it gives none
    (dropstream.md §5). `change_number`: the report that last changed the row;
    `relisted_number`: the last change of a listing that sells it. Both are numbers of
    the warehouse, and the greater one tells a push.
    """

    account = models.ForeignKey("stores.Account", models.CASCADE, related_name="+")
    warehouse = models.ForeignKey(
        Warehouse, models.CASCADE, related_name="levels", db_index=False
    )
    sku = models.CharField(max_length=256, db_collation="C")
    facility = models.CharField(max_length=100)
    available = models.DecimalField(max_digits=20, decimal_places=4)
    on_hand = models.DecimalField(max_digits=20, decimal_places=4, null=True)
    committed = models.DecimalField(max_digits=20, decimal_places=4, null=True)
    # When the warehouse said so: a late, older file does not undo a newer figure.
    reported_at = models.DateTimeField()
    change_number = models.BigIntegerField()
    changed_at = models.DateTimeField()
    relisted_number = models.BigIntegerField(null=True)
    relisted_at = models.DateTimeField(null=True)

    objects = StockLevelQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["warehouse", "sku", "facility"],
                name="connections_stocklevel_once",
            ),
        ]
        indexes = [
            # A push asks for what changed since its mark.
            models.Index(
                fields=["warehouse", "change_number"], name="connections_stock_changed"
            ),
            models.Index(
                fields=["warehouse", "relisted_number"],
                condition=Q(relisted_number__isnull=False),
                name="connections_stock_relisted",
            ),
            # What lies in a facility, and which facilities there are.
            models.Index(
                fields=["warehouse", "facility", "sku"],
                name="connections_stock_facility",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.sku} @ {self.facility}: {self.available}"
