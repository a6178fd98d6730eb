"""The doors of the workers: an id in, one call, nothing out."""

from __future__ import annotations

from celery import shared_task
from django.conf import settings

from connections import retention
from connections.alerts import silence
from connections.checks import execute as checks
from connections.checks import subjects
from connections.models import ConnectionDraft, Heartbeat
from connections.orders import jobs as orders
from connections.orders import overdue
from connections.runs import execute, heartbeat, queue, schedule
from connections.runs.jobs import (
    ORDERS_IMPORT,
    ORDERS_STATUS,
    STOCK_CHANGES,
    STOCK_FULL,
    STOCK_MASTER_DATA,
    STOCK_PROOF,
)
from connections.stock import intake, listing_files, proof, staging, uploads
from connections.stock import jobs as stock

WORK = {
    STOCK_CHANGES.slug: stock.changes,
    STOCK_FULL.slug: stock.full,
    STOCK_MASTER_DATA.slug: stock.master_data,
    STOCK_PROOF.slug: proof.prove,
    ORDERS_IMPORT.slug: orders.import_and_hand_over,
    ORDERS_STATUS.slug: orders.update_status,
}

PRUNE_EVERY_S = 600


# Of a thousand schedules each: an account that has many due must not make others wait
# for the next ticks, nor a tick last for ever.
MOST_BATCHES = 50


@shared_task
def tick() -> None:
    """Find due work and ring for it; anything missed is found at the next tick."""
    for _batch in range(MOST_BATCHES):
        if schedule.make_due() < schedule.BATCH:
            break
    queue.reap()
    queue.ring_due()
    checks.tend()
    heartbeat.beat(Heartbeat.Kind.TICK)
    if heartbeat.take_turn("silence", settings.SILENCE_CHECK_SECONDS):
        silence.look()
    if heartbeat.take_turn("overdue", overdue.EVERY_S):
        overdue.sweep()
    intake.look_for_missed()
    proof.ask()
    uploads.expire()
    listing_files.expire()
    staging.discard_abandoned()
    ConnectionDraft.objects.expired().discard()
    if heartbeat.take_turn("retention", PRUNE_EVERY_S):
        prune.delay()


@shared_task
def execute_run(run_id: int) -> None:
    """Do one run's work, if nobody else does."""
    execute.execute(run_id, WORK)


@shared_task
def prune() -> None:
    """Drop a bounded amount of what is old; the rest at a later turn."""
    retention.prune()
    heartbeat.forget_missing()


@shared_task
def execute_check(check_id: int) -> None:
    """Do one check, if nobody else does."""
    checks.execute(check_id, subjects.findings)
