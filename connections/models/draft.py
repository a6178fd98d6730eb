"""A half-finished wizard: a row, so that two tabs never mix and nothing is lost."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from connections.models.connection import Connection
from stores.models import SSHKey, User
from stores.models.sealed import SealedMixin
from stores.models.tenant import TenantModel, TenantQuerySet, membership_of

KEPT_FOR = timedelta(days=30)


class DraftQuerySet(TenantQuerySet["ConnectionDraft"]):
    # Narrower than the tenant: `User` alone, anonymous people have none of these.
    def for_user(self, user: User) -> DraftQuerySet:  # type: ignore[override]
        """A person's own drafts: what is typed in one may name any merchant."""
        if membership_of(user) is None:
            return self.none()
        return self.filter(account=user.membership.account_id, created_by=user)

    def open(self) -> DraftQuerySet:
        return self.filter(connection__isnull=True)

    def expired(self) -> DraftQuerySet:
        """Open drafts that nobody changed for as long as the list says they are kept."""
        return self.open().filter(updated_at__lt=timezone.now() - KEPT_FOR)

    def discard(self) -> None:
        """Delete drafts with their key pairs, which no store ever used."""
        keys = list(self.values_list("ssh_key", flat=True))
        self.delete()
        SSHKey.objects.filter(pk__in=keys, store=None).delete()


class ConnectionDraft(SealedMixin, TenantModel):
    """`sealed_answers` is the wizard's whole storage as JSON, raw input included.

    Finishing sets `connection`, which makes a second finish find the first one's.
    """

    class Step(models.TextChoices):
        """The wizard's four steps, in order (dropstream.md §2)."""

        BASIC = "basic", _("Basic Information")
        MERCHANT = "merchant", _("Merchant Information")
        WAREHOUSE = "warehouse", _("Warehouse Setup")
        STORE = "store", _("Store Setup")

    created_by = models.ForeignKey(User, models.CASCADE, related_name="drafts")
    name = models.CharField(_("connection name"), max_length=200, blank=True)
    step = models.CharField(max_length=30, choices=Step, default=Step.BASIC)
    sealed_answers = models.BinaryField(null=True)
    ssh_key = models.OneToOneField(SSHKey, models.SET_NULL, null=True)
    connection = models.OneToOneField(
        Connection, models.CASCADE, null=True, related_name="draft"
    )
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    objects = DraftQuerySet.as_manager()

    class Meta:
        ordering = ["-updated_at"]

    def __str__(self) -> str:
        return self.name or str(_("Unnamed connection"))

    @property
    def dialog_id(self) -> str:
        """An id for its dialog on a page with several drafts."""
        return f"discard-{self.public_id}"

    @property
    def expires_at(self) -> datetime:
        """When it is discarded unless somebody goes on with it."""
        return self.updated_at + KEPT_FOR

    def load(self) -> dict[str, Any]:
        """Open the wizard's storage; empty when nothing was typed. Raises SealError."""
        text = self.unseal("answers").reveal()
        return json.loads(text) if text else {}

    def keep(self, data: dict[str, Any]) -> None:
        """Seal the wizard's storage. Does not save."""
        self.seal("answers", json.dumps(data))

    def answers(self, step: str) -> dict[str, str]:
        """What was typed in a step, by field name; raw, perhaps invalid."""
        typed = self.load().get("step_data", {}).get(step) or {}
        prefix = f"{step}-"
        return {
            name.removeprefix(prefix): values[-1] if values else ""
            for name, values in typed.items()
            if name.startswith(prefix)
        }
