"""Purchase orders from the store platform, and what the warehouse received of them."""

from __future__ import annotations

from decimal import Decimal

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Collate, Lower
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from connections.models.connection import Connection
from connections.models.delivery import Delivery
from stores.models import Account, Store, Warehouse
from stores.models.tenant import TenantModel, TenantQuerySet


def _plain(number: Decimal) -> Decimal:
    """12.0000 reads 12 on a page."""
    return Decimal(f"{number.normalize():f}")


class PurchaseOrderQuerySet(TenantQuerySet["PurchaseOrder"]):
    merchant_path = "store__merchant"


class PurchaseOrder(TenantModel):
    """One order of a store, keyed by the platform's id (inventory-planner.md §3).

    `status` is ours (dropstream.md §6); `remote_status` is the platform's word, shown
    and compared apart: its CLOSED is not our Closed.
    """

    class Status(models.TextChoices):
        NEW = "new", _("New")
        OPEN = "open", _("Open")
        PARTIALLY_RECEIVED = "partially_received", _("Partially Received")
        RECEIVED = "received", _("Received")
        DELAYED = "delayed", _("Delayed")
        CANCELED = "canceled", _("Canceled")
        ERROR = "error", _("Error")
        CLOSED = "closed", _("Closed")
        ARCHIVED = "archived", _("Archived")

    # What a receipt may still move on.
    RECEIVING = (
        Status.NEW,
        Status.OPEN,
        Status.PARTIALLY_RECEIVED,
        Status.DELAYED,
    )

    class Held(models.TextChoices):
        """Why a New order is not handed over."""

        NO_ROUTE = "no_route", _("Choose a warehouse")
        NOT_SENDABLE = "not_sendable", _("Draft or ended in Inventory Planner")
        SENT_BEFORE = "sent_before", _("Was sent before")
        OFF_PERIOD = "off_period", _("Made while the connection was off")
        RESTORED = "restored", _("Perhaps sent before the database was restored")
        LINE_ERROR = "line_error", _("A line has no SKU or quantity")
        UNREADABLE = "unreadable", _("Could not be read")

    # Holds that end when a person has answered or corrected something; a draft, or an
    # order that is closed there, waits for the store platform alone.
    UNDECIDED = (
        Held.NO_ROUTE,
        Held.SENT_BEFORE,
        Held.OFF_PERIOD,
        Held.RESTORED,
        Held.LINE_ERROR,
    )

    # The database checks these by the keys that name the account as well (T3): once for
    # each row is enough. The indexes are below.
    account = models.ForeignKey(
        Account,
        models.CASCADE,
        related_name="+",
        db_constraint=False,
        db_index=False,
    )
    store = models.ForeignKey(
        Store,
        models.CASCADE,
        related_name="purchase_orders",
        db_constraint=False,
        db_index=False,
    )
    connection = models.ForeignKey(
        Connection,
        models.SET_NULL,
        null=True,
        related_name="purchase_orders",
        db_constraint=False,
        db_index=False,
    )
    # The warehouse whose connection was deleted: the order is no other one's by itself.
    stranded_from = models.BigIntegerField(null=True)
    external_id = models.CharField(max_length=64)
    reference = models.CharField(
        _("PO number"), max_length=256, blank=True, db_collation="C"
    )
    vendor = models.CharField(max_length=256, blank=True)
    remote_warehouse = models.CharField(max_length=256, blank=True)
    remote_status = models.CharField(max_length=256, blank=True)
    remote_modified_at = models.DateTimeField(null=True)
    remote_created_at = models.DateTimeField(null=True)
    expected_on = models.DateField(null=True)
    status = models.CharField(max_length=20, choices=Status, default=Status.NEW)
    held = models.CharField(max_length=20, choices=Held, blank=True)
    document = models.JSONField(help_text=_("The platform's document as it came."))
    content_hash = models.CharField(max_length=64)
    # How the platform's order differs from the one that the warehouse was told: pairs
    # of what and "40 → 7"; empty while it does not.
    difference = models.JSONField(default=list, db_default=[])
    imported_at = models.DateTimeField(auto_now_add=True)
    changed_at = models.DateTimeField()
    edited_at = models.DateTimeField(null=True, help_text=_("When a person last did."))
    # The write-back: what the platform was seen to hold, and why nothing more is written.
    acknowledged_at = models.DateTimeField(null=True)
    acknowledgement = models.CharField(max_length=256, blank=True)
    # Hash of the effect last tried (a received vector, or the status), and how often.
    write_effect = models.CharField(max_length=64, blank=True)
    write_attempts = models.PositiveIntegerField(default=0)
    write_refused = models.CharField(max_length=60, blank=True)
    error = models.CharField(max_length=500, blank=True)

    objects = PurchaseOrderQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["store", "external_id"], name="connections_purchaseorder_once"
            ),
        ]
        indexes = [
            # The list, newest first, of whatever it is narrowed to; each status apart.
            models.Index(
                fields=["account", "status", "imported_at", "id"],
                name="connections_order_account",
            ),
            models.Index(
                fields=["store", "status", "imported_at", "id"],
                name="connections_order_store",
            ),
            models.Index(
                fields=["connection", "status", "imported_at", "id"],
                name="connections_order_connection",
            ),
            # What a search begins with; the newest of the same name first.
            models.Index(
                fields=["store", "reference", "-id"], name="connections_order_reference"
            ),
            models.Index(
                F("store"),
                Collate(Lower("vendor"), "C"),
                F("id").desc(),
                name="connections_order_vendor",
            ),
            # What may have become Delayed (orders/overdue.py).
            models.Index(
                fields=["expected_on"],
                condition=Q(status__in=("open", "partially_received")),
                name="connections_order_due",
            ),
            # Each import looks for those that have no connection (orders/stranded.py).
            models.Index(
                fields=["store", "remote_warehouse"],
                condition=Q(connection=None)
                & ~Q(status__in=("canceled", "closed", "archived")),
                name="connections_order_stranded",
            ),
            # UNDECIDED, which each list of connections counts.
            models.Index(
                fields=["store", "connection"],
                condition=Q(
                    status="new",
                    held__in=(
                        *("no_route", "sent_before", "off_period"),
                        *("restored", "line_error"),
                    ),
                ),
                name="connections_order_undecided",
            ),
        ]

    def __str__(self) -> str:
        return self.reference or self.external_id

    @property
    def is_held(self) -> bool:
        """Whether it waits for a person before it is handed over."""
        return self.status == self.Status.NEW and bool(self.held)

    def tombstones(self) -> models.QuerySet[HandOver]:
        """When it was handed over, by this row or one before it."""
        return HandOver.objects.filter(
            store=self.store_id, external_id=self.external_id
        )


class OrderReading(models.Model):
    """How far a store's orders have been read at its platform; a row a store.

    A reading goes from the newest change back to `since` (null: to the first order) and
    may take several runs. Marks move when it has come to its end, never before (I9).
    """

    store = models.OneToOneField(
        Store, models.CASCADE, primary_key=True, related_name="order_reading"
    )
    # What the pages were made from: another account or filter begins anew.
    scope = models.CharField(max_length=400)
    # Begin of the last reading that was finished, and of the last one of everything.
    read_at = models.DateTimeField(null=True)
    all_read_at = models.DateTimeField(null=True)
    # The one under way; null: none is.
    begun_at = models.DateTimeField(null=True)
    since = models.DateTimeField(null=True)
    next_page = models.PositiveIntegerField(default=0)
    # Behind those that match: the same for what has left the filter; null: not begun.
    changes_page = models.PositiveIntegerField(null=True)

    def __str__(self) -> str:
        return f"{self.store_id} through {self.read_at}"


class PurchaseOrderLine(models.Model):
    """A line; `received` is the sum of all receipts, `received_there` what the platform
    was last seen to hold."""

    order = models.ForeignKey(
        PurchaseOrder, models.CASCADE, related_name="lines", db_index=False
    )
    # The order's, for its index: a search by SKU looks in one store at a time. Null only
    # in rows that the version before wrote; those are not found by their SKU.
    store = models.ForeignKey(
        Store,
        models.DO_NOTHING,
        null=True,
        db_constraint=False,
        db_index=False,
        related_name="+",
    )
    external_id = models.CharField(max_length=128)
    line_id = models.CharField(max_length=128)
    sku = models.CharField(max_length=256, db_collation="C", blank=True)
    title = models.CharField(max_length=256, blank=True)
    quantity = models.DecimalField(max_digits=20, decimal_places=4)
    received = models.DecimalField(max_digits=20, decimal_places=4, default=Decimal(0))
    received_there = models.DecimalField(
        max_digits=20, decimal_places=4, default=Decimal(0)
    )

    class Meta:
        ordering = ["pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["order", "line_id"], name="connections_orderline_once"
            ),
        ]
        indexes = [
            # The write-back looks for lines that the platform does not know yet.
            models.Index(
                fields=["order"],
                condition=Q(received__gt=F("received_there")),
                name="connections_orderline_owed",
            ),
            models.Index(
                fields=["store", "sku", "-order"], name="connections_orderline_sku"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.sku} {self.received} / {self.quantity}"

    @property
    def outstanding(self) -> Decimal:
        """What is still to come; never negative."""
        return _plain(max(self.quantity - self.received, Decimal(0)))


class HandOver(models.Model):
    """Tombstone of an order sent to a warehouse. It outlives Reset, Delete and the
    connection itself: plain values, no foreign key but the store's."""

    account = models.ForeignKey("stores.Account", models.CASCADE, related_name="+")
    store = models.ForeignKey(Store, models.CASCADE, related_name="hand_overs")
    external_id = models.CharField(max_length=64)
    # Blank: a person says that the warehouse has it.
    file_name = models.CharField(max_length=255)
    committed_at = models.DateTimeField(auto_now_add=True)
    delivery = models.ForeignKey(
        Delivery, models.SET_NULL, null=True, related_name="hand_overs"
    )

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["store", "external_id", "file_name"],
                name="connections_handover_once",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.external_id} in {self.file_name}"


class ReceiptQuerySet(TenantQuerySet["Receipt"]):
    merchant_path = "warehouse__merchant"


class Receipt(TenantModel):
    """The warehouse's notice that goods were received; many per order.

    A file is read once (`file_name`); a receipt sent again in another file is known by
    its own id and counts once.
    """

    class State(models.TextChoices):
        NEW = "new", _("New")
        PROCESSING = "processing", _("Processing")
        READY = "ready", _("Ready")
        NOTIFYING = "notifying", _("Notifying")
        COMPLETED = "completed", _("Completed")
        ERROR = "error", _("Error")
        ARCHIVED = "archived", _("Archived")

    # Those whose quantities count on the order.
    COUNTED = (State.PROCESSING, State.READY, State.NOTIFYING, State.COMPLETED)

    warehouse = models.ForeignKey(
        Warehouse, models.CASCADE, related_name="receipts", db_index=False
    )
    order = models.ForeignKey(
        PurchaseOrder, models.CASCADE, null=True, related_name="receipts"
    )
    external_id = models.CharField(max_length=128)
    file_name = models.CharField(max_length=255)
    order_name = models.CharField(
        max_length=256,
        blank=True,
        default="",
        db_default="",
        help_text=_("What the file calls the order: its id there, or its PO number."),
    )
    po_number = models.CharField(
        _("PO number"),
        max_length=256,
        blank=True,
        default="",
        db_default="",
        db_collation="C",
        help_text=_("The order's, or what the file gives for it: for the search."),
    )
    entered_by = models.CharField(
        max_length=301,
        blank=True,
        default="",
        db_default="",
        help_text=_("Who entered it by hand, as they were called then."),
    )
    state = models.CharField(max_length=20, choices=State)
    error = models.CharField(max_length=500, blank=True)
    received_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = ReceiptQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["warehouse", "external_id"], name="connections_receipt_once"
            ),
        ]
        indexes = [
            models.Index(
                fields=["warehouse", "file_name"], name="connections_receipt_file"
            ),
            # What a search begins with; the newest of the same name first.
            models.Index(
                fields=["warehouse", "po_number", "-id"],
                name="connections_receipt_po_number",
            ),
            models.Index(
                F("warehouse"),
                Collate("external_id", "C"),
                F("id").desc(),
                name="connections_receipt_name",
            ),
            models.Index(
                F("warehouse"),
                Collate("file_name", "C"),
                F("id").desc(),
                name="connections_receipt_file_name",
            ),
            # An import looks for receipts that came before their order.
            models.Index(
                fields=["warehouse"],
                condition=Q(order=None),
                name="connections_receipt_orphan",
            ),
            # The list, newest first; in one state, of one warehouse.
            models.Index(fields=["account", "-id"], name="connections_receipt_list"),
            models.Index(
                fields=["account", "state", "-id"], name="connections_receipt_account"
            ),
            models.Index(
                fields=["warehouse", "state", "-id"],
                name="connections_receipt_warehouse",
            ),
        ]

    def __str__(self) -> str:
        """Its name for people, on the account's clock; the warehouse's id is one."""
        if not self.is_by_hand:
            return self.external_id
        at = date_format(timezone.localtime(self.created_at), "j M Y, H:i")
        if not self.entered_by:
            return gettext("Entered by hand, %(at)s") % {"at": at}
        facts = {"name": self.entered_by, "at": at}
        return gettext("Entered by hand by %(name)s, %(at)s") % facts

    @property
    def is_by_hand(self) -> bool:
        """Whether a person entered it: no file tells of it."""
        return not self.file_name

    @property
    def is_refused_file(self) -> bool:
        """Whether it stands for a file that could not be read, and for no receipt."""
        return (
            self.state == self.State.ERROR
            and self.order_id is None
            and self.external_id == self.file_name[:128]
        )


class ReceiptLine(models.Model):
    """What a receipt says of one order line; `line` is null for an unknown SKU."""

    receipt = models.ForeignKey(Receipt, models.CASCADE, related_name="lines")
    # The receipt's, for its index: a search by SKU looks in one warehouse at a time. Null
    # only in rows that the version before wrote; those are not found by their SKU.
    warehouse = models.ForeignKey(
        Warehouse,
        models.DO_NOTHING,
        null=True,
        db_constraint=False,
        db_index=False,
        related_name="+",
    )
    line = models.ForeignKey(
        PurchaseOrderLine, models.SET_NULL, null=True, related_name="receipt_lines"
    )
    line_name = models.CharField(
        max_length=128,
        blank=True,
        default="",
        db_default="",
        help_text=_("The order line's id, where the file gives it."),
    )
    sku = models.CharField(max_length=256, db_collation="C")
    quantity = models.DecimalField(max_digits=20, decimal_places=4)
    expected = models.DecimalField(
        max_digits=20,
        decimal_places=4,
        null=True,
        help_text=_("What was outstanding when the receipt came."),
    )

    class Meta:
        indexes = [
            models.Index(
                fields=["warehouse", "sku", "-receipt"],
                name="connections_receiptline_sku",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.sku} {self.quantity}"
