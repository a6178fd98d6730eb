"""Stock reports of a warehouse: what each would change or did, and what was wrong."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from connections.messages import explain
from connections.models import Channel, StockReport
from connections.stock import uploads
from connections.stock.preview import Preview
from connections.views.paging import page_newest_first
from connections.views.status import Status
from connections.warehouses.platforms import exchanges_files
from stores.access import Action, MemberRequest, get_or_404, member_required
from stores.models import Warehouse


@require_safe
@member_required
def report_list(request: MemberRequest, warehouse: str) -> HttpResponse:
    """List what a warehouse reported, the newest first."""
    row = get_or_404(
        Warehouse.objects.all(), request.user, warehouse, Action.MANAGE_CONNECTIONS
    )
    page = page_newest_first(row.stock_reports.arrived(), request.GET.get("after", ""))
    context = {
        "nav": "connections",
        "warehouse": row,
        "reports": page.rows,
        "page": page,
    }
    return render(request, "warehouses/reports.html", context)


@require_safe
@member_required
def report_page(request: MemberRequest, report: str) -> HttpResponse:
    """Show a report; one that waits with its preview."""
    row = _find(request, report)
    preview = Preview.of(row)
    is_waiting = row.state == StockReport.State.WAITING
    context = {
        "nav": "connections",
        "report": row,
        "is_waiting": is_waiting,
        "status": None if is_waiting else _status(row),
        "preview": preview,
        "more_changes": preview.to_write > len(preview.changes),
        "more_problems": row.bad_rows - len(row.problems),
    }
    return render(request, "warehouses/report.html", context)


@require_POST
@member_required
def report_apply(request: MemberRequest, report: str) -> HttpResponse:
    """Apply an uploaded report; a second click finds that it is done."""
    row = uploads.apply(_find(request, report), by=request.user)
    if row.state != StockReport.State.APPLIED:
        messages.warning(
            request,
            _("Nothing was changed: it does not wait any more. Upload it again."),
        )
    return redirect("connections:report", report=row.public_id)


@require_POST
@member_required
def report_discard(request: MemberRequest, report: str) -> HttpResponse:
    """Let an uploaded report change nothing."""
    row = _find(request, report)
    if not uploads.discard(row, by=request.user):
        messages.info(request, _("It was dealt with before."))
        return redirect("connections:report", report=row.public_id)
    messages.success(request, _("“%(file)s” was discarded.") % {"file": row})
    return redirect("connections:warehouse", warehouse=row.warehouse.public_id)


def _status(report: StockReport) -> Status:
    """What became of a report that does not wait."""
    again = {}
    if not exchanges_files(report.warehouse):
        upload = reverse("connections:stock_upload", args=[report.warehouse.public_id])
        again = {"href": upload, "link": _("Upload another file")}
    match report.state:
        case StockReport.State.APPLIED if report.is_late:
            title = _("Applied, but most of what differs is older than what is stored.")
            message = explain("report_late")
            return Status("warn", title, f"{message.means} {message.do}", **again)
        case StockReport.State.APPLIED if report.changed:
            return _goes_out(report)
        case StockReport.State.APPLIED:
            title = _("Applied: nothing differed from what was stored.")
            return Status("ok", title, **again)
        case StockReport.State.REFUSED:
            title = _("Refused: %(reason)s.") % {"reason": report.reason}
            return Status("bad", title, _("Nothing was changed."), **again)
        case StockReport.State.DISCARDED:
            return Status("off", _("Discarded: nothing was changed."), **again)
    title = _("Nobody applied it in time: nothing was changed.")
    return Status("off", title, **again)


def _goes_out(report: StockReport) -> Status:
    """What follows for the levels that a report changed, and where that is seen."""
    live = Channel.objects.live().filter(
        connection__warehouse=report.warehouse, type=Channel.Type.INVENTORY
    )
    channel = live.select_related("connection").order_by("connection__name").first()
    if channel is None:
        told = _("It goes out once an inventory channel of this warehouse is on.")
        return Status("ok", _("Applied."), told)
    told = _("What changed goes out with the next inventory update.")
    page = reverse("connections:page", args=[channel.connection.public_id])
    return Status("ok", _("Applied."), told, href=page, link=str(channel.connection))


def _find(request: MemberRequest, report: str) -> StockReport:
    return get_or_404(
        StockReport.objects.arrived().select_related("warehouse", "uploaded_by"),
        request.user,
        report,
        Action.MANAGE_CONNECTIONS,
    )
