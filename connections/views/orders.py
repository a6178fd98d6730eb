"""A purchase order's page; handing it out and receiving it by hand."""

from __future__ import annotations

import secrets
from decimal import Decimal
from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from connections.deliveries import bytes as file_bytes
from connections.messages import explain
from connections.models import PurchaseOrder, PurchaseOrderLine
from connections.orders import hand_over, receipts
from connections.problems import Problem
from connections.warehouses.platforms import exchanges_files
from stores.access import Action, MemberRequest, get_or_404, may, member_required

EVENTS_SHOWN = 50
ORDERS = PurchaseOrder.objects.select_related("store", "connection__warehouse")


class ReceivedForm(forms.Form):
    """How much of each line has arrived now; blank means nothing."""

    token = forms.CharField(max_length=64, widget=forms.HiddenInput)

    def __init__(
        self, *args: Any, lines: list[PurchaseOrderLine], **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.lines = lines
        for line in lines:
            self.fields[f"line_{line.pk}"] = forms.DecimalField(
                label=_("%(sku)s received now") % {"sku": line.sku or line.title},
                required=False,
                min_value=Decimal(0),
                max_digits=15,
                decimal_places=4,
                initial=line.outstanding,
            )

    def received(self) -> dict[int, Decimal]:
        """Quantities above zero, by line."""
        typed = {line.pk: self.cleaned_data[f"line_{line.pk}"] for line in self.lines}
        return {pk: quantity for pk, quantity in typed.items() if quantity}


@require_safe
@member_required
def order_page(request: MemberRequest, order: str) -> HttpResponse:
    """Lines with Received / Ordered, receipts, what happened."""
    row = get_or_404(ORDERS, request.user, order, Action.VIEW)
    return _page(request, row, None)


@require_POST
@member_required
def order_file(request: MemberRequest, order: str) -> HttpResponse:
    """Hand the order of a manual warehouse out; once handed out, the same file again."""
    row = get_or_404(ORDERS, request.user, order, Action.MANAGE_CONNECTIONS)
    try:
        delivery = hand_over.hand_out(row, by=request.user)
    except Problem as problem:
        message = explain(problem.code)
        messages.error(request, f"{message.happened} {message.means} {message.do}")
        return redirect("connections:order", order=row.public_id)
    headers = {"Content-Disposition": f'attachment; filename="{delivery.name}"'}
    content = b"".join(file_bytes.read(delivery))
    return HttpResponse(
        content, content_type="text/csv; charset=utf-8", headers=headers
    )


@require_POST
@member_required
def order_receive(request: MemberRequest, order: str) -> HttpResponse:
    """Record what has arrived at a manual warehouse; a second click counts once."""
    row = get_or_404(ORDERS, request.user, order, Action.MANAGE_CONNECTIONS)
    form = ReceivedForm(request.POST, lines=list(row.lines.all()))
    if not _is_by_hand(row) or row.status == PurchaseOrder.Status.NEW:
        messages.error(request, _("Hand the order over first."))
    elif not form.is_valid():
        return _page(request, row, form)
    elif not form.received():
        form.add_error(None, _("Enter how much has arrived on at least one line."))
        return _page(request, row, form)
    elif receipts.enter(
        row, form.received(), token=form.cleaned_data["token"], by=request.user
    ):
        messages.success(request, _("The receipt was recorded."))
    else:
        messages.info(request, _("This receipt was recorded before."))
    return redirect("connections:order", order=row.public_id)


def _page(
    request: MemberRequest, order: PurchaseOrder, form: ReceivedForm | None
) -> HttpResponse:
    lines = list(order.lines.all())
    by_hand = may(request.user, Action.MANAGE_CONNECTIONS) and _is_by_hand(order)
    sent = order.status != PurchaseOrder.Status.NEW
    if form is None and by_hand and sent and order.status in order.RECEIVING:
        form = ReceivedForm(initial={"token": secrets.token_hex(16)}, lines=lines)
    context = {
        "nav": "connections",
        "order": order,
        "lines": lines,
        "receipts": list(order.receipts.prefetch_related("lines")[:EVENTS_SHOWN]),
        "activities": order.activities.all()[:EVENTS_SHOWN],
        "may_hand_out": by_hand and (sent or not order.held),
        "sent": sent,
        "form": form,
    }
    return render(request, "orders/page.html", context)


def _is_by_hand(order: PurchaseOrder) -> bool:
    connection = order.connection
    return connection is not None and not exchanges_files(connection.warehouse)
