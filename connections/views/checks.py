"""Watch, cancel and answer a running test."""

from __future__ import annotations

from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_POST, require_safe

from connections.checks import execute as checks
from connections.models import CheckRun
from connections.runs import queue
from connections.views.stores import start_check
from stores import host_keys
from stores.access import Action, MemberRequest, get_or_404, may, member_required
from stores.models import HostKey

RELATED = ("draft", "store", "warehouse")


@require_safe
@member_required
def check(request: MemberRequest, check: str) -> HttpResponse:
    """The check list as it stands, for the page that polls it."""
    row = get_or_404(
        CheckRun.objects.select_related(*RELATED), request.user, check, Action.VIEW
    )
    return _fragment(request, row)


@require_POST
@member_required
def check_cancel(request: MemberRequest, check: str) -> HttpResponse:
    """Stop waiting for a check; it stores nothing anyway."""
    row = get_or_404(
        CheckRun.objects.select_related(*RELATED), request.user, check, Action.VIEW
    )
    checks.cancel(row)
    row.refresh_from_db()
    return _answer(request, row)


@require_POST
@member_required
def check_approve(request: MemberRequest, check: str, host_key: str) -> HttpResponse:
    """Trust the host key that the person has compared, and test again."""
    row = get_or_404(
        CheckRun.objects.select_related(*RELATED),
        request.user,
        check,
        Action.APPROVE_HOST_KEY,
    )
    offered = {result.get("host_key") for result in row.results}
    keys = HostKey.objects.filter(account=row.account_id, retired_at__isnull=True)
    key = keys.filter(public_id=host_key).first()
    if key is None or str(key.public_id) not in offered:
        return _answer(request, row)
    host_keys.approve(key, by=request.user)
    _go_on(row)
    again = CheckRun(
        account_id=row.account_id,
        requested_by=request.user,
        draft=row.draft,
        draft_step=row.draft_step,
        store=row.store,
        warehouse=row.warehouse,
    )
    start_check(request, again)
    return _answer(request, again if again.pk else row)


def _go_on(row: CheckRun) -> None:
    """Let what waited for the approval run at once."""
    stores = [row.store] if row.store else []
    if row.warehouse is not None:
        stores += [c.store for c in row.warehouse.connections.select_related("store")]
    for store in stores:
        queue.enqueue_for_store(store)


def _answer(request: MemberRequest, row: CheckRun) -> HttpResponse:
    if request.headers.get("HX-Request"):
        return _fragment(request, row, tell=True)
    return redirect(f"{_page_of(row)}#check")


def _fragment(
    request: MemberRequest, row: CheckRun, *, tell: bool = False
) -> HttpResponse:
    """The check alone; `tell`: with what a whole page would say at its top."""
    context = {
        "check": row,
        "tell": tell,
        "may_approve": may(request.user, Action.APPROVE_HOST_KEY),
    }
    return render(request, "connections/_check.html", context)


def _page_of(row: CheckRun) -> str:
    if row.store is not None:
        return reverse("connections:store", args=[row.store.public_id])
    if row.warehouse is not None:
        return reverse("connections:warehouse", args=[row.warehouse.public_id])
    if row.draft is None:  # pragma: no cover  one of the three, by a constraint
        return reverse("connections:list")
    kwargs = {"draft": row.draft.public_id, "step": row.draft_step}
    return reverse("connections:wizard", kwargs=kwargs)
