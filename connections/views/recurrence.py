"""Rules in plain words (dropstream.md §3: Recurrence)."""

from __future__ import annotations

from django.conf import settings
from django.utils.dates import WEEKDAYS_ABBR
from django.utils.formats import time_format
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from connections.models.connection import DAY
from connections.platforms import Intake
from connections.runs import schedule
from connections.runs.rules import Kind, Rule


def in_words(rule: Rule) -> str:
    """Say when a rule fires, such as “Every 4 hours at :15”."""
    if rule.kind == Kind.DAILY:
        days = rule.every_minutes // DAY
        words = ngettext("Daily at %(at)s", "Every %(n)d days at %(at)s", days)
        return words % {"n": days, "at": time_format(rule.at, "H:i")}
    interval = interval_in_words(rule.every_minutes)
    if rule.kind == Kind.HOURLY:
        minute = f"{rule.at.minute:02}"
        return _("%(interval)s at :%(minute)s") % {
            "interval": interval,
            "minute": minute,
        }
    if rule.kind == Kind.FLEXIBLE:
        return ", ".join([interval, *_days(rule), *_hours(rule)])
    return interval


def interval_in_words(minutes: int) -> str:
    """Say an interval, in hours where it is whole hours."""
    hours, rest = divmod(minutes, 60)
    if rest:
        return ngettext("Every minute", "Every %(n)d minutes", minutes) % {"n": minutes}
    return ngettext("Every hour", "Every %(n)d hours", hours) % {"n": hours}


def cut_off(intake: Intake) -> str:
    """Say until when an upload reaches the next nightly sync, on its account's clock."""
    words = _("Uploads reach tonight's sync until %(time)s %(zone)s.") % {
        "time": time_format(intake.upload_by.astimezone(intake.zone), "H:i"),
        "zone": intake.zone.key,
    }
    if settings.DEMO_CLOCK_SPEED == 1:
        return words
    left = schedule.off_clock(intake.upload_by) - schedule.database_now()
    return _("%(words)s (In %(time)s in this demo.)") % {
        "words": words,
        "time": _duration(left.total_seconds()),
    }


def in_demo(rule: Rule) -> str:
    """Say how long its interval really is where a demo's clock runs faster; else nothing."""
    if settings.DEMO_CLOCK_SPEED == 1:
        return ""
    return _duration(rule.every_minutes * 60 / settings.DEMO_CLOCK_SPEED)


def _duration(seconds: float) -> str:
    seconds = max(round(seconds), 1)
    if seconds < 60:
        return ngettext("%(n)d second", "%(n)d seconds", seconds) % {"n": seconds}
    minutes = round(seconds / 60)
    return ngettext("%(n)d minute", "%(n)d minutes", minutes) % {"n": minutes}


def hour_label(hour: int) -> str:
    """Name an hour as people choose it: 12 am, 1 am … 11 pm."""
    twelve = hour % 12 or 12
    words = _("%(hour)d am") if hour < 12 else _("%(hour)d pm")
    return words % {"hour": twelve}


def _days(rule: Rule) -> list[str]:
    """The ticked weekdays; from three in a row as a span; nothing for all of them."""
    ticked = [day for day in range(7) if rule.weekdays >> day & 1]
    if len(ticked) == 7:
        return []
    names = [str(WEEKDAYS_ABBR[day]) for day in ticked]
    if len(ticked) > 2 and ticked[-1] - ticked[0] == len(ticked) - 1:
        return [_("%(first)s–%(last)s") % {"first": names[0], "last": names[-1]}]
    return names


def _hours(rule: Rule) -> list[str]:
    if (rule.start_hour, rule.end_hour) == (0, 23):
        return []
    hours = {"start": hour_label(rule.start_hour), "end": hour_label(rule.end_hour)}
    return [_("%(start)s to %(end)s") % hours]
