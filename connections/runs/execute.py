"""Run one run: claim, work, record. At most one worker gets past the claim."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from datetime import timedelta

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from connections.failpoints import failpoint
from connections.models import Channel, SyncRun
from connections.problems import Problem
from connections.runs import lease as leases
from connections.runs import queue
from connections.runs.context import RunContext, SwitchedOffError
from connections.runs.lease import Lease, LeaseLostError
from connections.wire.errors import Kind, WireError

log = logging.getLogger(__name__)

Work = Callable[[RunContext], None]

# How long a run waits when another one holds its store.
BUSY_SECONDS = 5


def execute(run_id: int, work: Mapping[str, Work]) -> None:
    """Claim a due run and do its work; a run that is not claimable is somebody else's."""
    claimed = _claim(run_id)
    if claimed is None:
        return
    run, lease = claimed
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
    now = timezone.now()
    run = (
        SyncRun.objects.select_for_update(of=("self",), skip_locked=True)
        .select_related("channel", "connection__store", "connection__warehouse")
        .filter(pk=run_id, state=SyncRun.State.QUEUED, due_at__lte=now)
        .first()
    )
    if run is None:
        return None
    if not Channel.objects.live().filter(pk=run.channel_id).exists():
        run.state, run.finished_at = SyncRun.State.CANCELLED, now
        run.save(update_fields=["state", "finished_at"])
        return None
    lease = leases.take(run)
    if lease is None:
        # Its bell rings again when the other one may be done (D19).
        run.due_at, run.rung_at = now + timedelta(seconds=BUSY_SECONDS), None
        run.save(update_fields=["due_at", "rung_at"])
        return None
    SyncRun.objects.filter(pk=run_id).update(
        state=SyncRun.State.RUNNING, attempts=F("attempts") + 1, started_at=now
    )
    run.refresh_from_db(fields=["state", "attempts", "started_at"])
    return run, lease


def _work(context: RunContext, work: Mapping[str, Work]) -> None:
    try:
        work[context.run.job](context)
    except LeaseLostError:
        raise
    except SwitchedOffError:
        _finish(context, SyncRun.State.CANCELLED)
    except (WireError, Problem) as error:
        _stop(context, error)
    except Exception:
        # The trace goes to the log; its text could hold a secret and is not stored.
        log.exception("run broke", extra={"run": str(context.run.public_id)})
        _stop(context, Problem("internal_error"))
    else:
        failpoint("run.worked")
        _finish(context, SyncRun.State.SUCCEEDED)
        failpoint("run.recorded")


def _stop(context: RunContext, error: WireError | Problem) -> None:
    """Try again later what may heal by itself; the rest waits for a person."""
    run = context.run
    if error.kind == Kind.NEEDS_PERSON:
        _finish(context, SyncRun.State.NEEDS_PERSON, error)
    elif run.attempts >= queue.MAX_ATTEMPTS:
        _finish(context, SyncRun.State.FAILED, error)
    else:
        with context.fenced():
            run.state, run.rung_at = SyncRun.State.QUEUED, None
            run.due_at = queue.retry_at(
                run.attempts, getattr(error, "retry_after_s", None)
            )
            _record(context, error)


def _finish(
    context: RunContext, state: SyncRun.State, error: WireError | Problem | None = None
) -> None:
    with context.fenced():
        context.run.state, context.run.finished_at = state, timezone.now()
        _record(context, error)
        if error is not None:
            context.note("run_stopped", job=context.run.job, code=error.code)


def _record(context: RunContext, error: WireError | Problem | None) -> None:
    run = context.run
    run.error_code = error.code if error else ""
    run.error_detail = error.detail if error else ""
    run.error_side = context.side_of(error)
    run.counts = context.counts
    run.save(
        update_fields=[
            "state",
            "due_at",
            "rung_at",
            "finished_at",
            "error_code",
            "error_detail",
            "error_side",
            "counts",
        ]
    )
