"""Run one run: claim, work, record. At most one worker gets past the claim."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

from django.conf import settings
from django.db import InterfaceError, OperationalError, connection, transaction
from django.db.models import F
from django.db.models.functions import Coalesce, Now

from connections.failpoints import failpoint
from connections.models import Channel, SyncRun
from connections.problems import Problem
from connections.runs import lease as leases
from connections.runs import outcome, queue, retry
from connections.runs.context import RunContext, SwitchedOffError
from connections.runs.jobs import JOBS
from connections.runs.lease import Lease, LeaseLostError
from connections.runs.transactions import retried
from connections.wire.errors import Kind, WireError

log = logging.getLogger(__name__)

Work = Callable[[RunContext], None]


def execute(run_id: int, work: Mapping[str, Work]) -> None:
    """Claim a due run and do its work; a run that is not claimable is somebody else's.

    Afterwards the next ones are rung for.
    """
    claimed = retried(lambda: _claim(run_id))
    if claimed is not None:
        _execute(*claimed, work)
    queue.top_up()


def _execute(run: SyncRun, lease: Lease, work: Mapping[str, Work]) -> None:
    context = RunContext(run, lease)
    started = {"run": str(run.public_id), "job": run.job, "attempt": run.attempts}
    log.info("run started", extra=started)
    try:
        failpoint("run.claimed")
        with lease.kept():
            _work(context, work)
    except LeaseLostError:
        log.warning("lease lost, result dropped", extra=started)
    finally:
        lease.release()
    log.info("run ended", extra=started)


@transaction.atomic
def _claim(run_id: int) -> tuple[SyncRun, Lease] | None:
    """Take the run and its store's lease together, or neither."""
    run = (
        SyncRun.objects.select_for_update(of=("self",), skip_locked=True)
        .select_related("channel", "connection__store", "connection__warehouse")
        .filter(pk=run_id, state=SyncRun.State.QUEUED, due_at__lte=Now())
        .first()
    )
    if run is None:
        return None
    if not Channel.objects.live().filter(pk=run.channel_id).exists():
        run.state, run.finished_at = SyncRun.State.CANCELLED, Now()
        run.save(update_fields=["state", "finished_at"])
        return None
    if run.trigger not in SyncRun.ASKED_FOR:
        shut = Channel.objects.filter(pk=run.channel_id, gate_until__gt=Now())
        gate = shut.values_list("gate_until", flat=True).first()
        if gate is not None:
            # Made due in the moment in which the gate closed.
            run.due_at, run.rung_at = gate, None
            run.save(update_fields=["due_at", "rung_at"])
            return None
    lease = leases.take(run)
    if lease is None:
        # Its bell rings again when the other one is done (D19).
        run.rung_at = None
        run.save(update_fields=["rung_at"])
        return None
    SyncRun.objects.filter(pk=run_id).update(
        state=SyncRun.State.RUNNING,
        attempts=F("attempts") + 1,
        asked_again="",
        first_started_at=Coalesce("first_started_at", Now()),
        started_at=Now(),
    )
    run.refresh_from_db(fields=["state", "attempts", "first_started_at", "started_at"])
    return run, lease


def _work(context: RunContext, work: Mapping[str, Work]) -> None:
    run = context.run
    try:
        work[run.job](context)
    except LeaseLostError:
        raise
    except SwitchedOffError:
        _record(context, lambda: _end(context, SyncRun.State.CANCELLED))
    except (WireError, Problem) as error:
        _stop(context, error)
    except (OperationalError, InterfaceError):
        log.exception("database away", extra={"run": str(run.public_id)})
        # A connection that broke is not mended by itself before the task's end (Q13).
        connection.close_if_unusable_or_obsolete()
        _stop(context, Problem("database_away"))
    except Exception:
        # The trace goes to the log; its text could hold a secret and is not stored.
        log.exception("run broke", extra={"run": str(run.public_id)})
        _stop(context, Problem("internal_error"))
    else:
        failpoint("run.worked")
        end = _take_turns if context.goes_on else _succeed
        _record(context, lambda: end(context))
        failpoint("run.recorded")


def _stop(context: RunContext, failure: WireError | Problem) -> None:
    """Try again later what may heal by itself; the rest waits for a person."""
    if failure.kind == Kind.NEEDS_PERSON:
        _record(context, lambda: _refuse(context, failure))
    elif retry.is_last(context.run):
        _record(context, lambda: _die(context, failure))
    else:
        _record(context, lambda: _put_back(context, failure))


def _record(context: RunContext, change: Callable[[], None]) -> None:
    """Write how the attempt ended, in one fenced transaction.

    What was asked for since it began is asked for again. While the database is away,
    nobody else can have taken the lease.
    """
    run = context.run

    def fenced() -> None:
        with context.fenced():
            channel = retry.lock(run)  # before the run, as whoever asks for one does
            row = SyncRun.objects.select_for_update(no_key=True).filter(pk=run.pk)
            asked_by = row.values_list("asked_again", flat=True).get()
            change()
            if asked_by:
                queue.enqueue(channel, JOBS[run.job], SyncRun.Trigger(asked_by))

    retried(fenced, patience_s=settings.LEASE_SECONDS)


def _succeed(context: RunContext) -> None:
    _end(context, SyncRun.State.SUCCEEDED)
    outcome.succeeded(context.run)


def _take_turns(context: RunContext) -> None:
    """Queue a run behind the others that are due; what it has done counts as success."""
    run = context.run
    run.state, run.rung_at, run.due_at = SyncRun.State.QUEUED, None, Now()
    run.attempts_before = run.attempts
    _save(context, None)


def _refuse(context: RunContext, failure: WireError | Problem) -> None:
    _end(context, SyncRun.State.NEEDS_PERSON, failure)
    outcome.refused(context.run)


def _die(context: RunContext, failure: WireError | Problem) -> None:
    _end(context, SyncRun.State.FAILED, failure)
    _count(context, failure)
    outcome.died(context.run)


def _put_back(context: RunContext, failure: WireError | Problem) -> None:
    run = context.run
    run.state, run.rung_at = SyncRun.State.QUEUED, None
    retry_after_s = getattr(failure, "retry_after_s", None)
    run.due_at = Now() + retry.pause(run.tries, retry_after_s)
    _save(context, failure)
    if _count(context, failure):
        outcome.alert(run)


def _count(context: RunContext, failure: WireError | Problem) -> bool:
    """Let the breaker know of what a far side did; not of our own troubles."""
    return (
        isinstance(failure, WireError)
        and failure.kind == Kind.TRANSIENT
        and retry.count_failure(context.run)
    )


def _end(
    context: RunContext,
    state: SyncRun.State,
    failure: WireError | Problem | None = None,
) -> None:
    context.run.state, context.run.finished_at = state, Now()
    _save(context, failure)


def _save(context: RunContext, failure: WireError | Problem | None) -> None:
    run = context.run
    run.error_code = failure.code if failure else ""
    run.error_detail = failure.detail if failure else ""
    run.error_side = context.side_of(failure)
    run.counts = context.counts
    run.save(
        update_fields=[
            "state",
            "due_at",
            "rung_at",
            "attempts_before",
            "finished_at",
            "error_code",
            "error_detail",
            "error_side",
            "counts",
        ]
    )
