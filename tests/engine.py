"""Drive the engine in the test's own process, through the doors of the workers."""

from __future__ import annotations

import itertools

from django.db import transaction
from django.db.models import QuerySet
from django.db.models.functions import Now
from django.utils import timezone

from connections.deliveries.names import new_name
from connections.models import Channel, Schedule, StockReport, SyncRun
from connections.runs import execute, queue, schedule
from connections.runs.context import RunContext
from connections.runs.jobs import JOBS
from connections.stock import ingest, staging
from connections.tasks import WORK
from connections.warehouses import inbox
from stores.models import Warehouse

_READERS = itertools.count(2_000_000)  # of no run


def drain() -> list[SyncRun]:
    """Make due what is due and do each due run once; return the runs as they ended."""
    schedule.make_due()
    done: list[int] = []
    while run := _due().exclude(pk__in=done).order_by("due_at", "pk").first():
        execute.execute(run.pk, WORK)
        done.append(run.pk)
    return [SyncRun.objects.get(pk=pk) for pk in done]


def run_now(channel: Channel, job: str) -> SyncRun:
    """Do one job of a channel, as its button does; return the run as it ended."""
    run = enqueue(channel, job)
    execute.execute(run.pk, WORK)
    run.refresh_from_db()
    return run


def enqueue(channel: Channel, job: str) -> SyncRun:
    """Ask for a job without doing it; its retry comes due at once."""
    queue.enqueue(channel, JOBS[job], SyncRun.Trigger.PERSON)
    return SyncRun.objects.get(channel=channel, job=job, state__in=SyncRun.UNFINISHED)


def due(run: SyncRun) -> SyncRun:
    """Let a run's time have come."""
    SyncRun.objects.filter(pk=run.pk).update(due_at=Now())
    return run


def attempt(run: SyncRun, failure: Exception | None = None) -> SyncRun:
    """Do a run whose work fails so, or succeeds; return it as it then stands."""

    def work(_context: RunContext) -> None:
        if failure is not None:
            raise failure

    execute.execute(due(run).pk, {run.job: work})
    run.refresh_from_db()
    return run


def report(warehouse: Warehouse, text: str) -> StockReport:
    """Apply a stock report that is as fresh as can be, without a far side."""
    reader = staging.Reader(next(_READERS), 1)
    rows = inbox.rows_of_pieces([text.encode()])
    staged = ingest.stage(reader, rows, timezone.now())
    with transaction.atomic():
        done = ingest.apply(warehouse, staged, name=new_name("inv"), size=len(text))
    assert done is not None
    return done


def make_schedules_due() -> None:
    """Let every schedule's time have come."""
    Schedule.objects.update(next_due_at=Now())


def _due() -> QuerySet[SyncRun]:
    return SyncRun.objects.filter(state=SyncRun.State.QUEUED, due_at__lte=Now())
