"""Signs of life of our own processes; of nobody's account."""

from __future__ import annotations

from datetime import timedelta

from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _


class HeartbeatQuerySet(models.QuerySet["Heartbeat"]):
    def within(self, seconds: float) -> HeartbeatQuerySet:
        """Those seen in the last so many seconds, by the database's clock (Q19)."""
        return self.filter(at__gt=Now() - timedelta(seconds=seconds))


class Heartbeat(models.Model):
    """When a process, or a chore of the tick, was last known to be at work."""

    class Kind(models.TextChoices):
        TICK = "tick", _("Tick")
        WORKER = "worker", _("Worker")
        CHORE = "chore", _("Chore")
        # Written by /readyz, which must know that rows can be written.
        PROBE = "probe", _("Probe")

    kind = models.CharField(max_length=10, choices=Kind)
    name = models.CharField(max_length=255, blank=True)
    at = models.DateTimeField()

    objects = HeartbeatQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["kind", "name"], name="connections_heartbeat_once"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.name}".strip()
