"""Edit rules: when a job of a channel runs (dropstream.md §3, U19)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from itertools import groupby, islice
from typing import Any, cast
from zoneinfo import ZoneInfo

from django.conf import settings
from django.contrib import messages
from django.http import Http404, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from connections.models import Channel
from connections.runs import schedule
from connections.runs.jobs import Job
from connections.runs.rules import Kind, Rule
from connections.views.connection_page import job_or_404
from connections.views.recurrence import interval_in_words
from connections.views.rule_forms import FORMS, RuleForm
from stores.access import Action, MemberRequest, get_or_404, member_required
from stores.models.people import zone_named

# Of one job: what more of them would say, fewer can.
MOST_RULES = 10
RUNS_SHOWN = 5


@require_http_methods(["GET", "HEAD", "POST"])
@member_required
def rules_page(request: MemberRequest, channel: str, job: str) -> HttpResponse:
    """Edit a job's rules; nothing is saved before Save changes, then all or nothing."""
    row = get_or_404(
        Channel.objects.select_related("connection", "account"),
        request.user,
        channel,
        Action.MANAGE_CONNECTIONS,
    )
    kind = job_or_404(row, job)
    if not kind.has_rules:
        raise Http404
    saved = {
        Rule.of(one): one.next_due_at for one in row.schedules.filter(job=kind.slug)
    }
    if request.method != "POST":
        shown = [(rule.kind, FORMS[rule.kind].shown(rule)) for rule in saved]
        return _page(request, row, kind, _blank(kind, shown), saved)
    forms = _typed(kind, request.POST)
    action = request.POST.get("go", "")
    if action not in ("save", "preview"):
        return _page(request, row, kind, _changed(kind, forms, request.POST))
    valid = [form.is_valid() for form in forms]  # each says what is wrong with it
    if not all(valid):
        return _page(request, row, kind, forms)
    rules = [form.rule() for form in forms]
    if action == "preview":
        return _page(
            request, row, kind, forms, {rule: saved.get(rule) for rule in rules}
        )
    if schedule.save_rules(row, kind, rules, by=request.user):
        messages.success(request, _("%(job)s: schedules saved.") % {"job": kind.label})
    else:
        messages.info(request, _("%(job)s: nothing was changed.") % {"job": kind.label})
    return redirect("connections:rules", channel=row.public_id, job=kind.slug)


def _typed(job: Job, data: QueryDict) -> list[RuleForm]:
    """The rules as they were sent, in the order of the page."""
    kinds = data.getlist("kind")[:MOST_RULES]
    return [
        FORMS[kind](data, prefix=f"rule-{n}", job=job)
        for n, kind in enumerate(kinds)
        if kind in FORMS
    ]


def _blank(job: Job, shown: list[tuple[str, dict[str, Any]]]) -> list[RuleForm]:
    """Forms that show values and judge none of them."""
    return [
        FORMS[kind](initial=values, prefix=f"rule-{n}", job=job)
        for n, (kind, values) in enumerate(shown)
    ]


def _changed(job: Job, forms: list[RuleForm], data: QueryDict) -> list[RuleForm]:
    """One rule more (`go=add`) or less (`go=delete-2`); what was typed stays."""
    typed = [(str(form.kind), form.typed()) for form in forms]
    action, _dash, number = data.get("go", "").partition("-")
    kind = data.get("new_kind", "")
    if action == "delete" and number.isdecimal():
        del typed[int(number) : int(number) + 1]
    adds = action == "add" and kind in FORMS and len(typed) < MOST_RULES
    if adds:
        typed.append((kind, {}))
    blank = _blank(job, typed)
    if adds:
        blank[-1].fields["every"].widget.attrs["autofocus"] = True
    return blank


def _page(
    request: MemberRequest,
    channel: Channel,
    job: Job,
    forms: list[RuleForm],
    rules: Mapping[Rule, datetime | None] | None = None,
) -> HttpResponse:
    """`rules`: what the forms say, with its next times, where they are known to be right."""
    zone = zone_named(channel.account.time_zone)
    errors = [
        {
            "text": _("Schedule %(n)d: %(error)s") % {"n": n, "error": error},
            "href": f"#{cast(Any, field).focus_id}",
        }
        for n, form in enumerate(forms, 1)
        if form.is_bound
        for field in form
        for error in field.errors
    ]
    context = {
        "nav": "connections",
        "channel": channel,
        "job": job,
        "is_on": channel.is_on and channel.connection.is_on,
        "forms": forms,
        "errors": errors,
        "has_errors": bool(errors),
        "rules": rules,
        "runs": _runs(rules or {}, zone),
        "zone": zone.key,
        "kinds": Kind.choices,
        "has_room": len(forms) < MOST_RULES,
        "shortest": interval_in_words(job.minimum_minutes),
    }
    return render(request, "connections/rules.html", context)


def _runs(
    rules: Mapping[Rule, datetime | None], zone: ZoneInfo
) -> list[tuple[datetime, str]]:
    """The next times, to the minute (in the demo to the second), and the zone's name then.

    The name comes from here because Django's filter leaves it out of a doubled hour.
    """
    in_demo = settings.DEMO_CLOCK_SPEED != 1
    told = (
        at.replace(second=at.second if in_demo else 0, microsecond=0)
        for at in schedule.upcoming(rules, zone)
    )
    runs = islice((at for at, _same in groupby(told)), RUNS_SHOWN)
    return [(at, at.astimezone(zone).tzname() or "") for at in runs]
