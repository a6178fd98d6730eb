"""The row is the queue: add runs, ring the bell, free what dead workers left."""

from __future__ import annotations

import logging
import random
from datetime import datetime, timedelta

from celery import current_app
from django.conf import settings
from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone
from kombu.exceptions import OperationalError

from connections.models import Channel, SyncRun
from connections.runs.jobs import Job, jobs_of
from stores.models import Store, User

log = logging.getLogger(__name__)

BATCH = 1000
MAX_ATTEMPTS = 5
FIRST_DELAY_S = 10.0
LONGEST_DELAY_S = 900.0


def enqueue(
    channel: Channel,
    job: Job,
    trigger: SyncRun.Trigger,
    *,
    by: User | None = None,
) -> SyncRun | None:
    """Add a run that is due now; None when off, or when one is unfinished already.

    The bell rings after the commit; a lost bell is rung again by the tick (Q7, Q8).
    """
    if not (channel.is_on and channel.connection.is_on):
        return None
    run = SyncRun(
        account_id=channel.account_id,
        connection=channel.connection,
        channel=channel,
        store_id=channel.connection.store_id,
        job=job.slug,
        trigger=trigger,
        requested_by=by,
        due_at=timezone.now(),
    )
    SyncRun.objects.bulk_create([run], ignore_conflicts=True)
    made = SyncRun.objects.filter(public_id=run.public_id).first()
    if made is None:
        # One is waiting already, perhaps for its retry: a person need not wait for it.
        SyncRun.objects.filter(
            channel=channel, job=job.slug, state=SyncRun.State.QUEUED
        ).update(due_at=timezone.now(), rung_at=None)
        return None
    transaction.on_commit(lambda: ring([made.pk]))
    return made


def enqueue_for_store(store: Store) -> None:
    """After a change of settings or a host key's approval: what waited goes on."""
    channels = Channel.objects.live().filter(connection__store=store)
    for channel in channels.select_related("connection"):
        for job in jobs_of(channel.type):
            if job.on_change:
                enqueue(channel, job, SyncRun.Trigger.CHANGE)


def ring(run_ids: list[int]) -> None:
    """Tell the workers. A broker that is down delays the work and loses none."""
    SyncRun.objects.filter(pk__in=run_ids).update(rung_at=timezone.now())
    for run_id in run_ids:
        _send("connections.tasks.execute_run", run_id)


def ring_check(check_id: int) -> None:
    """Tell the workers about a check that somebody waits for."""
    _send("connections.tasks.execute_check", check_id)


def _send(task: str, row_id: int) -> None:
    try:
        current_app.send_task(task, args=[row_id], retry=False)
    except OperationalError:
        log.warning("bell not rung", extra={"task": task, "row": row_id})


def reap() -> int:
    """Queue again, or end, runs whose worker is gone: running without a live lease.

    Attempts were counted before the work began, so a run that kills its worker each
    time ends after MAX_ATTEMPTS as well (Q4).
    """
    now = timezone.now()
    orphans = SyncRun.objects.filter(
        Q(store__lease__isnull=True)
        | Q(store__lease__run__isnull=True)
        | ~Q(store__lease__run=F("pk"))
        | Q(store__lease__expires_at__lt=now),
        state=SyncRun.State.RUNNING,
    )
    freed = 0
    for run in orphans[:BATCH]:
        running = SyncRun.objects.filter(
            pk=run.pk, state=SyncRun.State.RUNNING, attempts=run.attempts
        )
        if run.attempts >= MAX_ATTEMPTS:
            freed += running.update(
                state=SyncRun.State.FAILED, error_code="worker_lost", finished_at=now
            )
        else:
            freed += running.update(
                state=SyncRun.State.QUEUED, due_at=now, rung_at=None
            )
    return freed


def ring_due() -> int:
    """Ring for due runs that nobody was rung for, or not for a while (Q5)."""
    now = timezone.now()
    unheard = now - timedelta(seconds=settings.RING_AGAIN_SECONDS)
    due = SyncRun.objects.filter(
        Q(rung_at__isnull=True) | Q(rung_at__lt=unheard),
        state=SyncRun.State.QUEUED,
        due_at__lte=now,
    )
    run_ids = list(due.order_by("due_at").values_list("pk", flat=True)[:BATCH])
    ring(run_ids)
    return len(run_ids)


def retry_at(attempts: int, retry_after_s: float | None) -> datetime:
    """When to try again: full jitter, doubling; a far side's own wish is the least."""
    longest = min(LONGEST_DELAY_S, FIRST_DELAY_S * 2 ** (attempts - 1))
    delay_s = random.uniform(0, longest)  # noqa: S311  jitter, not a secret
    if retry_after_s is not None:
        delay_s = retry_after_s + random.uniform(0, FIRST_DELAY_S)  # noqa: S311
    return timezone.now() + timedelta(seconds=delay_s)
