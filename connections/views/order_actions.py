"""What can be done with purchase orders, and the answers to what they ask."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods, require_POST

from connections.messages import Text
from connections.models import Connection, PurchaseOrder
from connections.orders import actions
from connections.orders.actions import Outcome
from connections.orders.standing import PERHAPS_SENT
from connections.views.acting import Kind, Offer, act, say
from connections.views.paging import uuid_of
from stores.access import Action, MemberRequest, get_or_404, member_required
from stores.models import User


def _each(action: actions.Action) -> Callable[[Iterable[PurchaseOrder], User], Outcome]:
    return partial(actions.each, action)


REPROCESS = Offer("reprocess", gettext_lazy("Reprocess"), _each(actions.reprocess))
RESET = Offer(
    "reset",
    gettext_lazy("Reset"),
    _each(actions.reset),
    gettext_lazy(
        "All that DropStream did and all that was edited here is undone, as if it had "
        "just been imported. What was sent to a warehouse asks before it is sent again."
    ),
)
ARCHIVE = Offer("archive", gettext_lazy("Archive"), _each(actions.archive))
DELETE = Offer(
    "delete",
    gettext_lazy("Delete"),
    _each(actions.delete),
    gettext_lazy(
        "Removed here for good. Inventory Planner keeps its orders: the next import brings "
        "back what still matches. To stop an order for good, archive it instead. "
        "What was sent to a warehouse asks before it is sent again."
    ),
)
FORCE_DELETE = Offer(
    "force-delete",
    gettext_lazy("Force Delete"),
    _each(actions.force_delete),
    gettext_lazy(
        "Removed here for good, although the warehouse has it; the warehouse is told "
        "nothing. Inventory Planner keeps its orders: what the next import brings back "
        "asks before it is sent again."
    ),
    needs=Action.DELETE,
)
RELEASE = Offer("import-anyway", gettext_lazy("Import anyway"), _each(actions.release))

OFFERS = {
    offer.slug: offer
    for offer in (REPROCESS, RESET, ARCHIVE, DELETE, FORCE_DELETE, RELEASE)
}
MORE = (RESET, ARCHIVE, DELETE, FORCE_DELETE)


def more_actions(user: User) -> list[Offer]:
    """What stands under More Actions for this person."""
    return [offer for offer in MORE if offer.may(user)]


ORDERS = Kind(
    "order",
    OFFERS,
    lambda: PurchaseOrder.objects.defer("document"),
    actions.why_not,
)


@require_POST
@member_required
def order_act(request: MemberRequest) -> HttpResponse:
    """Do something with the chosen orders."""
    return act(request, ORDERS)


class SendAgainForm(forms.Form):
    """The PO number, typed: nobody sends an order twice by a slip of the mouse."""

    number = forms.CharField(
        label=gettext_lazy("PO number"),
        max_length=256,
        error_messages={"required": gettext_lazy("Type the PO number to confirm.")},
    )

    def __init__(self, *args: Any, order: PurchaseOrder) -> None:
        super().__init__(*args)
        self.order = order

    def clean_number(self) -> str:
        typed: str = self.cleaned_data["number"].strip()
        if typed != str(self.order):
            raise forms.ValidationError(_("This is not this order's PO number."))
        return typed


@require_http_methods(["GET", "HEAD", "POST"])
@member_required
def order_send(request: MemberRequest, order: str) -> HttpResponse:
    """Was sent, or perhaps: send it again (typed), or keep it as sent (`go=keep`)."""
    rows = PurchaseOrder.objects.select_related("store", "connection")
    row = get_or_404(rows, request.user, order, Action.MANAGE_CONNECTIONS)
    page = redirect("connections:order", order=row.public_id)
    if not row.is_held or row.held not in PERHAPS_SENT:
        messages.info(request, _("This order does not wait for this answer."))
        return page
    if request.POST.get("go") == "keep":
        _do(request, row, gettext_lazy("Keep as sent"), actions.keep_as_sent)
        return page
    sent = (request.POST,) if request.method == "POST" else ()
    form = SendAgainForm(*sent, order=row)
    if form.is_valid():
        _do(request, row, gettext_lazy("Send again"), actions.send_again)
        return page
    context = {
        "nav": "orders",
        "order": row,
        "form": form,
        "last": row.tombstones().order_by("-pk").first(),
    }
    return render(request, "orders/send.html", context)


@require_POST
@member_required
def order_route(request: MemberRequest, order: str) -> HttpResponse:
    """Choose the connection of an order that matched none."""
    row = get_or_404(
        PurchaseOrder.objects.all(), request.user, order, Action.MANAGE_CONNECTIONS
    )
    connections = Connection.objects.for_user(request.user).filter(store=row.store_id)
    chosen = uuid_of(request.POST.get("connection", ""))
    to = connections.filter(public_id=chosen).first()
    if to is None:
        messages.info(request, _("Choose a warehouse."))
    else:
        route = partial(_route, to=to)
        _do(request, row, gettext_lazy("Choose a warehouse"), route)
    return redirect("connections:order", order=row.public_id)


def _route(order: PurchaseOrder, by: User, *, to: Connection) -> bool:
    return actions.choose_warehouse(order, to, by)


def _do(
    request: MemberRequest, order: PurchaseOrder, label: Text, do: actions.Action
) -> None:
    say(request, label, actions.each(do, [order], request.user))
