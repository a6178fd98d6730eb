"""The row is the queue, and the history (reliability.md P1)."""

from __future__ import annotations

from datetime import datetime

from django.db import models
from django.db.models import Q
from django.db.models.expressions import Combinable
from django.utils.translation import gettext_lazy as _

from connections.models.connection import Channel, Connection
from stores.models import Store, User
from stores.models.tenant import TenantModel, TenantQuerySet


class RunQuerySet(TenantQuerySet["SyncRun"]):
    merchant_path = "connection__merchant"

    def unfinished(self) -> RunQuerySet:
        return self.filter(state__in=SyncRun.UNFINISHED)

    def dead(self) -> RunQuerySet:
        """The dead letters: failed for good, and nothing has taken their place."""
        return self.filter(state=SyncRun.State.FAILED, resolved_at=None)

    def add(
        self,
        channel: Channel,
        job: str,
        trigger: SyncRun.Trigger,
        *,
        due_at: datetime | Combinable,
        by: User | None = None,
    ) -> SyncRun | None:
        """Insert a waiting run; None when one of the job is unfinished already."""
        run = SyncRun.of(channel, job, trigger, due_at=due_at, by=by)
        self.bulk_create([run], ignore_conflicts=True)
        return self.filter(public_id=run.public_id).first()


class SyncRun(TenantModel):
    """One piece of work of one channel.

    queued → running → succeeded | needs_person | failed | cancelled; a transient failure
    goes back to queued with a later `due_at`. Attempts count before the work starts, so
    that a run that kills its worker ends as well (Q4). A failed run is a dead letter
    until a success of its job, or a newer failure, sets `resolved_at`.
    """

    class State(models.TextChoices):
        QUEUED = "queued", _("Waiting to start")
        RUNNING = "running", _("Running")
        SUCCEEDED = "succeeded", _("Done")
        NEEDS_PERSON = "needs_person", _("Needs attention")
        FAILED = "failed", _("Failed")
        CANCELLED = "cancelled", _("Cancelled")

    class Trigger(models.TextChoices):
        SCHEDULE = "schedule", _("Schedule")
        PERSON = "person", _("Run now")
        CHANGE = "change", _("Settings changed")
        PROBE = "probe", _("Looks whether it was mended")
        REPLAY = "replay", _("Replay")

    class Side(models.TextChoices):
        STORE = "store", _("Store")
        WAREHOUSE = "warehouse", _("Warehouse")

    UNFINISHED = (State.QUEUED, State.RUNNING)
    # Somebody waits for it, or has changed something: the channel's gate is not asked.
    ASKED_FOR = (Trigger.PERSON, Trigger.CHANGE, Trigger.REPLAY)

    connection = models.ForeignKey(
        Connection, models.CASCADE, related_name="runs", db_index=False
    )
    channel = models.ForeignKey(
        Channel,
        models.CASCADE,
        related_name="runs",
        db_index=False,  # connections_syncrun_job begins with it
    )
    store = models.ForeignKey(Store, models.CASCADE, related_name="runs")
    job = models.CharField(max_length=40)
    state = models.CharField(max_length=20, choices=State, default=State.QUEUED)
    trigger = models.CharField(max_length=20, choices=Trigger)
    requested_by = models.ForeignKey(User, models.SET_NULL, null=True, related_name="+")
    # By what it was asked for once more while it worked; another one follows then.
    asked_again = models.CharField(
        max_length=20, choices=Trigger, blank=True, db_default=""
    )
    due_at = models.DateTimeField()
    rung_at = models.DateTimeField(null=True)
    attempts = models.PositiveIntegerField(default=0)
    # How many of them do not count any more: somebody has asked for the run anew.
    attempts_before = models.PositiveIntegerField(default=0, db_default=0)
    first_started_at = models.DateTimeField(null=True)
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    resolved_at = models.DateTimeField(null=True)
    error_code = models.CharField(max_length=60, blank=True)
    error_side = models.CharField(max_length=10, choices=Side, default=Side.STORE)
    error_detail = models.CharField(max_length=500, blank=True)
    # What the run did, in numbers for its page: {"rows_sent": 12, …}.
    counts = models.JSONField(default=dict)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = RunQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["channel", "job"],
                condition=Q(state__in=("queued", "running")),
                name="connections_syncrun_one_unfinished",
            ),
        ]
        indexes = [
            models.Index(
                fields=["due_at"],
                condition=Q(state="queued"),
                name="connections_syncrun_due",
            ),
            models.Index(
                fields=["started_at"],
                condition=Q(state="running"),
                name="connections_syncrun_running",
            ),
            models.Index(fields=["connection", "-id"], name="connections_syncrun_page"),
            # Statuses: a job's newest runs. The dead-man's switch: its last success.
            models.Index(
                fields=["channel", "job", "-id"], name="connections_syncrun_job"
            ),
            models.Index(
                fields=["channel", "job", "-id"],
                condition=Q(state="succeeded"),
                name="connections_syncrun_success",
            ),
            # Metrics: what ended lately. Retention: what ended long ago.
            models.Index(
                fields=["finished_at"],
                condition=Q(finished_at__isnull=False),
                name="connections_syncrun_ended",
            ),
            # The bell's window: rung for, and not started yet.
            models.Index(
                fields=["rung_at"],
                condition=Q(state="queued", rung_at__isnull=False),
                name="connections_syncrun_rung",
            ),
            # The list of dead letters, cut by keyset; and those of one job.
            models.Index(
                fields=["account", "-id"],
                condition=Q(state="failed", resolved_at=None),
                name="connections_syncrun_dead",
            ),
            models.Index(
                fields=["channel", "job"],
                condition=Q(state="failed", resolved_at=None),
                name="connections_syncrun_dead_job",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.job} {self.state}"

    @classmethod
    def of(
        cls,
        channel: Channel,
        job: str,
        trigger: SyncRun.Trigger,
        *,
        due_at: datetime | Combinable,
        by: User | None = None,
    ) -> SyncRun:
        """A waiting run, not stored yet."""
        return cls(
            account_id=channel.account_id,
            connection_id=channel.connection_id,
            channel=channel,
            store_id=channel.connection.store_id,
            job=job,
            trigger=trigger,
            requested_by=by,
            due_at=due_at,
        )

    @property
    def tries(self) -> int:
        return self.attempts - self.attempts_before


class StoreLease(models.Model):
    """Who may talk to a store's far side just now (design.md §3, Lease).

    `fence` grows with every owner: an owner that lost the lease is refused its writes.
    `steals`: how often it was taken from one that had not given it back in time.
    """

    store = models.OneToOneField(
        Store, models.CASCADE, primary_key=True, related_name="lease"
    )
    fence = models.BigIntegerField(default=0)
    steals = models.BigIntegerField(default=0, db_default=0)
    run = models.ForeignKey(SyncRun, models.SET_NULL, null=True, related_name="+")
    expires_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"{self.store_id} #{self.fence}"
