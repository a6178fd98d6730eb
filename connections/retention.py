"""Drop what is old, a bounded bite at a time; what is not over yet is never touched.

Kept whatever their age: rows that wait, run or are open; a job's newest run, which its
connection's page shows; orders, their files and tombstones (HandOver); the audit.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet
from django.utils import timezone

from connections.deliveries import bytes as file_bytes
from connections.models import Activity, Alert, CheckRun, Delivery, SyncRun

BATCH = 1000
BUDGET_S = 60.0


@dataclass(frozen=True)
class Rule:
    """One kind of old rows: the setting with their age in days, and how to find them."""

    days: str
    find: Callable[[datetime, int], QuerySet[Any]]


def _files(before: datetime, batch: int) -> QuerySet[Any]:
    """Bytes of stock files that arrived; the rows keep name, size and hash.

    An order's file stays: it is small, and people may fetch the same one again.
    """
    return file_bytes.oldest(
        Delivery.objects.filter(
            entity__in=(Delivery.Entity.STOCK, *Delivery.MASTER_DATA),
            state=Delivery.State.DELIVERED,
            delivered_at__lt=before,
        ),
        batch,
    )


def _activities(before: datetime, batch: int) -> QuerySet[Any]:
    # Ids grow with time: when the first ones are young, so are the others.
    first = Activity.objects.order_by("pk").values("pk")[:batch]
    return Activity.objects.filter(pk__in=first, at__lt=before)


def _runs(before: datetime, batch: int) -> QuerySet[Any]:
    newer = SyncRun.objects.filter(
        channel=OuterRef("channel"), job=OuterRef("job"), pk__gt=OuterRef("pk")
    )
    ended = SyncRun.objects.exclude(state__in=SyncRun.UNFINISHED).exclude(
        state=SyncRun.State.FAILED, resolved_at=None
    )
    old = ended.filter(Exists(newer), finished_at__lt=before).order_by("finished_at")
    return SyncRun.objects.filter(pk__in=old.values("pk")[:batch])


def _checks(before: datetime, batch: int) -> QuerySet[Any]:
    first = CheckRun.objects.order_by("pk").values("pk")[:batch]
    ended = CheckRun.objects.exclude(state__in=CheckRun.UNFINISHED)
    return ended.filter(pk__in=first, finished_at__lt=before)


def _alerts(before: datetime, batch: int) -> QuerySet[Any]:
    old = Alert.objects.filter(closed_at__lt=before).order_by("closed_at")
    return Alert.objects.filter(pk__in=old.values("pk")[:batch])


RULES = (
    Rule("KEEP_FILE_BYTES_DAYS", _files),
    Rule("KEEP_ACTIVITY_DAYS", _activities),
    Rule("KEEP_RUNS_DAYS", _runs),
    Rule("KEEP_CHECKS_DAYS", _checks),
    Rule("KEEP_ALERTS_DAYS", _alerts),
)


def prune(*, batch: int = BATCH, budget_s: float = BUDGET_S) -> int:
    """Delete what its setting calls old; return how many rows went.

    Each batch is a transaction of its own, and a started one is all that runs over the
    budget; the rest waits for the next turn. Two at once do no harm.
    """
    end = time.monotonic() + budget_s
    gone = 0
    for rule in RULES:
        before = timezone.now() - timedelta(days=getattr(settings, rule.days))
        while time.monotonic() < end:
            with transaction.atomic():
                dropped, _by_model = rule.find(before, batch).delete()
            gone += dropped
            if not dropped:
                break
    return gone
