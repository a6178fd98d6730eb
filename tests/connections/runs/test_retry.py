"""Who is tried again, when, and until when (R1 to R4, D15)."""

from __future__ import annotations

import random
from collections import Counter
from datetime import datetime, timedelta

import pytest
from django.db.models import F
from django.utils import timezone
from pytest_django import Settings

from connections.models import Alert, Channel, Schedule, SyncRun
from connections.problems import CODES as OUR_CODES
from connections.problems import Problem
from connections.runs import execute, queue, retry, schedule, switch
from connections.runs.context import RunContext
from connections.runs.jobs import JOBS
from connections.wire.errors import CODES as WIRE_CODES
from connections.wire.errors import Kind, WireError
from tests.engine import attempt, drain, enqueue, make_schedules_due, run_now
from tests.factories import Line

LOST = WireError("network_lost")
REFUSED = WireError("auth_refused", "no")
HOUR = timedelta(hours=1)


def job_of(channel: Channel) -> SyncRun:
    return SyncRun.objects.get(
        channel=channel, job="stock_changes", state__in=SyncRun.UNFINISHED
    )


def failed_in_a_row(channel: Channel, times: int) -> SyncRun:
    run = enqueue(channel, "stock_changes")
    for _ in range(times):
        attempt(run, LOST)
    channel.refresh_from_db()
    return run


def gate_of(channel: Channel) -> datetime:
    channel.refresh_from_db()
    assert channel.gate_until is not None
    return channel.gate_until


def wait_of(channel: Channel) -> timedelta:
    return gate_of(channel) - timezone.now()


def let_time_pass(channel: Channel) -> None:
    """Let the gate's time, and so that of what waits for it, have come."""
    past = timezone.now() - timedelta(seconds=1)
    SyncRun.objects.filter(due_at=F("channel__gate_until")).update(due_at=past)
    Channel.objects.filter(pk=channel.pk).update(gate_until=past)


# --- One run


def test_delays_are_a_random_part_of_a_doubling_time() -> None:
    """R2: full jitter; every tenth of the range is drawn about as often as any other."""
    random.seed(20261123)
    for attempts, longest in [(1, 30), (2, 60), (5, 480), (8, 3600), (30, 3600)]:
        drawn = [retry.pause(attempts).total_seconds() for _ in range(5000)]
        assert min(drawn) >= 0
        assert max(drawn) <= longest
        tenths = Counter(int(delay / longest * 10) for delay in drawn)
        assert all(400 < tenths[tenth] < 600 for tenth in range(10)), tenths


def test_ten_tries_take_less_than_a_day_between_them() -> None:
    """R2: the sum of the pauses before the tenth attempt, at the very most."""
    longest = sum(min(3600, 30 * 2**n) for n in range(9))
    random.seed(20261123)
    sums = [
        sum((retry.pause(number) for number in range(1, 10)), timedelta())
        for _ in range(1000)
    ]
    assert max(sums) < timedelta(seconds=longest) < timedelta(hours=24)
    average = sum(sums, timedelta()) / len(sums)
    assert abs(average.total_seconds() - longest / 2) < longest / 20


def test_the_tenth_transient_failure_is_the_last(channel: Channel) -> None:
    """R2, R5: no more than ten tries; then a dead letter with an alert."""
    run = failed_in_a_row(channel, 9)
    assert (run.state, run.attempts) == ("queued", 9)
    attempt(run, LOST)
    assert (run.state, run.attempts, run.error_code) == ("failed", 10, "network_lost")
    assert list(SyncRun.objects.dead()) == [run]
    assert Alert.objects.open().get().code == "network_lost"


def test_a_day_after_its_first_attempt_a_run_ends(channel: Channel) -> None:
    """R2."""
    run = failed_in_a_row(channel, 2)
    SyncRun.objects.update(first_started_at=timezone.now() - timedelta(hours=24))
    attempt(run, LOST)
    assert (run.state, run.attempts) == ("failed", 3)


@pytest.mark.parametrize(
    ("asked_s", "least_s", "most_s"),
    [(120, 120, 150), (0, 0, 30), (-5, 0, 30), (10**9, 3600, 3630)],
)
def test_a_far_side_that_asks_to_wait_is_obeyed(
    channel: Channel, asked_s: float, least_s: float, most_s: float
) -> None:
    """I5, R1: throttled; within reason, and no sign of a broken far side."""
    error = WireError("api_throttled", retry_after_s=asked_s)
    run = attempt(enqueue(channel, "stock_changes"), error)
    wait = (run.due_at - timezone.now()).total_seconds()
    assert run.state == "queued"
    assert least_s - 5 < wait < most_s
    channel.refresh_from_db()
    assert channel.failures == 0


def test_each_kind_of_failure_leads_where_it_should(channel: Channel) -> None:
    """R1: what a person must mend ends the run, all else is tried again."""
    for code, kind in (WIRE_CODES | OUR_CODES).items():
        error = WireError(code) if code in WIRE_CODES else Problem(code)
        SyncRun.objects.all().delete()
        retry.lift_for_person(Channel.objects.all())
        run = attempt(enqueue(channel, "stock_changes"), error)
        channel.refresh_from_db()
        needs_person = kind == Kind.NEEDS_PERSON
        assert run.state == ("needs_person" if needs_person else "queued"), code
        assert (run.error_code, run.attempts) == (code, 1)
        assert (channel.gate_until is not None) == needs_person, code
        counts = code in WIRE_CODES and kind == Kind.TRANSIENT
        assert channel.failures == int(counts), code


def test_a_person_brings_a_waiting_retry_forward_and_it_starts_anew(
    channel: Channel,
) -> None:
    run = failed_in_a_row(channel, 3)
    SyncRun.objects.update(due_at=timezone.now() + HOUR)
    assert queue.enqueue(channel, JOBS[run.job], SyncRun.Trigger.PERSON) is None
    run.refresh_from_db()
    assert run.due_at <= timezone.now()
    assert (run.attempts, run.tries, run.trigger) == (3, 0, "person")


# --- The breaker


def test_the_breaker_opens_after_five_failures_in_a_row(
    channel: Channel, settings: Settings
) -> None:
    """R3: then one probe an interval, of either job; a success closes it."""
    settings.BREAKER_PROBE_SECONDS = 300
    run = failed_in_a_row(channel, 4)
    assert channel.gate_until is None
    assert not Alert.objects.exists()
    attempt(run, LOST)
    assert timedelta(seconds=290) < wait_of(channel) <= timedelta(seconds=300)
    assert run.due_at >= gate_of(channel)
    assert Alert.objects.open().get().code == "network_lost"
    make_schedules_due()
    schedule.make_due()
    other = channel.connection.channels.get(type=Channel.Type.PURCHASE_ORDERS)
    rung = SyncRun.objects.filter(due_at__lte=timezone.now())
    assert {waiting.channel_id for waiting in rung} == {other.pk}
    let_time_pass(channel)
    before = gate_of(channel)
    attempt(run, LOST)
    assert gate_of(channel) > before
    assert run.due_at >= gate_of(channel)
    let_time_pass(channel)
    attempt(run)
    channel.refresh_from_db()
    assert (channel.gate_until, channel.failures) == (None, 0)
    assert not Alert.objects.open().exists()


def test_another_job_of_the_channel_waits_for_the_same_gate(channel: Channel) -> None:
    """R3: one probe at a time; with its success the other is due at once."""
    full = enqueue(channel, "stock_full")
    attempt(full, Problem("name_taken"))  # waits for its own retry
    run = failed_in_a_row(channel, 5)
    full.refresh_from_db()
    assert full.due_at == gate_of(channel)
    attempt(run)
    full.refresh_from_db()
    assert full.due_at <= timezone.now()


def test_a_schedule_waits_for_the_gate_and_a_person_does_not(channel: Channel) -> None:
    """R3: "try now" is always allowed, and starts at once."""
    run = failed_in_a_row(channel, 5)
    SyncRun.objects.filter(pk=run.pk).update(state="cancelled")
    make_schedules_due()
    schedule.make_due()
    waiting = job_of(channel)
    assert waiting.due_at == gate_of(channel)
    queue.enqueue(channel, JOBS["stock_changes"], SyncRun.Trigger.PERSON)
    done: list[int] = []
    execute.execute(waiting.pk, {waiting.job: lambda _context: done.append(1)})
    assert done == [1]


def test_what_was_made_due_while_the_gate_closed_does_not_start(
    channel: Channel,
) -> None:
    """R3: the claim looks at the gate as well."""
    schedule.make_due()
    run = job_of(channel)
    later = timezone.now() + HOUR
    Channel.objects.filter(pk=channel.pk).update(gate_until=later)
    execute.execute(run.pk, {})
    run.refresh_from_db()
    assert (run.state, run.attempts, run.due_at) == ("queued", 0, later)


def test_our_own_faults_do_not_open_the_breaker(channel: Channel) -> None:
    """R3: a bug of ours says nothing about a far side."""
    run = enqueue(channel, "stock_changes")
    for _ in range(6):
        attempt(run, RuntimeError("ours"))
    channel.refresh_from_db()
    assert (channel.failures, channel.gate_until) == (0, None)


# --- What a person must mend


def test_what_a_person_must_mend_is_looked_at_ever_more_seldom(
    channel: Channel,
) -> None:
    """D15, H2, R1: after 15 minutes, an hour, then every six; a handful in a day."""
    run = attempt(enqueue(channel, "stock_changes"), REFUSED)
    assert (run.state, run.error_detail) == ("needs_person", "no")
    waits = []
    for _ in range(4):
        waits.append(round(wait_of(channel) / timedelta(minutes=1)))
        probe = job_of(channel)
        assert (probe.trigger, probe.due_at) == ("probe", gate_of(channel))
        let_time_pass(channel)
        attempt(probe, REFUSED)
    assert waits == [15, 60, 360, 360]
    assert Alert.objects.open().get().count == 5


@pytest.mark.parametrize("code", ["auth_refused", "host_key_changed"])
def test_schedules_do_not_hammer_a_server_that_refuses(
    channel: Channel, code: str
) -> None:
    """D15, H2: a day of schedules that come due every few minutes makes six attempts."""
    Schedule.objects.filter(channel=channel).update(every_minutes=60)
    schedule.make_due()
    attempts, hours = 0, 0.0
    while hours < 24:
        make_schedules_due()
        schedule.make_due()
        run = job_of(channel)
        if run.due_at > timezone.now():
            hours += wait_of(channel) / HOUR
            let_time_pass(channel)
            continue
        attempt(run, WireError(code))
        attempts += 1
    assert attempts == 6


def test_a_change_of_settings_opens_the_gate_and_runs_at_once(channel: Channel) -> None:
    """D15: whoever mends it need not wait for the next look."""
    attempt(enqueue(channel, "stock_changes"), REFUSED)
    attempt(enqueue(channel, "stock_full"), REFUSED)
    queue.enqueue_for_store(channel.connection.store)
    channel.refresh_from_db()
    assert (channel.gate_until, channel.refusals) == (None, 0)
    waiting = SyncRun.objects.filter(channel=channel, state="queued")
    assert {run.job for run in waiting} == {"stock_changes", "stock_full"}
    assert all(run.due_at <= timezone.now() for run in waiting)
    assert job_of(channel).trigger == "change"


def test_what_an_older_attempt_finds_does_not_close_the_gate_again(
    channel: Channel,
) -> None:
    """D15: settings were changed while it ran; the next attempt follows at once."""
    run = enqueue(channel, "stock_changes")

    def work(_context: RunContext) -> None:
        queue.enqueue_for_store(channel.connection.store)
        raise REFUSED

    execute.execute(run.pk, {run.job: work})
    channel.refresh_from_db()
    assert channel.gate_until is None
    again = job_of(channel)
    assert again.pk != run.pk
    assert again.due_at <= timezone.now()


def test_turning_a_channel_on_opens_its_gate(line: Line) -> None:
    """R4: resuming is one click and runs at once."""
    stock = line.stock
    attempt(enqueue(stock, "stock_changes"), REFUSED)
    switch.disable_channel(stock, by=line.person)
    switch.enable_channel(stock, by=line.person)
    schedule.make_due()
    assert job_of(stock).due_at <= timezone.now()


def test_a_first_run_that_fails_switches_nothing_off(channel: Channel) -> None:
    """R4: failures are shown; nothing is paused by itself, the schedule goes on."""
    run = failed_in_a_row(channel, 10)
    assert run.state == "failed"
    assert channel.is_on
    assert channel.connection.is_on
    assert Schedule.objects.filter(channel=channel, next_due_at=None).count() == 0
    make_schedules_due()
    schedule.make_due()
    let_time_pass(channel)
    assert attempt(job_of(channel)).state == "succeeded"


def test_a_server_that_refuses_is_not_asked_again_by_schedules(line: Line) -> None:
    """D15, H2: the server's own log of the log-ins that were tried."""
    line.sandbox.ip.accounts["123456"].drops.clear()

    def tried() -> int:
        return len(line.sandbox.journal.of("auth", side="ip"))

    assert run_now(line.stock, "stock_changes").error_code == "auth_refused"
    before = tried()
    assert before > 0
    for _ in range(3):
        make_schedules_due()
        assert "stock_changes" not in {run.job for run in drain()}
    assert tried() == before


def test_what_was_asked_for_on_its_own_page_holds_no_stock_up(channel: Channel) -> None:
    """Master data without a currency: told, and the stock goes on."""
    attempt(enqueue(channel, "stock_master_data"), REFUSED)
    channel.refresh_from_db()
    assert (channel.gate_until, channel.refusals) == (None, 0)
    assert not SyncRun.objects.unfinished().filter(channel=channel).exists()
    assert Alert.objects.open().filter(channel=channel).count() == 1
