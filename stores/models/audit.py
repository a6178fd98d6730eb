"""What people decided: append-only, chained per account (security.md A1–A3).

Plain ids, not foreign keys: the record outlives what it speaks of. The triggers that
refuse UPDATE, DELETE and TRUNCATE are SQL in migration 0002; there is no bypass.
"""

from __future__ import annotations

from django.db import models


class AuditEvent(models.Model):
    """One decision. `hash` covers `previous_hash` and every other field."""

    account_id = models.BigIntegerField(null=True)
    sequence = models.BigIntegerField()
    at = models.DateTimeField()
    actor_id = models.BigIntegerField(null=True)
    actor = models.CharField(max_length=254)
    action = models.CharField(max_length=60)
    target_type = models.CharField(max_length=60)
    target_id = models.CharField(max_length=40)
    target = models.CharField(max_length=254)
    before = models.JSONField(default=dict)
    after = models.JSONField(default=dict)
    ip = models.GenericIPAddressField(null=True)
    request_id = models.CharField(max_length=36, blank=True)
    previous_hash = models.CharField(max_length=64, blank=True)
    hash = models.CharField(max_length=64)

    class Meta:
        ordering = ["-pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["account_id", "sequence"],
                name="stores_auditevent_sequence",
                nulls_distinct=False,
            )
        ]
        indexes = [
            models.Index(
                fields=["target_type", "target_id"], name="stores_audit_target"
            )
        ]

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M} {self.actor}: {self.action} {self.target}"
