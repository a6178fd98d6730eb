"""When a rule makes its job due (dropstream.md §3, Edit rules): pure, in a time zone.

Minutely counts elapsed time from the slot before. The others name times of the account's
clock, which skips an hour and shows an hour twice each year (D22):

- A time that the clock skips: daily runs right after the gap; hourly and flexible let it
  go, their next time comes soon enough.
- A time that the clock shows twice: daily runs at the first. Hourly and flexible run at
  the second as well once a whole interval has gone by since their slot before.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from connections.models import Schedule
from connections.models.connection import DAY

Kind = Schedule.Kind

_MINUTE = timedelta(minutes=1)


@dataclass(frozen=True)
class Rule:
    """The values of a Schedule.

    `at`: the time of day of daily, the minute past the hour of hourly, which counts its
    hours from midnight. `weekdays`: bits, Monday is 1. `end_hour` is the last hour that
    runs: 0 to 23 is all day. Flexible counts its minutes from `start_hour`.
    """

    kind: str
    every_minutes: int
    at: time = time.min
    weekdays: int = 127
    start_hour: int = 0
    end_hour: int = 23

    @classmethod
    def of(cls, schedule: Schedule) -> Rule:
        """Read a row's rule."""
        return cls(
            kind=schedule.kind,
            every_minutes=schedule.every_minutes,
            at=schedule.at,
            weekdays=schedule.weekdays,
            start_hour=schedule.start_hour,
            end_hour=schedule.end_hour,
        )

    def facts(self) -> dict[str, str | int]:
        """Return the values for the audit trail."""
        return vars(self) | {"at": self.at.isoformat("minutes")}


def next_slot(rule: Rule, after: datetime, zone: ZoneInfo) -> datetime:
    """The first time strictly after `after` (UTC) at which the rule fires, in UTC."""
    if rule.kind == Kind.MINUTELY:
        return after + timedelta(minutes=rule.every_minutes)
    day = after.astimezone(zone).date()
    while True:
        for slot in _slots(rule, day, zone):
            if slot > after:
                return slot
        day += timedelta(days=1)


# Many accounts share a zone and a rule, and a tick asks for the same days for all.
@lru_cache(maxsize=4096)
def _slots(rule: Rule, day: date, zone: ZoneInfo) -> tuple[datetime, ...]:
    """The times in UTC at which a rule fires on a day of the zone's clock."""
    if rule.kind == Kind.DAILY:
        if day.toordinal() % (rule.every_minutes // DAY):
            return ()
        return (_first_chance(datetime.combine(day, rule.at), zone),)
    midnight = datetime.combine(day, time.min, zone)
    offset = midnight.utcoffset() or timedelta(0)
    if (midnight + timedelta(days=1)).utcoffset() == offset:
        # The clock does not change on this day, as on most.
        return tuple((wall - offset).replace(tzinfo=UTC) for wall in _walls(rule, day))
    every = timedelta(minutes=rule.every_minutes)
    slots: list[datetime] = []
    for at in sorted(at for wall in _walls(rule, day) for at in _passings(wall, zone)):
        is_second = at.astimezone(zone).fold == 1
        if not is_second or at - slots[-1] >= every:
            slots.append(at)
    return tuple(slots)


def _walls(rule: Rule, day: date) -> Iterator[datetime]:
    """What the clock shows when an hourly or flexible rule fires on a day."""
    midnight = datetime.combine(day, time.min)
    if rule.kind == Kind.HOURLY:
        minutes: Iterable[int] = range(rule.at.minute, DAY, rule.every_minutes)
    elif rule.weekdays >> day.weekday() & 1:
        end = (rule.end_hour + 1) * 60
        minutes = range(rule.start_hour * 60, end, rule.every_minutes)
    else:
        minutes = ()
    return (midnight + minute * _MINUTE for minute in minutes)


def _passings(wall: datetime, zone: ZoneInfo) -> list[datetime]:
    """When the zone's clock shows a time: once, never in a gap, or twice."""
    read = {
        wall.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (False, True)
    }
    return sorted(at for at in read if at.astimezone(zone).replace(tzinfo=None) == wall)


def _first_chance(wall: datetime, zone: ZoneInfo) -> datetime:
    """When the clock first shows a time; right after the gap when it skips it."""
    while not (passings := _passings(wall, zone)):
        wall += _MINUTE
    return passings[0]
