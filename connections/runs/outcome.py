"""What else changes when a run ends; in the transaction that ends it."""

from __future__ import annotations

from django.db.models.functions import Now

from connections.alerts import ledger
from connections.models import Channel, SyncRun
from connections.models.activity import note
from connections.runs import retry
from connections.runs.jobs import JOBS


def succeeded(run: SyncRun) -> None:
    """Nothing of its job is dead any more, the gate opens, alerts close."""
    _resolve(run)
    of_channel = JOBS[run.job].moves_data
    if of_channel:
        retry.lift(Channel.objects.filter(pk=run.channel_id))
    ledger.close_alerts(
        run.channel, job=run.job, of_channel=of_channel, before=run.started_at
    )


def refused(run: SyncRun) -> None:
    """A person has to mend it; meanwhile it is looked at now and then.

    What a person asked for on a page of its own is theirs to ask for again: it holds
    nothing of the channel up.
    """
    _tell(run)
    if JOBS[run.job].has_rules:
        retry.count_refusal(run)


def died(run: SyncRun) -> None:
    """The last attempt failed: this is the job's dead letter now."""
    _resolve(run)
    _tell(run)


def alert(run: SyncRun) -> None:
    """Tell people why the run does not get on."""
    job = JOBS[run.job]
    ledger.raise_alert(
        run.error_code,
        channel=run.channel,
        # One by hand need not come again: any success of the channel will do.
        job="" if job.every_minutes is None and job.moves_data else job.slug,
        side=run.error_side,
        detail=run.error_detail,
    )


def _tell(run: SyncRun) -> None:
    alert(run)
    note(
        "run_stopped",
        connection=run.connection,
        run=run,
        job=run.job,
        code=run.error_code,
    )


def _resolve(run: SyncRun) -> None:
    dead = SyncRun.objects.dead().filter(channel=run.channel_id, job=run.job)
    dead.exclude(pk=run.pk).update(resolved_at=Now())
