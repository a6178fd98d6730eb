"""When rules fire: tables of days that surprise, and properties of all days (D22, U19)."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connections.runs.rules import Kind, Rule, next_slot

BERLIN = "Europe/Berlin"  # 02:00 → 03:00 on 29 March, 03:00 → 02:00 on 25 October 2026
NEW_YORK = "America/New_York"  # 8 March, 1 November 2026
LORD_HOWE = "Australia/Lord_Howe"  # half an hour: 4 October, 5 April 2026
UTC_ZONE = "UTC"
ZONES = [BERLIN, NEW_YORK, LORD_HOWE, UTC_ZONE]
MONDAY_TO_FRIDAY = 0b0011111


def hourly(hours: int, minute: int = 0) -> Rule:
    return Rule(Kind.HOURLY, hours * 60, at=time(0, minute))


def daily(days: int, at: time) -> Rule:
    return Rule(Kind.DAILY, days * 24 * 60, at=at)


def flexible(minutes: int, start: int = 0, end: int = 23, weekdays: int = 127) -> Rule:
    return Rule(
        Kind.FLEXIBLE, minutes, weekdays=weekdays, start_hour=start, end_hour=end
    )


def slots(rule: Rule, zone: str, after: str, count: int) -> list[datetime]:
    """The next slots after a UTC time."""
    at = datetime.fromisoformat(after).replace(tzinfo=UTC)
    found = []
    for _ in range(count):
        at = next_slot(rule, at, ZoneInfo(zone))
        found.append(at)
    return found


def shown(rule: Rule, zone: str, after: str, count: int) -> str:
    """The same as the zone's clock shows them, with the zone's name at the time."""
    local = [at.astimezone(ZoneInfo(zone)) for at in slots(rule, zone, after, count)]
    return " ".join(f"{at:%d/%H:%M%Z}" for at in local)


@pytest.mark.parametrize(
    ("rule", "zone", "after", "expected"),
    [
        # An ordinary day.
        (hourly(1, 15), BERLIN, "2026-05-04 10:15", "04/13:15CEST 04/14:15CEST"),
        (hourly(4, 15), BERLIN, "2026-05-04 10:00", "04/12:15CEST 04/16:15CEST"),
        (hourly(5), UTC_ZONE, "2026-05-04 16:00", "04/20:00UTC 05/00:00UTC"),
        (daily(1, time(1)), NEW_YORK, "2026-05-04 10:00", "05/01:00EDT 06/01:00EDT"),
        (daily(3, time(1)), UTC_ZONE, "2026-05-04 10:00", "07/01:00UTC 10/01:00UTC"),
        # 4 May 2026 is a Monday. The End Hour is the last one that runs.
        (
            flexible(30, 8, 17, MONDAY_TO_FRIDAY),
            BERLIN,
            "2026-05-08 14:45",
            "08/17:00CEST 08/17:30CEST 11/08:00CEST",
        ),
        (
            flexible(45, 22, 23, 1),
            UTC_ZONE,
            "2026-05-04 23:00",
            "04/23:30UTC 11/22:00UTC 11/22:45UTC 11/23:30UTC",
        ),
        (flexible(120), UTC_ZONE, "2026-05-04 21:00", "04/22:00UTC 05/00:00UTC"),
        # The clock skips an hour: daily right after it, the others at their next time.
        (
            daily(1, time(2, 30)),
            BERLIN,
            "2026-03-27 12:00",
            "28/02:30CET 29/03:00CEST 30/02:30CEST",
        ),
        (
            daily(1, time(2, 30)),
            NEW_YORK,
            "2026-03-07 12:00",
            "08/03:00EDT 09/02:30EDT",
        ),
        (
            daily(1, time(2, 15)),
            LORD_HOWE,
            "2026-10-02 20:00",
            "04/02:30+11 05/02:15+11",
        ),
        (
            hourly(1, 15),
            BERLIN,
            "2026-03-28 23:30",
            "29/01:15CET 29/03:15CEST 29/04:15CEST",
        ),
        (
            hourly(2, 15),
            BERLIN,
            "2026-03-28 23:00",
            "29/00:15CET 29/04:15CEST 29/06:15CEST",
        ),
        (
            flexible(30, 1, 3),
            NEW_YORK,
            "2026-03-08 06:00",
            "08/01:30EST 08/03:00EDT 08/03:30EDT 09/01:00EDT",
        ),
        (flexible(15, 2, 2, 64), BERLIN, "2026-03-28 12:00", "05/02:00CEST"),
        (
            hourly(1, 15),
            LORD_HOWE,
            "2026-10-03 14:30",
            "04/01:15+1030 04/03:15+11 04/04:15+11",
        ),
        # The clock shows an hour twice: daily once, the others by what has gone by.
        (
            daily(1, time(2, 30)),
            BERLIN,
            "2026-10-24 12:00",
            "25/02:30CEST 26/02:30CET",
        ),
        (
            daily(1, time(1, 30)),
            NEW_YORK,
            "2026-10-31 12:00",
            "01/01:30EDT 02/01:30EST",
        ),
        (
            daily(1, time(1, 45)),
            LORD_HOWE,
            "2026-04-04 12:00",
            "05/01:45+11 06/01:45+1030",
        ),
        (
            hourly(1, 15),
            BERLIN,
            "2026-10-24 23:30",
            "25/02:15CEST 25/02:15CET 25/03:15CET",
        ),
        (
            hourly(2, 15),
            BERLIN,
            "2026-10-24 22:30",
            "25/02:15CEST 25/04:15CET 25/06:15CET",
        ),
        (
            flexible(30, 1, 2),
            NEW_YORK,
            "2026-11-01 05:00",
            "01/01:30EDT 01/01:00EST 01/01:30EST 01/02:00EST 01/02:30EST",
        ),
        (
            hourly(1, 45),
            LORD_HOWE,
            "2026-04-04 14:00",
            "05/01:45+11 05/02:45+1030 05/03:45+1030",
        ),
        (
            flexible(15, 1, 1),
            LORD_HOWE,
            "2026-04-04 14:20",
            "05/01:30+11 05/01:45+11 05/01:30+1030 05/01:45+1030 06/01:00+1030",
        ),
    ],
)
def test_days_that_surprise(rule: Rule, zone: str, after: str, expected: str) -> None:
    """D22: both changes of the clock, whole hours and half ones."""
    assert shown(rule, zone, after, len(expected.split())) == expected


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("after", ["2026-03-29 00:50", "2026-10-25 00:50"])
def test_minutely_counts_what_has_gone_by(zone: str, after: str) -> None:
    """D22: the clock on the wall does not matter."""
    found = slots(Rule(Kind.MINUTELY, 20), zone, after, 9)
    assert {later - at for at, later in pairwise(found)} == {timedelta(minutes=20)}


def seconds_from(start: datetime, first: int, last: int) -> st.SearchStrategy[datetime]:
    return st.integers(first, last).map(lambda s: start + timedelta(seconds=s))


DAY_S = 24 * 3600
clock_rules = st.one_of(
    st.builds(hourly, st.integers(1, 24), st.integers(0, 59)),
    st.builds(
        daily,
        st.integers(1, 31),
        st.builds(time, st.integers(0, 23), st.integers(0, 59)),
    ),
    st.builds(
        lambda minutes, hours, weekdays: flexible(
            minutes, min(hours), max(hours), weekdays
        ),
        st.integers(15, 24 * 60),
        st.tuples(st.integers(0, 23), st.integers(0, 23)),
        st.integers(1, 127),
    ),
)
moments = st.one_of(
    seconds_from(datetime(2025, 1, 1, tzinfo=UTC), 0, 5 * 365 * DAY_S),
    # Around the changes of the clocks.
    *(
        seconds_from(datetime(2026, month, day, 12, tzinfo=UTC), -2 * DAY_S, DAY_S)
        for month, day in ((3, 8), (3, 29), (4, 5), (10, 4), (10, 25), (11, 1))
    ),
)
zones = st.sampled_from([*map(ZoneInfo, ZONES), ZoneInfo("America/Santiago")])


@given(clock_rules, moments, zones, st.floats(0, 1))
def test_slots_follow_and_none_is_left_out(
    rule: Rule, after: datetime, zone: ZoneInfo, share: float
) -> None:
    """From any time between, the next slot is the same: two ticks agree on it."""
    slot = next_slot(rule, after, zone)
    assert slot > after
    assert slot.tzinfo is UTC
    between = after + (slot - after) * share
    if between < slot:
        assert next_slot(rule, between, zone) == slot


@given(clock_rules, moments, zones)
def test_the_zones_clock_shows_what_the_rule_says(
    rule: Rule, after: datetime, zone: ZoneInfo
) -> None:
    """D22: whatever the date, but for a daily time that the clock skips that day."""
    slot = next_slot(rule, after, zone)
    local = slot.astimezone(zone).replace(tzinfo=None)
    since_midnight = local.hour * 60 + local.minute
    assert local.second == local.microsecond == 0
    if rule.kind == Kind.HOURLY:
        assert local.minute == rule.at.minute
        assert local.hour * 60 % rule.every_minutes == 0
    elif rule.kind == Kind.FLEXIBLE:
        assert rule.weekdays >> local.weekday() & 1
        assert rule.start_hour <= local.hour <= rule.end_hour
        assert (since_midnight - rule.start_hour * 60) % rule.every_minutes == 0
    elif local.time() != rule.at:
        before = (slot - timedelta(minutes=1)).astimezone(zone).replace(tzinfo=None)
        assert before < datetime.combine(local.date(), rule.at) < local


@given(clock_rules, moments, zones)
def test_a_doubled_hour_doubles_nothing(
    rule: Rule, after: datetime, zone: ZoneInfo
) -> None:
    """D22: daily once a day; the same time twice only a whole interval apart."""
    one = next_slot(rule, after, zone)
    other = next_slot(rule, one, zone)
    shown_one, shown_other = one.astimezone(zone), other.astimezone(zone)
    if rule.kind == Kind.DAILY:
        days = (shown_other.date() - shown_one.date()).days
        assert days * 24 * 60 == rule.every_minutes
    elif shown_other.replace(fold=0) == shown_one.replace(fold=0):
        assert other - one >= timedelta(minutes=rule.every_minutes)


@given(st.sampled_from([1, 2, 3, 4, 6, 8, 12, 24]), moments, zones)
def test_both_hours_blank_is_all_day(
    hours: int, after: datetime, zone: ZoneInfo
) -> None:
    """dropstream.md §3: 12 am to 11 pm."""
    assert next_slot(flexible(hours * 60), after, zone) == next_slot(
        hourly(hours), after, zone
    )
