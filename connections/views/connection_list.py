"""The list of connections: the first page people see."""

from __future__ import annotations

import uuid

from django.db.models import Q, QuerySet
from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from connections import platforms
from connections.models import Connection, ConnectionDraft
from connections.views.status import Recent, connection_status, lines
from stores.access import Action, MemberRequest, may, member_required
from stores.platforms import installed

ROWS = 50


@require_safe
@member_required
def connection_list(request: MemberRequest) -> HttpResponse:
    """Search by name, filter by switch, a page of 50 by name."""
    visible = Connection.objects.for_user(request.user)
    rows = visible.select_related("merchant", "warehouse", *store_relations())
    search = request.GET.get("q", "").strip()[:200]
    state = request.GET.get("state", "")
    if search:
        rows = rows.filter(name__icontains=search)
    if state in ("on", "off"):
        rows = rows.filter(enabled_at__isnull=state == "off")
    after = request.GET.get("after", "")
    page, next_after = _page(rows, after)
    recent = Recent.of(page)
    return render(
        request,
        "connections/list.html",
        {
            "nav": "connections",
            "rows": [
                {
                    "connection": connection,
                    "status": connection_status(connection, lines(connection, recent)),
                }
                for connection in page
            ],
            "search": search,
            "state": state,
            "after": after,
            "next_after": next_after,
            "drafts": list(ConnectionDraft.objects.for_user(request.user).open()[:20]),
            "may_manage": may(request.user, Action.MANAGE_CONNECTIONS),
        },
    )


def store_relations() -> list[str]:
    """Joins that statuses need: the store and each platform's settings."""
    names = ["store"]
    for platform in installed():
        relations = getattr(platforms.of_slug(platform.slug), "relations", ())
        names += [f"store__{name}" for name in relations]
    return names


def _page(rows: QuerySet[Connection], after: str) -> tuple[list[Connection], str]:
    """Cut a page by keyset: (name, id) above the last one shown; no OFFSET, no count."""
    if after:
        last = rows.filter(public_id=_uuid(after)).first()
        if last is not None:
            rows = rows.filter(
                Q(name=last.name, pk__gt=last.pk) | Q(name__gt=last.name)
            )
    page = list(rows.order_by("name", "pk").prefetch_related("channels")[: ROWS + 1])
    more = len(page) > ROWS
    return page[:ROWS], str(page[ROWS - 1].public_id) if more else ""


def _uuid(text: str) -> uuid.UUID:
    try:
        return uuid.UUID(text)
    except ValueError:
        return uuid.UUID(int=0)
