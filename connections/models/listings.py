"""Under which ids a store sells what its warehouses report (dropstream.md §5)."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from stores.models import Store, User
from stores.models.tenant import TenantModel, TenantQuerySet

# Somebody who comes back later looks at a preview of then.
IMPORT_KEPT_FOR = timedelta(hours=24)


class ListingQuerySet(TenantQuerySet["Listing"]):
    merchant_path = "store__merchant"

    def live(self) -> ListingQuerySet:
        return self.filter(retired_at__isnull=True)


class Listing(TenantModel):
    """What a store sells under a variant id: a warehouse's SKU, or a bundle of several.

    One row an id for ever: a retired one is kept, and revived when its id comes back.
    With components it is a bundle, and `sku` only names it. A SKU without a live
    listing is sold as it is reported. Changed by connections/stock/listings.py alone.
    """

    store = models.ForeignKey(
        Store, models.CASCADE, related_name="listings", db_index=False
    )
    sku = models.CharField(_("warehouse SKU"), max_length=256, db_collation="C")
    channel_sku = models.CharField(_("channel SKU"), max_length=256, db_collation="C")
    variant_id = models.CharField(_("variant id"), max_length=256, db_collation="C")
    title = models.CharField(_("title"), max_length=256, blank=True)
    retired_at = models.DateTimeField(null=True)
    changed_at = models.DateTimeField()

    objects = ListingQuerySet.as_manager()

    class Meta:
        ordering = ["channel_sku", "pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["store", "variant_id"], name="connections_listing_variant"
            ),
        ]
        indexes = [
            models.Index(
                fields=["store", "channel_sku", "id"], name="connections_listing_page"
            ),
            # What is sold of a SKU that changed; the inventory page of a store.
            models.Index(fields=["store", "sku", "id"], name="connections_listing_sku"),
        ]

    def __str__(self) -> str:
        return self.channel_sku

    @property
    def is_live(self) -> bool:
        return self.retired_at is None


class Component(models.Model):
    """So many of a SKU make one bundle."""

    account = models.ForeignKey("stores.Account", models.CASCADE, related_name="+")
    listing = models.ForeignKey(
        Listing, models.CASCADE, related_name="components", db_index=False
    )
    sku = models.CharField(max_length=256, db_collation="C")
    quantity = models.DecimalField(max_digits=12, decimal_places=4)

    class Meta:
        ordering = ["sku"]
        constraints = [
            models.UniqueConstraint(
                fields=["listing", "sku"], name="connections_component_once"
            ),
            models.CheckConstraint(
                name="connections_component_quantity", condition=Q(quantity__gt=0)
            ),
        ]
        indexes = [
            # The bundles that a SKU that changed is part of.
            models.Index(fields=["account", "sku"], name="connections_component_sku"),
        ]

    def __str__(self) -> str:
        return f"{self.quantity.normalize():f} × {self.sku}"


class FormerSource(models.Model):
    """A variant id that was sent with a SKU's stock, and no longer is.

    Wherever that SKU lies, the id is sent as zero unless something else counts there
    now: what a store platform once heard does not stay for ever.
    """

    account = models.ForeignKey("stores.Account", models.CASCADE, related_name="+")
    store = models.ForeignKey(Store, models.CASCADE, related_name="+")
    variant_id = models.CharField(max_length=256, db_collation="C")
    sku = models.CharField(max_length=256, db_collation="C")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["store", "variant_id", "sku"],
                name="connections_formersource_once",
            ),
        ]
        indexes = [
            models.Index(fields=["store", "sku"], name="connections_formersource_sku"),
        ]

    def __str__(self) -> str:
        return f"{self.variant_id} was {self.sku}"


class ListingsFileQuerySet(TenantQuerySet["ListingsFile"]):
    merchant_path = "store__merchant"


class ListingsFile(TenantModel):
    """A file of listings that somebody chose; waits until it is applied or discarded.

    `data` is the file as it came, zlib; empty once it is applied.
    """

    store = models.ForeignKey(Store, models.CASCADE, related_name="listings_files")
    file_name = models.CharField(max_length=255)
    data = models.BinaryField()
    uploaded_by = models.ForeignKey(User, models.SET_NULL, null=True, related_name="+")
    uploaded_at = models.DateTimeField(auto_now_add=True)
    applied_at = models.DateTimeField(null=True)

    objects = ListingsFileQuerySet.as_manager()

    def __str__(self) -> str:
        return self.file_name

    @property
    def expires_at(self) -> datetime:
        """Until when it waits, or its page can be looked at."""
        return self.uploaded_at + IMPORT_KEPT_FOR
