"""A "Test connection" as a row: run in a worker, watched from the page."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from connections.models.draft import ConnectionDraft
from stores.models import Store, User, Warehouse
from stores.models.tenant import TenantModel, TenantQuerySet, membership_of


class CheckRunQuerySet(TenantQuerySet["CheckRun"]):
    # Narrower than the tenant: `User` alone, anonymous people have none of these.
    def for_user(self, user: User) -> CheckRunQuerySet:  # type: ignore[override]
        """A check is seen by whoever started it, in the account where it was."""
        membership = membership_of(user)
        if membership is None:
            return self.none()
        return self.filter(account=membership.account_id, requested_by=user)


class CheckRun(TenantModel):
    """Named checks of a draft's step, a store or a warehouse; exactly one of the three.

    `results`: a list of {"check": slug, "state": "passed" | "failed" | "skipped",
    "code": error code or "", "detail": safe text, "host_key": public id or absent},
    appended as each check finishes. Stores nothing that was typed: a draft's answers
    stay sealed in the draft.
    """

    class State(models.TextChoices):
        QUEUED = "queued", _("Waiting")
        RUNNING = "running", _("Running")
        PASSED = "passed", _("Success!")
        FAILED = "failed", _("Failed")
        CANCELLED = "cancelled", _("Cancelled")

    UNFINISHED = (State.QUEUED, State.RUNNING)

    requested_by = models.ForeignKey(User, models.CASCADE, related_name="+")
    draft = models.ForeignKey(
        ConnectionDraft, models.CASCADE, null=True, related_name="checks"
    )
    draft_step = models.CharField(max_length=30, blank=True)
    store = models.ForeignKey(Store, models.CASCADE, null=True, related_name="checks")
    warehouse = models.ForeignKey(
        Warehouse, models.CASCADE, null=True, related_name="checks"
    )
    state = models.CharField(max_length=20, choices=State, default=State.QUEUED)
    results = models.JSONField(default=list)
    created_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)

    objects = CheckRunQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]
        constraints = [
            models.CheckConstraint(
                name="connections_checkrun_subject",
                condition=Q(draft__isnull=False, store=None, warehouse=None)
                | Q(draft=None, store__isnull=False, warehouse=None)
                | Q(draft=None, store=None, warehouse__isnull=False),
            ),
        ]
        indexes = [
            models.Index(
                fields=["requested_by", "created_at"], name="connections_checkrun_rate"
            ),
            models.Index(
                fields=["created_at"],
                condition=Q(state__in=("queued", "running")),
                name="connections_checkrun_due",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.state} {self.created_at}"

    @property
    def is_finished(self) -> bool:
        return self.state not in self.UNFINISHED

    @property
    def is_of_warehouse(self) -> bool:
        """Whose people know the server: the warehouse's, else the store platform's."""
        at_warehouse_step = self.draft_step == ConnectionDraft.Step.WAREHOUSE
        return self.warehouse_id is not None or at_warehouse_step

    @property
    def needs_approval(self) -> bool:
        """Nothing failed but that nobody has approved the server's key."""
        failed = {result["code"] for result in self.results if result["code"]}
        return "host_key_unknown" in failed
