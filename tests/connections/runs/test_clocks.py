"""Workers whose clocks differ agree on what is due and whose it is (Q19)."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from django.utils import timezone

from connections.models import Channel, StoreLease, SyncRun
from connections.runs import execute, queue, schedule
from connections.runs import lease as leases
from connections.runs.context import RunContext
from connections.wire.errors import WireError
from tests.engine import attempt, enqueue

TEN_MINUTES = 600.0
now = timezone.now
Wrong = Callable[[float], None]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Wrong:
    """Set this host's clock forward or back by so many seconds."""
    real = time.time

    def set_wrong(by_s: float) -> None:
        monkeypatch.setattr(time, "time", lambda: real() + by_s)
        monkeypatch.setattr(timezone, "now", lambda: now() + timedelta(seconds=by_s))

    return set_wrong


def wait_of(at: datetime | None) -> float:
    assert at is not None
    return (at - now()).total_seconds()


@pytest.mark.parametrize("by_s", [-TEN_MINUTES, TEN_MINUTES])
def test_a_worker_with_a_wrong_clock_does_what_is_due_and_nothing_else(
    channel: Channel, clock: Wrong, by_s: float
) -> None:
    """Q19: schedules, bells, claims and retries."""
    clock(by_s)
    assert schedule.make_due() == 3
    assert schedule.make_due() == 0
    assert queue.ring_due() == 1
    assert queue.ring_due() == 0
    run = SyncRun.objects.get(channel=channel)
    SyncRun.objects.update(due_at=now() + timedelta(minutes=5))
    execute.execute(run.pk, {})
    run.refresh_from_db()
    assert run.attempts == 0
    attempt(run, WireError("network_lost"))
    assert -1 < wait_of(run.due_at) < 31
    for _ in range(4):
        attempt(run, WireError("network_lost"))
    channel.refresh_from_db()
    assert 290 < wait_of(channel.gate_until) < 301
    Channel.objects.update(gate_until=now())
    assert abs(wait_of(attempt(run).finished_at)) < 10


@pytest.mark.parametrize("by_s", [-TEN_MINUTES, TEN_MINUTES])
def test_a_worker_with_a_wrong_clock_respects_a_lease(
    channel: Channel, clock: Wrong, by_s: float
) -> None:
    """Q19: it neither takes a live lease nor leaves one that never ends."""
    run = enqueue(channel, "stock_changes")
    other = enqueue(channel, "stock_full")

    def meanwhile(_context: RunContext) -> None:
        clock(by_s)
        assert queue.reap() == 0
        assert leases.take(other) is None
        clock(0)

    execute.execute(run.pk, {run.job: meanwhile})
    clock(by_s)
    assert execute._claim(other.pk) is not None
    clock(0)
    assert 50 < wait_of(StoreLease.objects.get().expires_at) < 61
    StoreLease.objects.update(expires_at=now() - timedelta(seconds=1))
    clock(by_s)
    assert queue.reap() == 1
