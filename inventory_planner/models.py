"""What a store on Inventory Planner needs (dropstream.md §7)."""

from __future__ import annotations

from datetime import time
from zoneinfo import ZoneInfo

from django.db import models
from django.utils.translation import gettext_lazy as _

from connections.platforms import Repeat
from inventory_planner.order_documents import Wanted
from stores.models import Store, User
from stores.models.people import zone_named
from stores.models.sealed import SealedMixin
from stores.models.tenant import TenantModel


class InventoryPlannerSettings(SealedMixin, TenantModel):
    """One-to-one with the store; the key pair is the store's SSHKey."""

    NIGHTLY = time(2)

    class AcknowledgeWhen(models.TextChoices):
        RECEIVED = "received", _("Fully received")
        IMPORTED = "imported", _("Imported")

    class SendQuantities(models.TextChoices):
        WITH_STATUS = "with_status", _("When an Acknowledgement Status is set")
        ALWAYS = "always", _("Always")
        NEVER = "never", _("Never")

    class MasterData(models.TextChoices):
        KEPT = "kept", _("Is kept in Inventory Planner; send none")
        FIRST = "first", _("Send it before the first stock file")

    class RepeatStock(models.TextChoices):
        EACH = Repeat.EACH.value, _("Each figure 7 days after it last changed")
        ALL = Repeat.ALL.value, _("Everything, once in 7 days")
        NEVER = Repeat.NEVER.value, _("Never")

    class IntakeCheck(models.TextChoices):
        AFTER_SYNC = "after_sync", _("After each nightly sync")
        NEVER = "never", _("Never")

    class OtherKinds(models.TextChoices):
        LEFT_OUT = "left_out", _("Leave out")
        IMPORTED = "imported", _("Import like purchase orders")

    store = models.OneToOneField(
        Store, models.CASCADE, related_name="inventory_planner"
    )
    sealed_api_key = models.BinaryField(null=True)
    api_key_hint = models.CharField(max_length=40, blank=True)
    api_key_set_at = models.DateTimeField(null=True)
    api_key_set_by = models.ForeignKey(
        User, models.SET_NULL, null=True, related_name="+"
    )
    # As sent in the Account header: verbatim (inventory-planner.md §2.2).
    ip_account = models.CharField(_("Account ID"), max_length=64, blank=True)
    sftp_endpoint = models.CharField(_("SFTP Endpoint"), max_length=253, blank=True)
    sftp_port = models.PositiveIntegerField(default=22)
    sftp_username = models.CharField(_("SFTP username"), max_length=100, blank=True)
    stock_folder = models.CharField(
        _("stock folder"),
        max_length=255,
        default="variant_warehouse",
        help_text=_("Matched against the folders found there, never created."),
    )
    import_status_filter = models.CharField(max_length=256, blank=True)
    other_kinds = models.CharField(
        _("transfers and assembly orders"),
        max_length=8,
        choices=OtherKinds,
        default=OtherKinds.LEFT_OUT,
        db_default="left_out",
    )
    acknowledgement_status = models.CharField(max_length=256, blank=True)
    acknowledge_when = models.CharField(
        max_length=10, choices=AcknowledgeWhen, default=AcknowledgeWhen.RECEIVED
    )
    send_received_quantities = models.CharField(
        max_length=12, choices=SendQuantities, default=SendQuantities.WITH_STATUS
    )

    master_data = models.CharField(
        max_length=5,
        choices=MasterData,
        default=MasterData.KEPT,
        db_default=MasterData.KEPT.value,
    )
    # ISO 4217; of the placeholder vendor. Blank: not told, so no master data is sent.
    vendor_currency = models.CharField(max_length=3, blank=True, db_default="")
    repeat_stock = models.CharField(
        max_length=5,
        choices=RepeatStock,
        default=RepeatStock.EACH,
        db_default=RepeatStock.EACH.value,
    )
    # When its nightly sync reads the drop (inventory-planner.md §4.2).
    sync_at = models.TimeField(default=NIGHTLY, db_default=NIGHTLY)
    sync_zone = models.CharField(
        max_length=64, blank=True, db_default="", help_text=_("Blank: the account's.")
    )
    intake_check = models.CharField(
        max_length=12,
        choices=IntakeCheck,
        default=IntakeCheck.AFTER_SYNC,
        db_default="after_sync",
    )

    class Meta:
        verbose_name_plural = "Inventory Planner settings"

    def __str__(self) -> str:
        return f"Inventory Planner of {self.store}"

    @property
    def sends_received_quantities(self) -> bool:
        """A blank status means that nothing at all is written, unless asked for."""
        choice = self.send_received_quantities
        if choice == self.SendQuantities.WITH_STATUS:
            return bool(self.acknowledgement_status.strip())
        return choice == self.SendQuantities.ALWAYS

    @property
    def wanted(self) -> Wanted:
        """Which orders are imported."""
        other_kinds = self.other_kinds == self.OtherKinds.IMPORTED
        return Wanted(self.import_status_filter, other_kinds=other_kinds)

    @property
    def sync_zone_in_use(self) -> ZoneInfo:
        return zone_named(self.sync_zone or self.account.time_zone)

    @property
    def username_in_use(self) -> str:
        """Endpoint's user@, the store's own setting, else the account id (§4.1)."""
        return self.sftp_username or self.ip_account


class ApiUse(models.Model):
    """When an account of Inventory Planner may be asked next, and how often it was (§2.7).

    Of the far side's account, not of a tenant: whoever shares it shares its pace.
    """

    ip_account = models.CharField(primary_key=True, max_length=64)
    next_at = models.DateTimeField()
    calls = models.BigIntegerField(db_default=0)
    # Answers that told us to wait, and the seconds that requests waited for their turn.
    told_to_wait = models.BigIntegerField(db_default=0)
    waited_s = models.FloatField(db_default=0)

    def __str__(self) -> str:
        return self.ip_account
