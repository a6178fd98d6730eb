"""The forms of Edit rules: one for each kind of rule (dropstream.md §3)."""

from __future__ import annotations

from datetime import time
from typing import Any, ClassVar, cast

from django import forms
from django.utils.dates import WEEKDAYS
from django.utils.translation import gettext_lazy as _

from connections.models.connection import DAY
from connections.runs.jobs import Job
from connections.runs.rules import Kind, Rule
from connections.views.recurrence import hour_label

HOUR = 60
WEEK = 7 * DAY
MONTH = 31 * DAY

EVERY = {
    1: _("Every (minutes)"),
    HOUR: _("Every (hours)"),
    DAY: _("Every (days)"),
}
RANGES = {
    1: _("Enter a whole number of minutes from %(least)d to %(most)d."),
    HOUR: _("Enter a whole number of hours from %(least)d to %(most)d."),
    DAY: _("Enter a whole number of days from %(least)d to %(most)d."),
}
MINUTE_RANGE = _("Enter the minute past the hour as a number from 0 to 59.")


def number() -> forms.TextInput:
    """A text field for digits: type=number shows nothing of what is no number."""
    return forms.TextInput({"inputmode": "numeric", "autocomplete": "off"})


class RuleForm(forms.Form):
    """How often a rule fires: `every` counts units of so many minutes."""

    kind: ClassVar[Kind]
    unit: ClassVar[int]
    longest: ClassVar[int]

    every = forms.IntegerField(
        widget=number(),
        error_messages={
            "required": _("Enter how often it runs."),
            "invalid": _("Enter how often it runs as a whole number."),
        },
    )

    def __init__(self, *args: Any, job: Job, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.job = job
        self.fields["every"].label = EVERY[self.unit]
        self.fields["every"].initial = self._least(self.unit)

    def clean(self) -> None:
        unit, every = self.unit_chosen(), self.cleaned_data.get("every")
        least, most = self._least(unit), self.longest // unit
        if every is not None and not least <= every <= most:
            self.add_error("every", RANGES[unit] % {"least": least, "most": most})

    def unit_chosen(self) -> int:
        """How many minutes `every` counts."""
        return self.unit

    def rule(self) -> Rule:
        """The rule that a valid form says."""
        every = self.cleaned_data["every"] * self.unit_chosen()
        return Rule(self.kind, every, **self.values())

    def values(self) -> dict[str, Any]:
        """What the kind says besides how often."""
        return {}

    @classmethod
    def shown(cls, rule: Rule) -> dict[str, Any]:
        """The fields of a rule."""
        return {"every": rule.every_minutes // cls.unit}

    def typed(self) -> dict[str, Any]:
        """What stands in the fields, be it right or wrong."""
        return {field.name: field.value() for field in self}

    def _least(self, unit: int) -> int:
        return -(-self.job.minimum_minutes // unit)


class MinutelyForm(RuleForm):
    kind, unit, longest = Kind.MINUTELY, 1, WEEK


class HourlyForm(RuleForm):
    kind, unit, longest = Kind.HOURLY, HOUR, DAY

    minute = forms.IntegerField(
        label=_("Minute past the hour"),
        min_value=0,
        max_value=59,
        initial=0,
        widget=number(),
        error_messages=dict.fromkeys(
            ("required", "invalid", "min_value", "max_value"), MINUTE_RANGE
        ),
    )

    def values(self) -> dict[str, Any]:
        return {"at": time(minute=self.cleaned_data["minute"])}

    @classmethod
    def shown(cls, rule: Rule) -> dict[str, Any]:
        return super().shown(rule) | {"minute": rule.at.minute}


class DailyForm(RuleForm):
    kind, unit, longest = Kind.DAILY, DAY, MONTH

    at = forms.TimeField(
        label=_("At"),
        initial=time(1),
        widget=forms.TimeInput({"type": "time"}, format="%H:%M"),
        error_messages=dict.fromkeys(
            ("required", "invalid"), _("Enter a time of day, such as 01:00.")
        ),
    )

    def values(self) -> dict[str, Any]:
        return {"at": self.cleaned_data["at"].replace(second=0, microsecond=0)}

    @classmethod
    def shown(cls, rule: Rule) -> dict[str, Any]:
        return super().shown(rule) | {"at": rule.at}


class FlexibleForm(RuleForm):
    kind, unit, longest = Kind.FLEXIBLE, 1, DAY

    unit_of_every = forms.TypedChoiceField(
        label=_("Unit"), choices=[(1, _("minutes")), (HOUR, _("hours"))], coerce=int
    )
    weekdays = forms.TypedMultipleChoiceField(
        label=_("On"),
        choices=list(WEEKDAYS.items()),
        coerce=int,
        initial=list(WEEKDAYS),
        widget=forms.CheckboxSelectMultiple,
        error_messages={"required": _("Tick at least one day.")},
    )
    start_hour = forms.TypedChoiceField(
        label=_("Start Hour"),
        coerce=int,
        empty_value=None,
        required=False,
        help_text=_("The first hour that runs. Both blank: all day."),
    )
    end_hour = forms.TypedChoiceField(
        label=_("End Hour"),
        coerce=int,
        empty_value=None,
        required=False,
        help_text=_("The last hour that runs. Both blank: all day."),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        hours = [("", ""), *((hour, hour_label(hour)) for hour in range(24))]
        for name in ("start_hour", "end_hour"):
            cast(forms.ChoiceField, self.fields[name]).choices = hours
        self.fields["every"].label = _("Every")
        if self.job.minimum_minutes >= HOUR:
            self.fields["unit_of_every"].initial = HOUR
            self.fields["every"].initial = self._least(HOUR)

    def clean(self) -> None:
        super().clean()
        start, end = self._hours()
        if start > end:
            self.add_error(
                "end_hour",
                _(
                    "Choose an End Hour that is not before the Start Hour. For a night, "
                    "add two schedules."
                ),
            )

    def unit_chosen(self) -> int:
        return cast(int, self.cleaned_data.get("unit_of_every", self.unit))

    def values(self) -> dict[str, Any]:
        start, end = self._hours()
        return {
            "weekdays": sum(1 << day for day in self.cleaned_data["weekdays"]),
            "start_hour": start,
            "end_hour": end,
        }

    @classmethod
    def shown(cls, rule: Rule) -> dict[str, Any]:
        unit = 1 if rule.every_minutes % HOUR else HOUR
        all_day = (rule.start_hour, rule.end_hour) == (0, 23)
        return {
            "every": rule.every_minutes // unit,
            "unit_of_every": unit,
            "weekdays": [day for day in WEEKDAYS if rule.weekdays >> day & 1],
            "start_hour": "" if all_day else rule.start_hour,
            "end_hour": "" if all_day else rule.end_hour,
        }

    def _hours(self) -> tuple[int, int]:
        """From which hour to which; blank is the day's first, or its last."""
        start = self.cleaned_data.get("start_hour")
        end = self.cleaned_data.get("end_hour")
        return (0 if start is None else start, 23 if end is None else end)


FORMS: dict[str, type[RuleForm]] = {
    form.kind: form for form in (MinutelyForm, HourlyForm, DailyForm, FlexibleForm)
}
