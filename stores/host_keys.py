"""Which host keys are trusted, and who said so (security.md H1–H3, H5)."""

from __future__ import annotations

from django.db import transaction
from django.utils import timezone

from stores import audit
from stores.models import HostKey, User


def approved_keys(account_id: int, host: str, port: int) -> list[HostKey]:
    """Return the keys to trust for this far side; none means nobody approved one yet."""
    return list(HostKey.objects.of(account_id, host, port).approved())


@transaction.atomic
def note_offered(
    account_id: int, host: str, port: int, *, key_type: str, blob: bytes
) -> HostKey:
    """Record a key that a far side offered, pending until a person approves it."""
    key, _created = HostKey.objects.of(account_id, host, port).get_or_create(
        blob=blob,
        defaults={
            "account_id": account_id,
            "host": host,
            "port": port,
            "key_type": key_type,
        },
    )
    return key


@transaction.atomic
def approve(key: HostKey, *, by: User) -> None:
    """Trust a key that the person has compared; it replaces approved ones of its type.

    Keys of other types stay: a server may hold several (inventory-planner.md §5).
    """
    now = timezone.now()
    replaced = HostKey.objects.of(key.account_id, key.host, key.port).approved()
    replaced = replaced.filter(key_type=key.key_type).exclude(pk=key.pk)
    before = [old.sha256 for old in replaced]
    replaced.update(retired_at=now)
    key.approved_at, key.approved_by = now, by
    key.save(update_fields=["approved_at", "approved_by"])
    audit.record(
        "host_key.approved",
        key,
        by=by,
        before={"sha256": before},
        after={"sha256": key.sha256},
    )
