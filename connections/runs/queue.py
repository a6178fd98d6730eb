"""The row is the queue: add runs, ring the bell in turn, free what dead workers left.

Times are the database's: the clocks of workers may differ (reliability.md Q19).
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import timedelta
from functools import partial

from celery import current_app
from django.conf import settings
from django.db import connection, transaction
from django.db.models import F, Q
from django.db.models.functions import Now
from kombu.exceptions import OperationalError

from connections.models import Channel, SyncRun
from connections.runs import outcome, retry
from connections.runs.jobs import JOBS, Job, jobs_of
from connections.runs.transactions import retried
from stores.models import Store, User

log = logging.getLogger(__name__)

BATCH = 1000
# One dispatcher at a time, for milliseconds: two would fill the window twice. The audit's
# advisory locks have the number before.
_DISPATCHER_LOCK = (0x44530002, 0)


@transaction.atomic
def enqueue(
    channel: Channel,
    job: Job,
    trigger: SyncRun.Trigger,
    *,
    by: User | None = None,
) -> SyncRun | None:
    """Add a run that is due now; None when off, or when one is unfinished already.

    One that waits, perhaps for its retry or at the channel's gate, starts anew now. One
    that works may have looked before the change that this is about: it cannot end before
    the caller's transaction does, and is followed by another. The bell rings after the
    commit; a lost bell is rung again by the tick (Q7, Q8).
    """
    if not (channel.is_on and channel.connection.is_on):
        return None
    made = SyncRun.objects.add(channel, job.slug, trigger, due_at=Now(), by=by)
    due = made or _unfinished(channel, job)
    if due is None:  # it has ended just now
        return enqueue(channel, job, trigger, by=by)
    row = SyncRun.objects.filter(pk=due.pk)
    if due.state == SyncRun.State.RUNNING:
        row.update(asked_again=trigger)
        return None
    if made is None:
        row.update(
            due_at=Now(),
            rung_at=None,
            attempts_before=F("attempts"),
            first_started_at=None,
            trigger=trigger,
            requested_by=by,
        )
    transaction.on_commit(lambda: ring([due.pk]))
    return made


def _unfinished(channel: Channel, job: Job) -> SyncRun | None:
    """The run of a job that has not ended, locked: nobody claims or ends it meanwhile."""
    runs = SyncRun.objects.unfinished().filter(channel=channel, job=job.slug)
    return runs.select_for_update(no_key=True).first()


def enqueue_for_store(store: Store) -> None:
    """After a change of settings or a host key's approval: what waited goes on."""
    retry.lift_for_person(Channel.objects.filter(connection__store=store))
    channels = Channel.objects.live().filter(connection__store=store)
    for channel in channels.select_related("connection"):
        for job in jobs_of(channel.type):
            if job.on_change:
                enqueue(channel, job, SyncRun.Trigger.CHANGE)


def ring(run_ids: Sequence[int]) -> None:
    """Tell the workers. A broker that is down delays the work and loses none."""
    SyncRun.objects.filter(pk__in=run_ids).update(rung_at=Now())
    _send_all(run_ids)


def ring_check(check_id: int) -> None:
    """Tell the workers about a check that somebody waits for."""
    _send("connections.tasks.execute_check", check_id)


def ring_due() -> int:
    """Ring for due runs until enough are on their way; return for how many (Q5, Q17).

    In turn across accounts, and one of a store at a time: a store whose run is rung for
    or running is left out, and an account that has many on their way comes after those
    with fewer. What nobody took for a while is rung for again.
    """
    run_ids = retried(_pick)
    _send_all(run_ids)
    return len(run_ids)


def top_up() -> None:
    """After a run: ring for the next ones when half of the window is used up.

    So the pace does not hang on the tick, and not every run pays for a look at all that
    is due.
    """
    if _on_their_way() * 2 < settings.BELL_WINDOW:
        ring_due()


def reap() -> int:
    """Queue again, or end, runs whose worker is gone: running without a live lease.

    Attempts were counted before the work began, so a run that kills its worker each
    time ends after the last attempt as well (Q4); from the second on it has to wait.
    """
    orphans = SyncRun.objects.filter(
        Q(store__lease__isnull=True)
        | Q(store__lease__run__isnull=True)
        | ~Q(store__lease__run=F("pk"))
        | Q(store__lease__expires_at__lt=Now()),
        state=SyncRun.State.RUNNING,
    ).select_related("channel", "connection")
    return sum(retried(partial(_reap, run)) for run in orphans[:BATCH])


def _reap(run: SyncRun) -> int:
    """End one attempt; 0 when somebody else did.

    What was asked for while it worked is asked for again.
    """
    channel = retry.lock(run)  # before the run, as whoever asks for one does
    running = SyncRun.objects.select_for_update(no_key=True).filter(
        pk=run.pk, state=SyncRun.State.RUNNING, attempts=run.attempts
    )
    orphan = running.first()
    if orphan is None:
        return 0
    if retry.is_last(run):
        run.error_code, run.error_detail = "worker_lost", ""
        running.update(
            state=SyncRun.State.FAILED,
            error_code=run.error_code,
            error_detail="",
            finished_at=Now(),
        )
        outcome.died(run)
    else:
        pause = retry.pause(run.tries - 1) if run.tries > 1 else timedelta()
        running.update(state=SyncRun.State.QUEUED, due_at=Now() + pause, rung_at=None)
    if orphan.asked_again:
        enqueue(channel, JOBS[run.job], SyncRun.Trigger(orphan.asked_again))
    return 1


def _pick() -> list[int]:
    """Choose runs up to the window's size and mark them as rung for."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s, %s)", _DISPATCHER_LOCK)
        room = int(settings.BELL_WINDOW) - _on_their_way()
        if room <= 0:
            return []
        cursor.execute(
            """
            WITH on_their_way AS MATERIALIZED (
                SELECT store_id, account_id FROM connections_syncrun
                WHERE state = 'running'
                UNION ALL
                SELECT store_id, account_id FROM connections_syncrun
                WHERE state = 'queued'
                  AND rung_at > statement_timestamp() - %(again)s * interval '1 second'
            ), first_of_store AS (
                SELECT DISTINCT ON (run.store_id) run.id, run.account_id, run.due_at
                FROM connections_syncrun run
                WHERE run.state = 'queued'
                  AND run.due_at <= statement_timestamp()
                  AND NOT EXISTS (
                      SELECT FROM on_their_way other
                      WHERE other.store_id = run.store_id
                  )
                  AND NOT EXISTS (
                      SELECT FROM connections_storelease lease
                      WHERE lease.store_id = run.store_id
                        AND lease.expires_at > statement_timestamp()
                  )
                ORDER BY run.store_id, run.due_at, run.id
            ), in_turn AS (
                SELECT run.id, run.due_at, row_number() OVER (
                    PARTITION BY run.account_id ORDER BY run.due_at, run.id
                ) + coalesce(busy.runs, 0) AS turn
                FROM first_of_store run
                LEFT JOIN (
                    SELECT account_id, count(*) AS runs
                    FROM on_their_way GROUP BY account_id
                ) busy USING (account_id)
            ), picked AS (
                SELECT id, turn, due_at FROM in_turn
                ORDER BY turn, due_at, id LIMIT %(room)s
            ), rung AS (
                UPDATE connections_syncrun run SET rung_at = statement_timestamp()
                FROM picked
                WHERE run.id = picked.id AND run.state = 'queued'
                RETURNING run.id, picked.turn, picked.due_at
            )
            SELECT id FROM rung ORDER BY turn, due_at, id
            """,
            {"again": settings.RING_AGAIN_SECONDS, "room": room},
        )
        return [pk for (pk,) in cursor.fetchall()]


def _on_their_way() -> int:
    """How many runs are rung for and not started."""
    unheard = Now() - timedelta(seconds=settings.RING_AGAIN_SECONDS)
    return SyncRun.objects.filter(
        state=SyncRun.State.QUEUED, rung_at__gt=unheard
    ).count()


def _send_all(run_ids: Sequence[int]) -> None:
    """Send messages in their order; with the first failure the rest is left to the tick."""
    for sent, run_id in enumerate(run_ids):
        if not _send("connections.tasks.execute_run", run_id):
            left = SyncRun.objects.filter(pk__in=run_ids[sent:])
            left.filter(state=SyncRun.State.QUEUED).update(rung_at=None)
            return


def _send(task: str, row_id: int) -> bool:
    try:
        current_app.send_task(task, args=[row_id], retry=False)
    except OperationalError:
        log.warning("bell not rung", extra={"task": task, "row": row_id})
        return False
    return True
