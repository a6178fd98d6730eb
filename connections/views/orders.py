"""A purchase order's page; handing it out and receiving it by hand."""

from __future__ import annotations

import json
import secrets
from decimal import Decimal
from typing import Any

from django import forms
from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from connections.deliveries import bytes as file_bytes
from connections.messages import REFUSALS, explain
from connections.models import (
    Connection,
    Delivery,
    PurchaseOrder,
    PurchaseOrderLine,
)
from connections.orders import actions, hand_over, receipts
from connections.orders.standing import PERHAPS_SENT
from connections.problems import Problem
from connections.views.order_actions import REPROCESS, more_actions
from connections.views.order_status import order_status, tone_of
from connections.views.receipts import for_reader
from connections.warehouses.platforms import exchanges_files
from stores.access import Action, MemberRequest, get_or_404, may, member_required
from stores.models import AuditEvent

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
            name = line.sku or line.title
            wrong = _("Enter how much of %(sku)s has arrived, as a number.")
            self.fields[f"line_{line.pk}"] = forms.DecimalField(
                label=_("%(sku)s received now") % {"sku": name},
                error_messages=dict.fromkeys(
                    ("invalid", "min_value"), wrong % {"sku": name}
                ),
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
    """Lines with Received / Ordered, receipts, what happened, what can be done."""
    row = get_or_404(ORDERS, request.user, order, Action.VIEW)
    return _page(request, row, None)


@require_safe
@member_required
def order_document(request: MemberRequest, order: str) -> HttpResponse:
    """The platform's document as it came, for people who look for a fault."""
    row = get_or_404(ORDERS, request.user, order, Action.VIEW)
    text = json.dumps(row.document, indent=2, ensure_ascii=False)
    context = {"nav": "orders", "order": row, "text": text}
    return render(request, "orders/document.html", context)


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
    may_manage = may(request.user, Action.MANAGE_CONNECTIONS)
    by_hand = may_manage and _is_by_hand(order)
    sent = order.status != PurchaseOrder.Status.NEW
    if form is None and by_hand and sent and order.status in order.RECEIVING:
        form = ReceivedForm(initial={"token": secrets.token_hex(16)}, lines=lines)
    barred = actions.why_not(order) if may_manage else {}
    receipts_ = order.receipts.prefetch_related("lines__line")
    context = {
        "nav": "orders",
        "order": order,
        "tone": tone_of(order),
        "status": order_status(order),
        "lines": lines,
        "receipts": for_reader(list(receipts_[:EVENTS_SHOWN]), may_manage=may_manage),
        "files": list(_files(order)) if may_manage else [],
        "activities": order.activities.all()[:EVENTS_SHOWN],
        "decisions": AuditEvent.objects.filter(
            target_type=PurchaseOrder._meta.label_lower,
            target_id=str(order.public_id),
        )[:EVENTS_SHOWN],
        "may_manage": may_manage,
        "may_edit": may_manage and "edit" not in barred,
        "may_hand_out": by_hand and not order.is_held,
        "offers": [
            (offer, REFUSALS.get(barred.get(offer.slug, "")))
            for offer in (REPROCESS, *more_actions(request.user))
        ],
        "answers": _answers(request, order) if may_manage else {},
        "sent": sent,
        "form": form,
    }
    return render(request, "orders/page.html", context)


def _files(order: PurchaseOrder) -> QuerySet[Delivery]:
    """The files that handed it over, by this row or one before it; the newest first."""
    return Delivery.objects.filter(hand_overs__in=order.tombstones()).order_by("-pk")


def _answers(request: MemberRequest, order: PurchaseOrder) -> dict[str, Any]:
    """What an order on hold can be answered with."""
    if actions.has_no_route(order):
        connections = Connection.objects.for_user(request.user)
        of_store = connections.filter(store=order.store_id).select_related("warehouse")
        return {"connections": list(of_store)}
    if not order.is_held:
        return {}
    return {
        "may_release": order.held == PurchaseOrder.Held.OFF_PERIOD,
        "may_send": order.held in PERHAPS_SENT,
    }


def _is_by_hand(order: PurchaseOrder) -> bool:
    connection = order.connection
    return connection is not None and not exchanges_files(connection.warehouse)
