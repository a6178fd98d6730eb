"""What warehouses report: files read, and the levels they left."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from stores.models import Warehouse
from stores.models.tenant import TenantModel, TenantQuerySet


class StockReport(TenantModel):
    """A warehouse's stock file, read once; its name says which (docs/formats.md)."""

    class State(models.TextChoices):
        APPLIED = "applied", _("Applied")
        REFUSED = "refused", _("Refused")

    warehouse = models.ForeignKey(
        Warehouse, models.CASCADE, related_name="stock_reports"
    )
    name = models.CharField(max_length=255)
    size = models.BigIntegerField()
    state = models.CharField(max_length=10, choices=State)
    rows = models.PositiveIntegerField(default=0)
    changed = models.PositiveIntegerField(default=0)
    # Line number and reason of the first bad rows; `bad_rows` counts all.
    bad_rows = models.PositiveIntegerField(default=0)
    problems = models.JSONField(default=list)
    change_number = models.BigIntegerField(default=0)
    read_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["warehouse", "name"], name="connections_stockreport_once"
            ),
        ]

    def __str__(self) -> str:
        return self.name


class StagedLevel(models.Model):
    """A row of a report that is being read; gone once the report is applied.

    Unlogged: a crash of the database empties the table. `reader` is the id of the run,
    0 in the one transaction of a person's upload. No foreign key on purpose: it would be
    checked for every row of a file.
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
    warehouse = models.ForeignKey(Warehouse, models.CASCADE, related_name="levels")
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
