"""A file for a far side: bytes and name are committed before the first byte is sent."""

from __future__ import annotations

from datetime import timedelta

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from connections.models.connection import Channel, Connection
from stores.models import Store
from stores.models.tenant import TenantModel, TenantQuerySet


class DeliveryQuerySet(TenantQuerySet["Delivery"]):
    merchant_path = "connection__merchant"

    def unfinished(self) -> DeliveryQuerySet:
        return self.filter(state__in=Delivery.UNFINISHED)

    def stuck(self) -> DeliveryQuerySet:
        """Begun over an hour ago, and nobody has looked since what became of it."""
        begun = Now() - timedelta(hours=1)
        return self.unfinished().filter(first_attempt_at__lt=begun)


class Delivery(TenantModel):
    """One final name for life; a retry sends the same bytes under the same name.

    built → sending → closing or renaming → delivered; what a dead worker left in between
    is resolved by looking at the far side. `closing` and `renaming` announce the step
    that makes the file visible, once every byte is there: before it the file cannot be
    there, and a temporary name that is gone later proves the rename. `superseded`: nobody
    can have seen it, newer values were sent instead. `foreign`: its name was taken before the
    first attempt ended. `unknown`: it may have been seen, and nobody can look any more.
    `asked`: the bytes of `resend_of` once more, until a run takes it up as built.
    """

    class State(models.TextChoices):
        ASKED = "asked", _("To be sent again")
        BUILT = "built", _("Ready to send")
        SENDING = "sending", _("Sending")
        CLOSING = "closing", _("Finishing")
        RENAMING = "renaming", _("Renaming")
        DELIVERED = "delivered", _("Uploaded")
        SUPERSEDED = "superseded", _("Replaced by newer values")
        FOREIGN = "foreign", _("Name was taken")
        UNKNOWN = "unknown", _("Cannot tell")

    class Entity(models.TextChoices):
        STOCK = "stock", _("Stock levels")
        WAREHOUSE = "warehouse", _("Warehouses")
        VENDOR = "vendor", _("Vendors")
        VARIANT = "variant", _("Variants")
        PURCHASE_ORDER = "purchase_order", _("Purchase order")

    class Proof(models.TextChoices):
        NONE = "", _("Not asked for")
        WAITING = "waiting", _("Not checked yet")
        CONFIRMED = "confirmed", _("Confirmed")
        NOT_CONFIRMED = "not_confirmed", _("Not confirmed")
        CANNOT_TELL = "cannot_tell", _("Cannot tell")

    # What stock refers to; in the order in which it must be known there.
    MASTER_DATA = (Entity.WAREHOUSE, Entity.VENDOR, Entity.VARIANT)
    # On its way as a run sees it; what is asked for is not yet one of them.
    UNFINISHED = (State.BUILT, State.SENDING, State.CLOSING, State.RENAMING)

    connection = models.ForeignKey(
        Connection, models.CASCADE, related_name="deliveries", db_index=False
    )
    channel = models.ForeignKey(Channel, models.CASCADE, related_name="deliveries")
    store = models.ForeignKey(Store, models.CASCADE, related_name="deliveries")
    entity = models.CharField(max_length=20, choices=Entity)
    # Several orders may wait at once; each is a delivery of its own (the order's id).
    # Stock has one subject: "". Master data has the errand that asked for it.
    subject = models.CharField(max_length=64, blank=True)
    # A large update is cut into parts, which are made together and sent in order.
    part = models.PositiveIntegerField(default=1, db_default=1)
    parts = models.PositiveIntegerField(default=1, db_default=1)
    # Whose bytes a person had sent once more.
    resend_of = models.ForeignKey(
        "self", models.CASCADE, null=True, related_name="resends"
    )
    name = models.CharField(max_length=255, unique=True)
    rows = models.PositiveIntegerField()
    # What the platform would have dropped: how many rows, and the first ones with reasons.
    left_out = models.PositiveIntegerField(default=0, db_default=0)
    problems = models.JSONField(default=list, db_default=[])
    rules = models.CharField(
        max_length=20,
        blank=True,
        default="",
        db_default="",
        help_text=_("Version of the platform's rules that it was checked against."),
    )
    size = models.BigIntegerField(help_text=_("Bytes of the whole file."))
    sha256 = models.CharField(max_length=64)
    upper_bound = models.BigIntegerField(
        default=0,
        help_text=_(
            "Change number that the file reaches; 0 for all but the last part."
        ),
    )
    repeated_through = models.DateTimeField(
        null=True,
        help_text=_("Up to when it tells figures again that stand still; else null."),
    )
    state = models.CharField(max_length=20, choices=State, default=State.BUILT)
    attempts = models.PositiveIntegerField(default=0)
    # How often the visible step was announced and not refused.
    announced = models.PositiveIntegerField(default=0, db_default=0)
    is_outdated = models.BooleanField(
        default=False,
        db_default=False,
        help_text=_("Its order has changed since; it gives way if nobody has seen it."),
    )
    folder = models.CharField(
        max_length=255, blank=True, help_text=_("Where it was sent; set by an attempt.")
    )
    # Of stock it is known when it is built: an update is for one drop.
    peer = models.CharField(
        max_length=520,
        blank=True,
        default="",
        db_default="",
        help_text=_("Whose folder that is: user@host:port; set by an attempt."),
    )
    size_seen = models.BigIntegerField(
        null=True,
        help_text=_("Bytes of it there when the last attempt looked; null: not seen."),
    )
    # Why its last failed attempt failed; stays when a later one got through.
    error_code = models.CharField(max_length=60, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    first_attempt_at = models.DateTimeField(null=True)
    delivered_at = models.DateTimeField(null=True)
    upload_by = models.DateTimeField(
        null=True, help_text=_("The cut-off of the intake that it is meant for.")
    )
    # Whether the platform shows what was uploaded; `proof_due_at`: when to look (again).
    proof = models.CharField(
        max_length=20, choices=Proof, default=Proof.NONE, db_default="", blank=True
    )
    proof_due_at = models.DateTimeField(null=True)
    proved_at = models.DateTimeField(null=True)
    # {"asked": 5, "shown": 5, "differ": [[variant, uploaded, shown or null], …]}
    proof_facts = models.JSONField(default=dict, db_default={})

    objects = DeliveryQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["store", "channel", "entity", "subject", "part"],
                condition=Q(state__in=("built", "sending", "closing", "renaming")),
                name="connections_delivery_one_unfinished",
            ),
        ]
        indexes = [
            models.Index(
                fields=["connection", "-id"], name="connections_delivery_page"
            ),
            # Metrics and doctor: what nobody could tell.
            models.Index(
                fields=["id"],
                condition=Q(state="unknown"),
                name="connections_delivery_unknown",
            ),
            # What misses its cut-off; of what the intake is to be looked up.
            models.Index(
                fields=["upload_by"],
                condition=Q(state__in=("built", "sending", "closing", "renaming")),
                name="connections_delivery_cut_off",
            ),
            models.Index(
                fields=["proof_due_at", "channel"],
                condition=Q(proof_due_at__isnull=False),
                name="connections_delivery_to_prove",
            ),
            # Metrics: what was looked up lately.
            models.Index(
                fields=["proved_at"],
                condition=Q(proved_at__isnull=False),
                name="connections_delivery_proved",
            ),
            # What a run is to take up; the oldest first.
            models.Index(
                fields=["channel", "id"],
                condition=Q(state="asked"),
                name="connections_delivery_asked",
            ),
            # In which file a level went out: the first whose bound reaches its number.
            models.Index(
                fields=["channel", "upper_bound", "id"],
                condition=Q(state="delivered", entity="stock"),
                name="connections_delivery_bound",
            ),
        ]

    def __str__(self) -> str:
        return self.name


class DeliveryChunk(models.Model):
    """512 KiB of the file, zlib level 1; storage external by SQL: it does not compress."""

    delivery = models.ForeignKey(Delivery, models.CASCADE, related_name="chunks")
    n = models.PositiveIntegerField()
    data = models.BinaryField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["delivery", "n"], name="connections_deliverychunk_once"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.delivery_id}/{self.n}"
