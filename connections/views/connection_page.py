"""A connection's page: switches, run now, what happened."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.contrib import messages
from django.db import transaction
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from connections import platforms
from connections.messages import explain
from connections.models import Channel, Connection, SyncRun
from connections.models.connection import ConnectionQuerySet
from connections.orders import routing, stranded
from connections.runs import queue, schedule, switch
from connections.runs.jobs import JOBS, Job, jobs_of
from connections.runs.rules import Rule
from connections.stock import intake
from connections.views import alerts, order_list
from connections.views.connection_list import store_relations
from connections.views.paging import uuid_of
from connections.views.recurrence import cut_off, in_demo, in_words
from connections.views.served import ServedForm
from connections.views.status import Recent, connection_status, lines
from stores import audit
from stores.access import Action, MemberRequest, get_or_404, may, member_required
from stores.models import Store

EVENTS_SHOWN = 30
ORDERS_SHOWN = 20
FILES_SHOWN = 10


@require_safe
@member_required
def connection_page(request: MemberRequest, connection: str) -> HttpResponse:
    """Everything about one connection; the moving part is refreshed by htmx."""
    row = get_or_404(_shown(), request.user, connection, Action.VIEW)
    return _page(request, row, None)


@require_POST
@member_required
def connection_serves(request: MemberRequest, connection: str) -> HttpResponse:
    """Say which of the store platform's warehouses the connection serves."""
    row = get_or_404(_shown(), request.user, connection, Action.MANAGE_CONNECTIONS)
    form = ServedForm(request.POST, connection=row)
    if not form.is_valid():
        return _page(request, row, form)
    routing.serve(row, form.cleaned_data["remote_warehouse"], by=request.user)
    messages.success(request, _("“%(name)s” was saved.") % {"name": row})
    return redirect("connections:page", connection=row.public_id)


def _shown() -> ConnectionQuerySet:
    rows = Connection.objects.select_related(
        "merchant", "warehouse", *store_relations()
    )
    return rows.prefetch_related("channels__schedules")


def _page(
    request: MemberRequest, row: Connection, form: ServedForm | None
) -> HttpResponse:
    may_manage = may(request.user, Action.MANAGE_CONNECTIONS)
    channels = lines(row, Recent.of([row], may_manage=may_manage))
    completed = _completed(row)
    supported = platforms.of_store(row.store).channels()
    context = {
        "nav": "connections",
        "connection": row,
        "status": connection_status(row, channels),
        "channels": [
            {
                "line": line,
                "jobs": [
                    _job_row(line.channel, job, line.runs, completed)
                    for job in jobs_of(line.channel.type)
                    if job.has_rules
                ],
                "cut_off": _cut_off(row.store, line.channel),
            }
            for line in channels
        ],
        "unsupported": [
            label for value, label in Channel.Type.choices if value not in supported
        ],
        "alerts": alerts.lines(
            row.alerts.open().select_related(*alerts.RELATIONS), may_manage=may_manage
        ),
        "activities": row.activities.all()[:EVENTS_SHOWN],
        "orders": order_list.latest(row, ORDERS_SHOWN),
        "deliveries": row.deliveries.all()[:FILES_SHOWN],
        "may_manage": may_manage,
        "may_delete": may(request.user, Action.DELETE),
    }
    if request.headers.get("HX-Request"):
        return render(request, "connections/_live.html", context)
    if may_manage and Channel.Type.PURCHASE_ORDERS in supported:
        context["form"] = form or ServedForm(connection=row)
        context["lacks_warehouse"] = routing.lacks_warehouse(row)
    return render(request, "connections/page.html", context)


@require_POST
@member_required
def connection_switch(request: MemberRequest, connection: str) -> HttpResponse:
    """Turn a connection on or off (`on=1` or `on=0`)."""
    row = get_or_404(
        Connection.objects.all(), request.user, connection, Action.MANAGE_CONNECTIONS
    )
    if request.POST.get("on") == "1":
        switch.enable_connection(row, by=request.user)
        messages.success(request, _("“%(name)s” is on.") % {"name": row})
    else:
        switch.disable_connection(row, by=request.user)
        messages.success(request, _("“%(name)s” is off.") % {"name": row})
    if request.POST.get("next") == "list":
        return redirect("connections:list")
    return redirect("connections:page", connection=row.public_id)


@require_POST
@member_required
def connection_delete(request: MemberRequest, connection: str) -> HttpResponse:
    """Delete a connection; its merchant, store and warehouse stay."""
    row = get_or_404(Connection.objects.all(), request.user, connection, Action.DELETE)
    with transaction.atomic():
        audit.record("connection.deleted", row, by=request.user)
        stranded.strand(row)
        row.delete()
    messages.success(request, _("“%(name)s” was deleted.") % {"name": row})
    return redirect("connections:list")


@require_POST
@member_required
def channel_switch(request: MemberRequest, channel: str) -> HttpResponse:
    """Turn one channel on or off."""
    row = get_or_404(
        Channel.objects.select_related("connection"),
        request.user,
        channel,
        Action.MANAGE_CONNECTIONS,
    )
    if request.POST.get("on") == "1":
        switch.enable_channel(row, by=request.user)
    else:
        switch.disable_channel(row, by=request.user)
    return redirect("connections:page", connection=row.connection.public_id)


@require_POST
@member_required
def run_now(request: MemberRequest, channel: str, job: str) -> HttpResponse:
    """Ask for a run; off means off, and a run that waits already is brought forward."""
    row = get_or_404(
        Channel.objects.select_related("connection"),
        request.user,
        channel,
        Action.MANAGE_CONNECTIONS,
    )
    kind = job_or_404(row, job)
    if not (row.is_on and row.connection.is_on):
        messages.warning(request, _("Nothing runs while it is off. Turn it on first."))
    elif queue.enqueue(row, kind, SyncRun.Trigger.PERSON, by=request.user):
        messages.success(
            request, _("%(job)s: queued. It starts in a moment.") % {"job": kind.label}
        )
    else:
        messages.info(request, _("%(job)s: already on its way.") % {"job": kind.label})
    if "file" in request.POST:  # asked for on a file's page, it is followed there
        return redirect("connections:delivery", delivery=uuid_of(request.POST["file"]))
    return redirect("connections:page", connection=row.connection.public_id)


def job_or_404(channel: Channel, slug: str) -> Job:
    """Return a job that the channel has. Raises Http404."""
    job = JOBS.get(slug)
    if job is None or job.channel != channel.type:
        raise Http404
    return job


def _job_row(
    channel: Channel,
    job: Job,
    runs: dict[str, SyncRun],
    completed: dict[tuple[int, str], datetime],
) -> dict[str, Any]:
    """A job as its channel's card shows it: recurrence, last, next, run now."""
    schedules = [row for row in channel.schedules.all() if row.job == job.slug]
    rules = [Rule.of(row) for row in schedules]
    due = [row.next_due_at for row in schedules if row.next_due_at]
    run = runs.get(job.slug)
    return {
        "job": job,
        "previews": channel.type == Channel.Type.INVENTORY,
        "rules": [{"words": in_words(rule), "demo": in_demo(rule)} for rule in rules],
        "completed_at": completed.get((channel.pk, job.slug)),
        "outcome": _outcome(run) if run else "",
        "next_at": min(due, default=None),
    }


def _cut_off(store: Store, channel: Channel) -> str:
    """Until when an upload reaches the next intake of the store's platform."""
    if channel.type != Channel.Type.INVENTORY:
        return ""
    return cut_off(intake.following(store, schedule.database_now()))


def _completed(connection: Connection) -> dict[tuple[int, str], datetime]:
    """When each job of each channel last did what it is for."""
    done = SyncRun.objects.filter(
        connection=connection, state=SyncRun.State.SUCCEEDED
    ).exclude(counts__has_key="waiting_for")
    newest = done.order_by("channel_id", "job", "-pk").distinct("channel_id", "job")
    return {
        (channel, job): at
        for channel, job, at in newest.values_list("channel_id", "job", "finished_at")
        if at is not None
    }


def _outcome(run: SyncRun) -> str:
    """How a run ended; one that went well but had to wait says for what (D17)."""
    waits_for = run.counts.get("waiting_for")
    if waits_for and run.state == SyncRun.State.SUCCEEDED:
        return _("Waited. %(why)s") % {"why": explain(waits_for).happened}
    return "" if run.state == SyncRun.State.SUCCEEDED else run.get_state_display()
