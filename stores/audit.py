"""Write and verify the audit chain."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from django.db import connection, models, transaction
from django.utils import timezone

from stores.models import Account, AuditEvent, User

_FIRST_LOCK_KEY = 0x44530001  # advisory locks: (this, account id mod 2^31)


@dataclass(frozen=True)
class Origin:
    """Where a request came from; set by the middleware for the request's time."""

    ip: str | None = None
    request_id: str = ""


origin: ContextVar[Origin] = ContextVar("origin", default=Origin())  # noqa: B039


def record(
    action: str,
    target: models.Model,
    *,
    by: User | None,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
) -> AuditEvent:
    """Append one event to the chain of the target's account.

    Must run in the transaction of the change itself, so that neither exists without
    the other (A1). Secrets are passed as fingerprints only.
    """
    if not connection.in_atomic_block:
        raise transaction.TransactionManagementError("audit.record needs a transaction")
    account_id = (
        target.pk
        if isinstance(target, Account)
        else getattr(target, "account_id", None)
    )
    came_from = origin.get()
    with connection.cursor() as cursor:
        # One writer per chain: the next link must see the last one.
        cursor.execute(
            "SELECT pg_advisory_xact_lock(%s, %s)",
            [_FIRST_LOCK_KEY, (account_id or 0) % 2**31],
        )
    last = _chain(account_id).order_by("-sequence").first()
    event = AuditEvent(
        account_id=account_id,
        sequence=(last.sequence + 1) if last else 1,
        at=timezone.now(),
        actor_id=by.pk if by else None,
        actor=str(by) if by else "DropStream",
        action=action,
        target_type=target._meta.label_lower,
        target_id=str(getattr(target, "public_id", target.pk)),
        target=str(target)[:254],
        before=dict(before or {}),
        after=dict(after or {}),
        ip=came_from.ip,
        request_id=came_from.request_id,
        previous_hash=last.hash if last else "",
    )
    event.hash = _hash(event)
    event.save(force_insert=True)
    return event


def first_broken_link(account_id: int | None) -> AuditEvent | None:
    """Walk an account's chain; return the first event that does not fit, or None."""
    previous, sequence = "", 0
    for event in _chain(account_id).order_by("sequence").iterator():
        fits = event.previous_hash == previous and event.hash == _hash(event)
        if not fits or event.sequence != sequence + 1:
            return event
        previous, sequence = event.hash, event.sequence
    return None


def new_request_id() -> str:
    """An id that ties log lines, audit rows and error pages of one request."""
    return str(uuid.uuid4())


def _chain(account_id: int | None) -> models.QuerySet[AuditEvent]:
    if account_id is None:
        return AuditEvent.objects.filter(account_id__isnull=True)
    return AuditEvent.objects.filter(account_id=account_id)


def _hash(event: AuditEvent) -> str:
    """SHA-256 over length-prefixed fields: no two events share an encoding."""
    digest = hashlib.sha256()
    for value in (
        event.account_id,
        event.sequence,
        event.at.isoformat(),
        event.actor_id,
        event.actor,
        event.action,
        event.target_type,
        event.target_id,
        event.target,
        json.dumps(event.before, sort_keys=True),
        json.dumps(event.after, sort_keys=True),
        event.ip,
        event.request_id,
        event.previous_hash,
    ):
        data = str(value).encode()
        digest.update(len(data).to_bytes(8, "big") + data)
    return digest.hexdigest()
