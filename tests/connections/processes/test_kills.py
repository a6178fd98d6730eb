"""Real workers are killed and Redis forgets; the work is done all the same (issue 2)."""

from __future__ import annotations

import io
import signal
import subprocess
from functools import partial
from pathlib import Path

import pytest
import redis
from celery.utils.nodenames import gethostname, nodename
from django.core.management import CommandError, call_command
from pytest_django import Settings

from connections.models import (
    Activity,
    Channel,
    Delivery,
    Heartbeat,
    StagedLevel,
    SyncRun,
)
from connections.runs import queue, schedule
from dropstream.local.servers import Valkey
from dropstream.sandbox import Sandbox
from tests.connections.processes.work import Gate, assert_one_right_file, is_done
from tests.factories import Line
from tests.lab import failpoints
from tests.lab.judge import FarSides, judge
from tests.lab.workers import Workers, real_workers


def test_a_worker_killed_in_the_middle_of_a_push_leaves_one_right_file(
    stock_line: Line, workers: Workers
) -> None:
    """D2, Q3: kill -9, then a restart."""
    gate = Gate(stock_line, at=3)
    workers.start_tick()
    doomed = workers.start_worker()
    workers.wait_for("the push", gate.reached.is_set)
    workers.kill(doomed)
    assert stock_line.dropped() == []
    gate.open.set()
    workers.start_worker()
    workers.wait_for("the end of the run", is_done)
    assert_one_right_file(stock_line)
    run = SyncRun.objects.get(job="stock_changes")
    assert run.attempts == 2
    assert Delivery.objects.get().attempts == 2


def is_over(process: subprocess.Popen[bytes]) -> bool:
    return process.poll() is not None


def test_workers_that_die_one_after_the_other_leave_one_right_file(
    stock_line: Line, workers: Workers
) -> None:
    """D2: at a report's first rows, and when the file is about to become visible."""
    workers.start_tick()
    for fail_point in ("report.staging", "delivery.announced"):
        doomed = workers.start_worker(f"{fail_point}=kill")
        workers.wait_for(fail_point, partial(is_over, doomed))
        assert doomed.returncode == failpoints.KILLED
        assert stock_line.dropped() == []
    workers.start_worker()
    workers.wait_for("the end of the run", is_done)
    assert_one_right_file(stock_line)
    assert SyncRun.objects.get(job="stock_changes").attempts == 3
    assert not StagedLevel.objects.exists()
    far = FarSides.of(stock_line.sandbox)
    assert judge(far, settled=[Channel.Type.INVENTORY]) == []


def test_a_worker_that_slept_beyond_its_lease_is_refused(
    stock_line: Line, workers: Workers
) -> None:
    """Q12: stopped in the middle of a push; another one works; awake, it is too late."""
    gate = Gate(stock_line, at=2)
    workers.start_tick()
    late = workers.start_worker()
    workers.wait_for("the push", gate.reached.is_set)
    late.send_signal(signal.SIGSTOP)
    gate.open.set()
    workers.start_worker()
    workers.wait_for("the end by another worker", is_done)
    late.send_signal(signal.SIGCONT)
    workers.wait_for(
        "the refusal", lambda: "lease lost, result dropped" in workers.log(late)
    )
    assert_one_right_file(stock_line)
    run = SyncRun.objects.get(job="stock_changes")
    assert (run.state, run.attempts, run.error_code) == ("succeeded", 2, "")
    assert Activity.objects.filter(event="stock_sent").count() == 1


def test_work_is_done_though_redis_forgot_it(
    stock_line: Line, workers: Workers, bell: redis.Redis
) -> None:
    """Q5: the bell is lost before anybody heard it, and once more in mid-run."""
    gate = Gate(stock_line, at=2)
    schedule.make_due()
    assert queue.ring_due() == 1
    assert bell.llen("runs") == 1
    bell.flushdb()
    workers.start_tick()
    workers.start_worker()
    workers.wait_for("the push", gate.reached.is_set)
    bell.flushdb()
    gate.open.set()
    workers.wait_for("the end of the run", is_done)
    assert_one_right_file(stock_line)
    assert SyncRun.objects.get(job="stock_changes").attempts == 1


def is_alive() -> bool:
    """Ask the first worker's health as its container does."""
    name = nodename("w0", gethostname())
    try:
        call_command("check_worker", name=name, stdout=io.StringIO())
    except CommandError:
        return False
    return True


@pytest.mark.usefixtures("transactional_db")
def test_a_worker_that_takes_no_messages_goes_stale_though_it_is_up(
    tmp_path: Path,
    sandbox: Sandbox,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """O1, Q6: its consumer lost the broker; alive again with it, gone after goodbye."""
    broker = Valkey(tmp_path / "valkey", volatile=True)
    monkeypatch.setenv("REDIS_URL", broker.start())
    monkeypatch.setenv("WORKER_HEARTBEAT_SECONDS", "0.2")
    settings.WORKER_HEARTBEAT_SECONDS = 0.2
    try:
        with real_workers(tmp_path / "logs", sandbox) as workers:
            worker = workers.start_worker()
            workers.wait_for("the first sign of life", is_alive)
            broker.stop()
            workers.wait_for("the worker to go stale", lambda: not is_alive())
            assert worker.poll() is None
            broker.start()
            workers.wait_for("the worker to come back", is_alive)
            worker.terminate()
            workers.wait_for("its goodbye", lambda: worker.poll() is not None)
            assert not Heartbeat.objects.filter(kind="worker").exists()
    finally:
        broker.stop()
        broker.remove()
