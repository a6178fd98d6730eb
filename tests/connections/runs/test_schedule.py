"""Schedules become runs: once a slot, none while off, on the database's clock (Q10)."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db import connection as database
from django.db.models.functions import Now
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django import Settings

from connections.models import Channel, Connection, Schedule, SyncRun
from connections.runs import schedule, switch
from connections.runs.jobs import JOBS, STOCK_CHANGES, STOCK_FULL, Job
from connections.runs.rules import Kind, Rule
from connections.tasks import tick
from stores.models import Account, AuditEvent, User
from tests import factories
from tests.engine import make_schedules_due
from tests.factories import Cast

LONGEST_S = 10
HOURLY = Rule(Kind.MINUTELY, 60)
DAILY = Rule(Kind.DAILY, 24 * 60)
BERLIN = ZoneInfo("Europe/Berlin")


def due_times() -> dict[str, datetime | None]:
    return dict(Schedule.objects.values_list("job", "next_due_at"))


def left(row: Schedule) -> timedelta:
    assert row.next_due_at is not None
    return row.next_due_at - timezone.now()


def ready(channel: Channel) -> Schedule:
    """The stock schedule after the first tick."""
    schedule.make_due()
    return Schedule.objects.get(job="stock_changes")


def tick_at_once(threads: ThreadPoolExecutor, count: int) -> int:
    """Let so many ticks begin together; return how many came due to them."""
    gate = threading.Barrier(count)

    def tick() -> int:
        try:
            gate.wait(LONGEST_S)
            return schedule.make_due()
        finally:
            database.close()

    made = [threads.submit(tick) for _ in range(count)]
    return sum(done.result(LONGEST_S) for done in made)


def test_turning_a_connection_on_makes_its_schedules_due_at_once(
    channel: Channel,
) -> None:
    """design.md §3, Channel → work."""
    assert schedule.make_due() == 3
    assert set(SyncRun.objects.values_list("job", flat=True)) == {
        "stock_changes",
        "orders_import",
        "orders_status",
    }


def test_missed_slots_become_one_run(channel: Channel) -> None:
    """Q10: an hour without a tick is one catch-up, and the clock starts anew."""
    Schedule.objects.update(next_due_at=timezone.now() - timedelta(days=3))
    assert schedule.make_due() == 3
    assert schedule.make_due() == 0
    row = Schedule.objects.get(job="stock_changes")
    assert timedelta(minutes=59) < left(row) <= timedelta(minutes=60)


def test_a_tick_on_a_machine_whose_clock_is_wrong_makes_nothing_due_early(
    channel: Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Q19: ten minutes ahead, ten behind; the database's clock decides."""
    real = timezone.now
    for skew, due, made in ((10, 5, 0), (-10, -5, 3)):
        Schedule.objects.update(next_due_at=real() + timedelta(minutes=due))
        with monkeypatch.context() as wrong:
            wrong.setattr(timezone, "now", lambda s=skew: real() + timedelta(minutes=s))
            assert schedule.make_due() == made
    due_at = SyncRun.objects.filter(job="stock_changes").get().due_at
    assert abs(due_at - real()) < timedelta(minutes=1)


def test_a_late_tick_shifts_nothing(channel: Channel) -> None:
    """The next slot counts from the last one, not from the tick."""
    due = timezone.now() - timedelta(minutes=20)
    Schedule.objects.update(next_due_at=due)
    assert ready(channel).next_due_at == due + timedelta(hours=1)


def test_a_schedule_comes_due_again_without_doubling_a_waiting_run(
    channel: Channel,
) -> None:
    schedule.make_due()
    make_schedules_due()
    assert schedule.make_due() == 3
    assert SyncRun.objects.count() == 3


def test_many_ticks_at_once_make_each_run_once(
    channel: Channel, threads: ThreadPoolExecutor
) -> None:
    """Q10, Q11."""
    assert tick_at_once(threads, 8) == 3
    assert SyncRun.objects.count() == 3


def test_three_ticks_make_one_run_a_slot(
    channel: Channel, threads: ThreadPoolExecutor
) -> None:
    """Q10: slot after slot, each run having ended before the next one."""
    for _slot in range(5):
        make_schedules_due()
        assert tick_at_once(threads, 3) == 3
        SyncRun.objects.update(state=SyncRun.State.SUCCEEDED)
    assert SyncRun.objects.count() == 15


def test_rules_of_a_job_stack(channel: Channel) -> None:
    """dropstream.md §3: any rule starts a run; two at the same time start one."""
    schedule.make_due()
    SyncRun.objects.update(state=SyncRun.State.SUCCEEDED)
    schedule.save_rules(channel, STOCK_CHANGES, [HOURLY, DAILY], by=None)
    rules = channel.schedules.filter(job="stock_changes")
    for kinds in (["minutely"], ["daily"], ["minutely", "daily"]):
        rules.filter(kind__in=kinds).update(next_due_at=Now())
        assert schedule.make_due() == len(kinds)
        assert SyncRun.objects.filter(state=SyncRun.State.QUEUED).count() == 1
        SyncRun.objects.update(state=SyncRun.State.SUCCEEDED)


def test_a_rule_moves_on_by_its_accounts_clock(channel: Channel) -> None:
    """D22: a daily rule comes due at its time there, whatever our zone is."""
    Account.objects.update(time_zone="America/New_York")
    schedule.save_rules(channel, STOCK_CHANGES, [DAILY], by=None)
    make_schedules_due()
    row = ready(channel)
    assert row.next_due_at is not None
    local = row.next_due_at.astimezone(ZoneInfo("America/New_York"))
    assert (local.hour, local.minute, local.second) == (0, 0, 0)
    assert timedelta(0) < left(row) <= timedelta(hours=25)


def test_a_zone_that_nobody_knows_stops_nobody(channel: Channel) -> None:
    Account.objects.update(time_zone="Mars/Olympus_Mons")
    assert schedule.make_due() == 3


def test_a_tick_costs_the_same_statements_whatever_is_due(channel: Channel) -> None:
    """Set-based: none for each row."""
    with CaptureQueriesContext(database) as few:
        assert schedule.make_due() == 3
    SyncRun.objects.all().delete()
    for _ in range(4):
        brand = factories.merchant(channel.account)
        factories.connection(factories.store(brand), factories.warehouse(brand))
    make_schedules_due()
    with CaptureQueriesContext(database) as many:
        assert schedule.make_due() == 15
    assert len(many) == len(few)


def test_a_tick_takes_a_bounded_batch(
    channel: Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is left is found by the next tick, the oldest first."""
    monkeypatch.setattr(schedule, "BATCH", 2)
    Schedule.objects.filter(job="orders_status").update(
        next_due_at=timezone.now() - timedelta(hours=1)
    )
    assert schedule.make_due() == 2
    assert SyncRun.objects.filter(job="orders_status").exists()
    assert schedule.make_due() == 1
    assert schedule.make_due() == 0


def test_a_batch_that_makes_no_run_does_not_end_the_tick(
    channel: Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The jobs that have an unfinished run may all come first."""
    monkeypatch.setattr(schedule, "BATCH", 2)
    tick()
    SyncRun.objects.filter(job="orders_status").update(state=SyncRun.State.SUCCEEDED)
    make_schedules_due()
    Schedule.objects.filter(job="orders_status").update(next_due_at=Now())
    tick()
    queued = SyncRun.objects.filter(job="orders_status", state=SyncRun.State.QUEUED)
    assert queued.exists()


def test_the_demos_clock_runs_faster(channel: Channel, settings: Settings) -> None:
    """design.md §5: an hour in 15 seconds, a day in six minutes."""
    settings.DEMO_CLOCK_SPEED = 240.0
    row = ready(channel)
    assert timedelta(seconds=14) < left(row) <= timedelta(seconds=15)
    schedule.save_rules(channel, STOCK_CHANGES, [DAILY], by=None)
    row = Schedule.objects.get(job="stock_changes")
    assert timedelta(0) < left(row) <= timedelta(minutes=6)
    due = row.next_due_at
    times = list(islice(schedule.upcoming({DAILY: due}, ZoneInfo("UTC")), 2))
    assert times[0] == due
    assert times[1] - times[0] == timedelta(minutes=6)


@pytest.mark.django_db
def test_upcoming_times_of_several_rules_are_told_in_order() -> None:
    """U19: at the same time only once."""
    start = datetime(2026, 10, 24, 20, tzinfo=UTC)
    flexible = Rule(Kind.FLEXIBLE, 60, start_hour=23, end_hour=23)
    at_rules = {
        rule: schedule.next_due(rule, BERLIN, start, start)
        for rule in (DAILY, flexible, HOURLY)
    }
    found = islice(schedule.upcoming(at_rules, BERLIN), 5)
    assert [at.hour for at in found] == [21, 22, 23, 0, 1]
    assert list(schedule.upcoming({}, BERLIN)) == []


# --- Off means off


def switches(by: User) -> dict[str, Any]:
    return {
        "connection off": lambda c: switch.disable_connection(c.connection, by=by),
        "connection on": lambda c: switch.enable_connection(c.connection, by=by),
        "channel off": lambda c: switch.disable_channel(c, by=by),
        "channel on": lambda c: switch.enable_channel(c, by=by),
    }


@pytest.mark.parametrize(
    ("turned", "stock_is_due", "orders_are_due"),
    [
        (["connection off"], False, False),
        (["channel off"], False, True),
        (["channel off", "connection off"], False, False),
        (["connection off", "channel off", "connection on"], False, True),
        (["connection off", "channel off", "channel on"], False, False),
        (["channel off", "connection off", "connection on", "channel on"], True, True),
        (["connection off", "connection on"], True, True),
    ],
)
def test_what_is_off_has_no_due_time(
    channel: Channel,
    cast: Cast,
    turned: list[str],
    stock_is_due: bool,
    orders_are_due: bool,
) -> None:
    """dropstream.md §3: off means off; the schedule stays and is due at once when on."""
    schedule.make_due()
    SyncRun.objects.all().delete()
    for name in turned:
        switches(cast.staff)[name](Channel.objects.get(pk=channel.pk))
    times = due_times()
    assert len(times) == 3
    assert (times["stock_changes"] is not None) == stock_is_due
    assert (times["orders_import"] is not None) == orders_are_due
    made = schedule.make_due()
    if turned[-1].endswith("on"):
        assert made == (stock_is_due + 2 * orders_are_due)


def test_switches_that_meet_leave_nothing_due_that_is_off(
    channel: Channel, cast: Cast, threads: ThreadPoolExecutor
) -> None:
    """Whoever comes last sees what the other did."""
    turns = list(switches(cast.staff).values())
    for _ in range(6):
        gate = threading.Barrier(len(turns) + 1)

        def turn(change: Any, gate: threading.Barrier = gate) -> None:
            try:
                mine = Channel.objects.select_related("connection").get(pk=channel.pk)
                gate.wait(LONGEST_S)
                change(mine)
            finally:
                database.close()

        def tick(gate: threading.Barrier = gate) -> None:
            try:
                gate.wait(LONGEST_S)
                schedule.make_due()
            finally:
                database.close()

        done = [threads.submit(turn, change) for change in turns]
        done.append(threads.submit(tick))
        for ended in done:
            ended.result(LONGEST_S)
        live = Channel.objects.live()
        assert not (
            Schedule.objects.filter(next_due_at__isnull=False)
            .exclude(channel__in=live)
            .exists()
        )
        assert not (
            Schedule.objects.filter(next_due_at=None, channel__in=live).exists()
        )


# --- Rules


def test_saving_rules_replaces_them_and_says_so(channel: Channel, cast: Cast) -> None:
    """A1: before and after; what stays keeps its next time; the same again is nothing."""
    kept = ready(channel)
    rules = [HOURLY, DAILY]
    assert schedule.save_rules(channel, STOCK_CHANGES, rules, by=cast.staff)
    assert not schedule.save_rules(channel, STOCK_CHANGES, rules[::-1], by=cast.staff)
    rows = {row.kind: row for row in channel.schedules.filter(job="stock_changes")}
    assert rows["minutely"].next_due_at == kept.next_due_at
    assert timedelta(0) < left(rows["daily"]) <= timedelta(hours=24)
    event = AuditEvent.objects.get(action="channel.rules")
    assert event.actor == str(cast.staff)
    assert event.before == {"stock_changes": [HOURLY.facts()]}
    assert event.after == {"stock_changes": [HOURLY.facts(), DAILY.facts()]}
    assert schedule.save_rules(channel, STOCK_CHANGES, [], by=cast.staff)
    assert set(due_times()) == {"orders_import", "orders_status"}


def test_rules_of_what_is_off_wait(channel: Channel) -> None:
    Connection.objects.update(enabled_at=None)
    schedule.save_rules(channel, STOCK_FULL, [DAILY], by=None)
    assert due_times()["stock_full"] is None


def test_no_rule_is_quicker_than_its_job_may_be(channel: Channel) -> None:
    """dropstream.md §3: the service refuses it, and so does the database."""
    for job in (job for job in JOBS.values() if job.has_rules):
        owner = Channel.objects.get(connection=channel.connection_id, type=job.channel)
        refuses_quicker(owner, job)


def refuses_quicker(owner: Channel, job: Job) -> None:
    quick = Rule(Kind.MINUTELY, job.minimum_minutes - 1)
    with pytest.raises(ValidationError):
        schedule.save_rules(owner, job, [quick], by=None)
    schedule.save_rules(owner, job, [Rule(Kind.MINUTELY, job.minimum_minutes)], by=None)
    rows = owner.schedules.filter(job=job.slug)
    with pytest.raises(IntegrityError), transaction.atomic():
        rows.update(every_minutes=job.minimum_minutes - 1)


NO_RULES: list[dict[str, Any]] = [
    {"kind": "yearly"},
    {"kind": "hourly", "every_minutes": 90},
    {"kind": "hourly", "every_minutes": 25 * 60},
    {"kind": "hourly", "at": "01:00"},
    {"kind": "daily", "every_minutes": 36 * 60},
    {"kind": "flexible", "weekdays": 0},
    {"kind": "flexible", "weekdays": 128},
    {"kind": "flexible", "start_hour": 9, "end_hour": 8},
    {"kind": "flexible", "end_hour": 24},
    {"kind": "flexible", "every_minutes": 25 * 60},
]


def test_the_database_knows_what_a_rule_is(channel: Channel) -> None:
    for values in NO_RULES:
        with (
            pytest.raises(IntegrityError, match="connections_schedule_shape"),
            transaction.atomic(),
        ):
            channel.schedules.update(**values)


def test_rows_of_the_version_before_keep_their_meaning(channel: Channel) -> None:
    """Q15: it knows only `every_minutes`; what it writes means what it meant."""
    with database.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO connections_schedule
                (public_id, account_id, channel_id, job, every_minutes)
            VALUES (gen_random_uuid(), %s, %s, 'stock_full', 2000)
            """,
            [channel.account_id, channel.pk],
        )
    assert Rule.of(Schedule.objects.get(job="stock_full")) == Rule(Kind.MINUTELY, 2000)
