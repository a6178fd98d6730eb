"""A purchase order's page."""

from __future__ import annotations

from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from connections.models import PurchaseOrder
from stores.access import Action, MemberRequest, get_or_404, member_required

EVENTS_SHOWN = 50


@require_safe
@member_required
def order_page(request: MemberRequest, order: str) -> HttpResponse:
    """Lines with Received / Ordered, receipts, what happened."""
    row = get_or_404(
        PurchaseOrder.objects.select_related("store", "connection"),
        request.user,
        order,
        Action.VIEW,
    )
    context = {
        "nav": "connections",
        "order": row,
        "lines": list(row.lines.all()),
        "receipts": list(row.receipts.prefetch_related("lines")[:EVENTS_SHOWN]),
        "activities": row.activities.all()[:EVENTS_SHOWN],
    }
    return render(request, "orders/page.html", context)
