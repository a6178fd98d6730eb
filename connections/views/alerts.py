"""Alerts in words: the list of an account's, and the lines that other pages show."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.functional import Promise
from django.views.decorators.http import require_POST, require_safe

from connections.alerts import ledger, silence
from connections.messages import explain
from connections.models import Alert, Delivery
from connections.runs.jobs import JOBS
from connections.views.paging import page_open_first
from connections.views.status import Status, explained
from stores.access import Action, MemberRequest, get_or_404, may, member_required

# Alerts whose detail is the name of a file.
ABOUT_A_FILE = {
    *("delivery_unknown", "order_in_doubt", "not_confirmed", "cut_off_missed"),
}
# What a line's words and links are made of.
RELATIONS = ("channel", "connection__store", "connection__warehouse", "dismissed_by")


@dataclass(frozen=True)
class Line:
    """One alert as connections/_alerts.html shows it."""

    alert: Alert
    status: Status
    what: str | Promise
    file: Delivery | None


def lines(alerts: Iterable[Alert], *, may_manage: bool) -> list[Line]:
    """Put alerts into words; they must have been read with RELATIONS.

    `may_manage`: whether the person who looks may open a warehouse's page.
    """
    shown = list(alerts)
    files = _files(shown)
    return [
        _line(alert, files.get(alert.detail), may_manage=may_manage) for alert in shown
    ]


def _files(alerts: list[Alert]) -> dict[str, Delivery]:
    """The files that alerts are about, by name."""
    about = [alert for alert in alerts if alert.code in ABOUT_A_FILE]
    if not about:
        return {}
    files = Delivery.objects.filter(
        name__in={alert.detail for alert in about},
        connection__in={alert.connection_id for alert in about},
    )
    return {file.name: file for file in files}


def _line(alert: Alert, file: Delivery | None, *, may_manage: bool) -> Line:
    what = JOBS[alert.job].label if alert.job else alert.channel.get_type_display()
    return Line(alert, _status(alert, may_manage=may_manage), what, file)


def _status(alert: Alert, *, may_manage: bool) -> Status:
    """The four parts while it is open; afterwards only what it was."""
    if alert.closed_at is not None:
        tone = "off" if alert.dismissed_by else "ok"
        return Status(tone, str(explain(alert.code).happened))
    status = explained(
        alert.connection, alert.code, "bad", alert.side, may_manage=may_manage
    )
    if alert.code == silence.CODE:
        status.href = ""  # no setting is wrong that anybody knows of
    return status


@require_safe
@member_required
def alert_list(request: MemberRequest) -> HttpResponse:
    """The person's alerts: open ones first, then those closed last."""
    rows = Alert.objects.for_user(request.user).select_related(*RELATIONS)
    page = page_open_first(rows, request.GET.get("after", ""))
    may_manage = may(request.user, Action.MANAGE_CONNECTIONS)
    context = {
        "nav": "operations",
        "alerts": lines(page.rows, may_manage=may_manage),
        "page": page,
        "may_manage": may_manage,
    }
    return render(request, "alerts/list.html", context)


@require_POST
@member_required
def alert_dismiss(request: MemberRequest, alert: str) -> HttpResponse:
    """Close an alert that somebody has seen to; `next=list` leads back to the list."""
    row = get_or_404(
        Alert.objects.select_related("connection"),
        request.user,
        alert,
        Action.MANAGE_CONNECTIONS,
    )
    ledger.dismiss_alert(row, by=request.user)
    if request.POST.get("next") == "list":
        return redirect("connections:alert_list")
    return redirect("connections:page", connection=row.connection.public_id)
