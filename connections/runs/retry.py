"""When a run may be tried again, and when its channel may.

Two brakes. A run that failed waits for a random part of a doubling time (R2). A channel
has a gate: five transient failures in a row close it (the breaker, R3), and so does at
once what a person must mend (D15, H2). While it is closed nothing of the channel starts by
itself; when its time has come one run goes, as a probe. A success opens it, and so does
whoever changes settings, approves a key or turns a switch; *Run now* does not ask it.

Whatever waits at the gate is due when the gate's time comes (`due_at == gate_until`): the
dispatcher looks at due times alone, and what waits costs it nothing.
"""

from __future__ import annotations

import random
from datetime import timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import F, QuerySet
from django.db.models.functions import Now

from connections.models import Channel, SyncRun

BREAKER_FAILURES = 5
LONGEST_WAIT_S = 3600.0  # what a far side may ask for at most
LONGEST_TRYING = timedelta(hours=24)


def is_last(run: SyncRun) -> bool:
    """Whether the attempt that has just failed was the run's last one."""
    if run.tries >= settings.RETRY_TRIES:
        return True
    first, last = run.first_started_at, run.started_at
    return bool(first and last and last - first >= LONGEST_TRYING)


def pause(tries: int, retry_after_s: float | None = None) -> timedelta:
    """How long to wait after so many tries: full jitter, doubling to a cap.

    A far side's own wish is the least, up to an hour; jitter keeps its clients apart.
    """
    base, cap = settings.RETRY_BASE_SECONDS, settings.RETRY_CAP_SECONDS
    if retry_after_s is not None:
        asked = min(max(retry_after_s, 0.0), LONGEST_WAIT_S)
        return timedelta(seconds=asked + random.uniform(0, base))  # noqa: S311
    longest = min(cap, base * 2 ** (tries - 1))
    return timedelta(seconds=random.uniform(0, longest))  # noqa: S311  no secret


def count_failure(run: SyncRun) -> bool:
    """A far side's transient failure; True when it closed a gate that was open.

    In the transaction that puts the run back: a closed gate holds it as well.
    """
    channel = lock(run)
    if _is_outdated(run, channel):
        return False
    was_open = channel.gate_until is None
    failures = channel.failures + 1
    Channel.objects.filter(pk=channel.pk).update(failures=failures)
    if was_open and failures < BREAKER_FAILURES:
        return False
    _close(channel, settings.BREAKER_PROBE_SECONDS)
    return was_open


def count_refusal(run: SyncRun) -> None:
    """What a person must mend: close the gate, and let a new run look again later.

    In the transaction that ends the run.
    """
    channel = lock(run)
    if not _is_outdated(run, channel):
        pauses = settings.REFUSED_PROBE_SECONDS
        pause_s = pauses[min(channel.refusals, len(pauses) - 1)]
        Channel.objects.filter(pk=channel.pk).update(
            failures=0, refusals=channel.refusals + 1
        )
        _close(channel, pause_s)
    if channel.is_on and channel.connection.is_on:
        due_at = channel.gate_until or Now()
        SyncRun.objects.add(channel, run.job, SyncRun.Trigger.PROBE, due_at=due_at)


def lift(channels: QuerySet[Channel]) -> None:
    """Open gates: the far sides work, or somebody gave reason to try anew.

    What waited there is due now. In the caller's transaction.
    """
    rows = channels.select_for_update(no_key=True, of=("self",)).order_by("pk")
    closed = [row.pk for row in rows if row.failures or row.refusals or row.gate_until]
    SyncRun.objects.filter(
        channel__in=closed,
        state=SyncRun.State.QUEUED,
        due_at=F("channel__gate_until"),
    ).update(due_at=Now(), rung_at=None)
    Channel.objects.filter(pk__in=closed).update(
        failures=0, refusals=0, gate_until=None
    )


@transaction.atomic
def lift_for_person(channels: QuerySet[Channel]) -> None:
    """Lift, and let no run that began before close the gate again by what it finds."""
    lift(channels)
    channels.update(gate_lifted_at=Now())


def lock(run: SyncRun) -> Channel:
    """The run's channel, locked until the caller's transaction ends."""
    # Not FOR UPDATE: new runs that the tick inserts refer to this row.
    rows = Channel.objects.select_for_update(no_key=True, of=("self",))
    return rows.select_related("connection").get(pk=run.channel_id)


def _is_outdated(run: SyncRun, channel: Channel) -> bool:
    """Whether the run began before somebody last gave reason to try anew."""
    lifted, began = channel.gate_lifted_at, run.started_at
    return bool(lifted and began and began <= lifted)


def _close(channel: Channel, pause_s: float) -> None:
    """Close the gate for a while; what was just asked for need not wait for it."""
    row = Channel.objects.filter(pk=channel.pk)
    row.update(gate_until=Now() + timedelta(seconds=pause_s))
    channel.gate_until = row.values_list("gate_until", flat=True).get()
    waiting = SyncRun.objects.filter(
        channel=channel, state=SyncRun.State.QUEUED, due_at__lt=channel.gate_until
    )
    waiting.exclude(
        trigger__in=SyncRun.ASKED_FOR, attempts=F("attempts_before")
    ).update(due_at=channel.gate_until, rung_at=None)
