"""Merchants, their stores and their warehouses (dropstream.md §1, §3)."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from stores.models.people import User
from stores.models.sealed import SealedMixin
from stores.models.tenant import TenantModel, TenantQuerySet


class MerchantQuerySet(TenantQuerySet["Merchant"]):
    merchant_path = "pk"


class Merchant(TenantModel):
    """The brand that owns the stock; the 3PL's customer."""

    name = models.CharField(_("company name"), max_length=200)
    street = models.CharField(_("street"), max_length=200, blank=True)
    city = models.CharField(_("city"), max_length=100, blank=True)
    state = models.CharField(_("state or region"), max_length=100, blank=True)
    zipcode = models.CharField(_("postal code"), max_length=20, blank=True)
    country = models.CharField(_("country"), max_length=100, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = MerchantQuerySet.as_manager()

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class StoreQuerySet(TenantQuerySet["Store"]):
    merchant_path = "merchant"


class Store(TenantModel):
    """The sales channel side; its platform's settings are a row of the platform's."""

    merchant = models.ForeignKey(Merchant, models.CASCADE, related_name="stores")
    name = models.CharField(_("name"), max_length=200)
    platform = models.CharField(_("platform"), max_length=50)
    created_at = models.DateTimeField(auto_now_add=True)
    validated_at = models.DateTimeField(_("validated at"), null=True, blank=True)
    validated_by = models.ForeignKey(
        User, models.SET_NULL, null=True, blank=True, related_name="+"
    )

    objects = StoreQuerySet.as_manager()

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class WarehouseQuerySet(TenantQuerySet["Warehouse"]):
    merchant_path = "merchant"


class Warehouse(TenantModel):
    """The fulfilment side. `change_number` counts what changed levels: stock reports, and
    changes of listings and locations.

    It is raised only under this row's lock, in the transaction that writes the levels:
    numbers then become visible in order, and a push that reads up to one loses nothing
    (design.md §3, Stock).
    """

    merchant = models.ForeignKey(Merchant, models.CASCADE, related_name="warehouses")
    name = models.CharField(_("description"), max_length=200)
    code = models.CharField(
        _("warehouse code"),
        max_length=50,
        help_text=_("Sent to Inventory Planner as WAREHOUSE_ID unless mapped."),
    )
    platform = models.CharField(_("platform"), max_length=50)
    change_number = models.BigIntegerField(default=0, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = WarehouseQuerySet.as_manager()

    class Meta:
        ordering = ["created_at", "pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["merchant", "code"], name="stores_warehouse_code"
            )
        ]

    def __str__(self) -> str:
        return self.name


class FileExchangeSettings(SealedMixin, TenantModel):
    """The connection string of a file-exchange warehouse, taken apart.

    The string is a secret: it holds a password (dropstream.md §3, Warehouses).
    """

    warehouse = models.OneToOneField(
        Warehouse, models.CASCADE, related_name="file_exchange"
    )
    host = models.CharField(max_length=253)
    port = models.PositiveIntegerField(default=22)
    username = models.CharField(max_length=255)
    sealed_password = models.BinaryField(null=True)
    in_folder = models.CharField(max_length=255, default="/in")
    out_folder = models.CharField(max_length=255, default="/out")

    def __str__(self) -> str:
        return f"sftp://{self.username}:***@{self.host}:{self.port}"
