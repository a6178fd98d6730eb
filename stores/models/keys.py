"""Our SSH key pairs, and the far sides' host keys."""

from __future__ import annotations

import base64
import hashlib

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from stores.models.people import User
from stores.models.sealed import SealedMixin
from stores.models.tenant import TenantModel, TenantQuerySet
from stores.models.trade import Store


def sha256_fingerprint(blob: bytes) -> str:
    """The form that ssh-keygen prints: SHA256: and unpadded base64."""
    digest = hashlib.sha256(blob).digest()
    return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")


class SSHKey(SealedMixin, TenantModel):
    """A key pair that we made. It never changes by itself (dropstream.md §7).

    Made for a draft (no store yet); finishing the draft gives it to the store.
    """

    class State(models.TextChoices):
        PENDING = "pending", _("Pending")
        CURRENT = "current", _("Current")
        RETIRED = "retired", _("Retired")

    store = models.ForeignKey(Store, models.CASCADE, null=True, related_name="ssh_keys")
    state = models.CharField(max_length=10, choices=State, default=State.PENDING)
    key_type = models.CharField(max_length=40)
    public_key = models.TextField(help_text=_("One OpenSSH line."))
    sealed_private_key = models.BinaryField(null=True)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = TenantQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["store"],
                condition=Q(state="current"),
                name="stores_sshkey_one_current",
            )
        ]

    def __str__(self) -> str:
        return f"{self.key_type} {self.sha256}"

    @property
    def sha256(self) -> str:
        return sha256_fingerprint(base64.b64decode(self.public_key.split()[1]))


class HostKeyQuerySet(models.QuerySet["HostKey"]):
    def of(self, account_id: int, host: str, port: int) -> HostKeyQuerySet:
        return self.filter(
            account=account_id, host=host, port=port, retired_at__isnull=True
        )

    def approved(self) -> HostKeyQuerySet:
        return self.filter(approved_at__isnull=False)

    def pending(self) -> HostKeyQuerySet:
        return self.filter(approved_at__isnull=True)


class HostKey(TenantModel):
    """A key that a far side offered. Only approved ones are trusted (security.md H1–H3)."""

    host = models.CharField(max_length=253)
    port = models.PositiveIntegerField()
    key_type = models.CharField(max_length=40)
    blob = models.BinaryField()
    first_seen_at = models.DateTimeField(auto_now_add=True)
    approved_at = models.DateTimeField(null=True)
    approved_by = models.ForeignKey(User, models.SET_NULL, null=True, related_name="+")
    retired_at = models.DateTimeField(null=True)

    objects = HostKeyQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["account", "host", "port", "blob"],
                condition=Q(retired_at__isnull=True),
                name="stores_hostkey_once",
            )
        ]

    def __str__(self) -> str:
        return f"{self.host}:{self.port} {self.key_type} {self.sha256}"

    @property
    def sha256(self) -> str:
        return sha256_fingerprint(bytes(self.blob))
