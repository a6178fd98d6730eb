"""What the next file would tell the store's platform, before anything is sent."""

from __future__ import annotations

from django.db import transaction
from django.http import Http404, HttpResponse, StreamingHttpResponse
from django.shortcuts import render
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_POST, require_safe

from connections import spreadsheet
from connections.models import Channel, Connection, SyncRun
from connections.runs.jobs import STOCK_CHANGES, STOCK_FULL
from connections.stock.next_file import NextFile
from connections.stock.plan import Why
from connections.views.connection_list import store_relations
from connections.views.downloads import attachment
from connections.views.paging import COUNTED, count_text
from connections.views.status import Status, explained
from stores import audit
from stores.access import Action, MemberRequest, get_or_404, member_required

ROWS_SHOWN = 50

REASONS: dict[Why | None, str | Promise] = {
    Why.ASKED: _("Every level, whether it changed or not."),
    Why.FIRST: _("Every level: none was sent there yet."),
    Why.WEEKLY: _("Every level: seven days have gone by since all were sent."),
    Why.STANDS_STILL: _(
        "What changed since the last file, and what stood still for seven days."
    ),
    Why.CHANGES: _("What changed since the last file."),
    None: _("There is nothing new, so no file would be sent."),
}


@require_safe
@member_required
def preview(request: MemberRequest, connection: str) -> HttpResponse:
    """The first rows of the next inventory update, how many there are, and why."""
    row, channel, full = _asked_for(request, connection, request.GET.get("job", ""))
    found = NextFile.of(channel, full=full)
    rows, look = found.sample(ROWS_SHOWN)
    count = found.count(COUNTED + 1)
    context = {
        "nav": "connections",
        "connection": row,
        "job": STOCK_FULL if full else STOCK_CHANGES,
        "jobs": (STOCK_CHANGES, STOCK_FULL),
        "header": found.header,
        "rows": [list(zip(found.header, cells, strict=True)) for cells in rows],
        "problems": look.problems,
        "rows_shown": ROWS_SHOWN,
        "count": count,
        "count_text": count_text(count, COUNTED),
        "reason": REASONS[found.why],
        "waits_for": _waits_for(row, found.waits_for),
        "begun": found.begun,
        "master_data_first": found.master_data_first,
        "is_off": not (row.is_on and channel.is_on),
    }
    return render(request, "connections/next_file.html", context)


@require_POST
@member_required
def preview_file(request: MemberRequest, connection: str) -> StreamingHttpResponse:
    """The whole of it, byte for byte; or (`as=spreadsheet`) a safe variant."""
    job = request.POST.get("job", "")
    row, channel, full = _asked_for(request, connection, job)
    found = NextFile.of(channel, full=full)
    safe = request.POST.get("as") == "spreadsheet"
    with transaction.atomic():
        form = {"form": "spreadsheet" if safe else "exact", "job": job}
        audit.record("next_file.exported", row, by=request.user, after=form)
    name = f"{found.file.sheet.prefix}-next"
    if safe:
        pieces = spreadsheet.variant(found.data())
        return attachment(pieces, f"{name}-spreadsheet.csv")
    return attachment(found.data(), f"{name}.csv")


def _waits_for(connection: Connection, code: str | None) -> Status | None:
    """The setting that is missing, and the page where it is set."""
    if code is None:
        return None
    side = SyncRun.Side.STORE
    return explained(connection, code, "wait", side, may_manage=True)


def _asked_for(
    request: MemberRequest, connection: str, job: str
) -> tuple[Connection, Channel, bool]:
    """The connection, its stock channel, and whether all is asked for. Raises Http404."""
    rows = Connection.objects.select_related("warehouse", *store_relations())
    row = get_or_404(rows, request.user, connection, Action.MANAGE_CONNECTIONS)
    channel = row.channels.filter(type=Channel.Type.INVENTORY).first()
    if channel is None:
        raise Http404
    channel.connection = row  # with what was joined
    return row, channel, job == STOCK_FULL.slug
