"""The list of connections: the first page people see."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from connections import platforms
from connections.models import Connection, ConnectionDraft
from connections.views.paging import page_by_name, search_of
from connections.views.status import Recent, connection_status, further, lines
from stores.access import Action, MemberRequest, may, member_required
from stores.platforms import installed


@require_safe
@member_required
def connection_list(request: MemberRequest) -> HttpResponse:
    """Search by name, filter by switch, a page of 50 by name."""
    visible = Connection.objects.for_user(request.user)
    rows = visible.select_related("merchant", "warehouse", *store_relations())
    search = search_of(request)
    state = request.GET.get("state", "")
    if search:
        rows = rows.filter(name__icontains=search)
    if state in ("on", "off"):
        rows = rows.filter(enabled_at__isnull=state == "off")
    page = page_by_name(rows.prefetch_related("channels"), request.GET.get("after", ""))
    may_manage = may(request.user, Action.MANAGE_CONNECTIONS)
    recent = Recent.of(page.rows, may_manage=may_manage)
    return render(
        request,
        "connections/list.html",
        {
            "nav": "connections",
            "rows": [_row(connection, recent) for connection in page.rows],
            "search": search,
            "state": state,
            "page": page,
            "drafts": list(ConnectionDraft.objects.for_user(request.user).open()[:20]),
            "may_manage": may_manage,
        },
    )


def _row(connection: Connection, recent: Recent) -> dict[str, Any]:
    channels = lines(connection, recent)
    status = connection_status(connection, channels)
    return {
        "connection": connection,
        "status": status,
        "further": further(connection, channels, status),
        "alerts": recent.alerts[connection.pk],
    }


def store_relations() -> list[str]:
    """Joins that statuses need: the store and each platform's settings."""
    names = ["store"]
    for platform in installed():
        relations = getattr(platforms.of_slug(platform.slug), "relations", ())
        names += [f"store__{name}" for name in relations]
    return names
