"""Fields whose bytes are sealed to their row."""

from __future__ import annotations

import uuid

from django.db import models

from stores import sealing
from stores.secret import Secret


class SealedMixin(models.Model):
    """Seals and opens the binary fields named `sealed_<what>` of a tenant's row."""

    account_id: int
    public_id: uuid.UUID

    class Meta:
        abstract = True

    def seal(self, what: str, value: str) -> None:
        """Set `sealed_<what>`; an empty value clears it. Does not save."""
        sealed = sealing.seal(value.encode(), self._place(what)) if value else None
        setattr(self, f"sealed_{what}", sealed)

    def unseal(self, what: str) -> Secret:
        """Open `sealed_<what>`; empty when unset. Raises SealError."""
        sealed = getattr(self, f"sealed_{what}")
        if sealed is None:
            return Secret("")
        return Secret(sealing.unseal(sealed, self._place(what)).decode())

    def fingerprint(self, what: str, value: str) -> str:
        """What may be shown of a value."""
        return sealing.fingerprint(value, self._place(what))

    def _place(self, what: str) -> sealing.Place:
        return sealing.Place(
            self.account_id, self.public_id, f"{self._meta.label_lower}.{what}"
        )
