"""Purchase Orders → Receipts: what warehouses received (dropstream.md §6)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from uuid import UUID

from django.db.models import Sum
from django.http import HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_POST, require_safe

from connections.messages import NO_ORDER, REFUSALS, REFUSED_FILE
from connections.models import Receipt, ReceiptLine
from connections.orders import receipt_actions, receipt_search
from connections.orders.actions import Outcome
from connections.views.acting import Kind, Offer, act
from connections.views.paging import (
    COUNTED,
    MATCHES_COUNTED,
    ROWS,
    Page,
    count_text,
    page_by_place,
    page_newest_first,
    place_after,
    search_of,
)
from stores.access import Action, MemberRequest, get_or_404, may, member_required
from stores.models import AuditEvent, User, Warehouse
from stores.models.tenant import TenantQuerySet

EVENTS_SHOWN = 50
State = Receipt.State
TONES = {
    State.NEW: "info",
    State.PROCESSING: "busy",
    State.READY: "wait",
    State.NOTIFYING: "busy",
    State.COMPLETED: "ok",
    State.ERROR: "bad",
}
RECEIPTS = Receipt.objects.select_related(
    "warehouse__merchant", "order__store", "order__connection"
).defer("order__document")


def _each(
    action: Callable[[Receipt, User], bool],
) -> Callable[[Iterable[Receipt], User], Outcome]:
    return partial(receipt_actions.each, action)


REPROCESS = Offer(
    "reprocess", gettext_lazy("Reprocess"), _each(receipt_actions.reprocess)
)
MORE = (
    Offer("reset", gettext_lazy("Reset"), _each(receipt_actions.reset)),
    Offer(
        "archive",
        gettext_lazy("Archive"),
        _each(receipt_actions.archive),
        gettext_lazy(
            "Its quantities do not count on the order any more. What Inventory Planner "
            "was told already stays there. Reprocess revives it."
        ),
    ),
)
KIND = Kind(
    "receipt",
    {offer.slug: offer for offer in (REPROCESS, *MORE)},
    lambda: Receipt.objects.all(),
    receipt_actions.why_not,
)


@dataclass(frozen=True)
class Row:
    """A receipt as the list shows it. `expected`: None where nobody noted it."""

    receipt: Receipt
    tone: str
    received: Decimal
    expected: Decimal | None


@require_safe
@member_required
def receipt_list(request: MemberRequest) -> HttpResponse:
    """A page of receipts, the newest first; of a search, by what matched."""
    typed, state = search_of(request), request.GET.get("state", "")
    if state not in State:
        state = ""
    visible = RECEIPTS.for_user(request.user)
    if typed:
        page, count, most = _found(request, visible, typed, state)
    else:
        found = visible.filter(state=state) if state else visible
        page = page_newest_first(found, request.GET.get("after", ""))
        most = COUNTED
        count = found.order_by()[: most + 1].count()
    may_manage = may(request.user, Action.MANAGE_CONNECTIONS)
    context = {
        "nav": "orders",
        "view": "receipts",
        "rows": _rows(for_reader(page.rows, may_manage=may_manage)),
        "page": page,
        "typed": typed,
        "state": state,
        "count": count,
        "count_text": count_text(count, most),
        "states": State.choices,
        "may_manage": may_manage,
        "more_actions": MORE,
    }
    return render(request, "orders/receipts.html", context)


@require_safe
@member_required
def receipt_page(request: MemberRequest, receipt: str) -> HttpResponse:
    """One receipt: its lines, its order, what became of it and what can be done."""
    row = get_or_404(RECEIPTS, request.user, receipt, Action.VIEW)
    may_manage = may(request.user, Action.MANAGE_CONNECTIONS)
    for_reader([row], may_manage=may_manage)
    barred = receipt_actions.why_not(row)
    context = {
        "nav": "orders",
        "receipt": row,
        "tone": TONES.get(State(row.state), "off"),
        "remedy": REFUSED_FILE if row.is_refused_file else NO_ORDER,
        "lines": list(row.lines.select_related("line").order_by("pk")),
        "decisions": AuditEvent.objects.filter(
            target_type=Receipt._meta.label_lower, target_id=str(row.public_id)
        )[:EVENTS_SHOWN],
        "may_manage": may_manage,
        "offers": [
            (offer, REFUSALS.get(barred.get(offer.slug, "")))
            for offer in (REPROCESS, *MORE)
        ],
    }
    return render(request, "orders/receipt.html", context)


@require_POST
@member_required
def receipt_act(request: MemberRequest) -> HttpResponse:
    """Do something with the chosen receipts."""
    return act(request, KIND)


def _found(
    request: MemberRequest,
    visible: TenantQuerySet[Receipt],
    typed: str,
    state: str,
) -> tuple[Page[Receipt], int, int]:
    """A page of what matches, how many there are, and how far they were counted."""
    warehouses = Warehouse.objects.for_user(request.user)
    search = receipt_search.search(
        typed, list(warehouses.values_list("pk", flat=True)), state=state
    )
    after, place = place_after(request, int, str, UUID)
    found = search.page(place, limit=ROWS + 1)
    known = visible.in_bulk([one.pk for one in found])
    places = {one.pk: (one.field, one.key) for one in found}
    page = page_by_place(
        [known[one.pk] for one in found if one.pk in known],
        after,
        lambda row: (*places[row.pk], row.public_id),
    )
    count = search.count(limit=MATCHES_COUNTED + 1)
    return page, count, MATCHES_COUNTED


def for_reader(receipts: Sequence[Receipt], *, may_manage: bool) -> Sequence[Receipt]:
    """Keep from merchants who of the 3PL's people entered something."""
    if not may_manage:
        for receipt in receipts:
            receipt.entered_by = ""  # on the page alone
    return receipts


def _rows(receipts: Sequence[Receipt]) -> list[Row]:
    lines = ReceiptLine.objects.filter(receipt__in=receipts).order_by()
    sums = {
        pk: (received, expected)
        for pk, received, expected in lines.values_list("receipt").annotate(
            Sum("quantity"), Sum("expected")
        )
    }
    return [
        Row(
            receipt,
            TONES.get(State(receipt.state), "off"),
            *sums.get(receipt.pk, (Decimal(0), None)),
        )
        for receipt in receipts
    ]
