"""Correct an order by hand before the warehouse knows it."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods

from connections.messages import REFUSALS
from connections.models import PurchaseOrder, PurchaseOrderLine
from connections.orders import actions, editing
from stores.access import Action, MemberRequest, get_or_404, member_required


class OrderForm(forms.Form):
    """The header, and the fields of each line under its own prefix."""

    reference = forms.CharField(
        label=gettext_lazy("PO number"), max_length=256, required=False
    )
    vendor = forms.CharField(
        label=gettext_lazy("Vendor"), max_length=256, required=False
    )
    expected_on = forms.DateField(
        label=gettext_lazy("Due date"),
        required=False,
        widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
        error_messages={"invalid": gettext_lazy("Enter the due date as a date.")},
    )

    def header(self) -> editing.Header:
        """What was typed."""
        return editing.Header(**self.cleaned_data)


class LineForm(forms.Form):
    """One line; one that is left out is not handed over."""

    sku = forms.CharField(
        label=gettext_lazy("SKU"),
        max_length=256,
        error_messages={
            "required": gettext_lazy("Enter the SKU, or leave the line out.")
        },
    )
    title = forms.CharField(label=gettext_lazy("Title"), max_length=256, required=False)
    quantity = forms.DecimalField(
        label=gettext_lazy("Quantity"),
        min_value=Decimal("0.0001"),
        max_digits=15,
        decimal_places=4,
        error_messages={
            "required": gettext_lazy("Enter the quantity, or leave the line out."),
            "min_value": gettext_lazy("Enter a quantity above zero."),
        },
    )
    left_out = forms.BooleanField(label=gettext_lazy("Leave out"), required=False)

    def full_clean(self) -> None:
        super().full_clean()
        if self.is_bound and self.cleaned_data.get("left_out"):
            self.errors.clear()  # nobody minds what it said

    def line(self) -> editing.Line | None:
        """What was typed; None for a line that is left out."""
        typed = dict(self.cleaned_data)
        return None if typed.pop("left_out") else editing.Line(**typed)


@require_http_methods(["GET", "HEAD", "POST"])
@member_required
def order_edit(request: MemberRequest, order: str) -> HttpResponse:
    """Show and take the form; what was typed stays until it is saved."""
    rows = PurchaseOrder.objects.select_related("store", "connection")
    row = get_or_404(rows, request.user, order, Action.MANAGE_CONNECTIONS)
    page = redirect("connections:order", order=row.public_id)
    if refusal := actions.why_not(row).get("edit"):
        messages.info(request, str(REFUSALS[refusal]))
        return page
    sent = request.POST if request.method == "POST" else None
    form = OrderForm(sent, initial=vars(_header_of(row)))
    lines = [
        (line, LineForm(sent, initial=_typed_of(line), prefix=f"line-{line.pk}"))
        for line in row.lines.all()
    ]
    # All are looked at: everything that is wrong is said at once.
    valid = [form.is_valid(), *(line_form.is_valid() for _line, line_form in lines)]
    if all(valid):
        wanted = {line.pk: line_form.line() for line, line_form in lines}
        if lines and not any(wanted.values()):
            form.add_error(None, _("At least one line has to stay."))
        else:
            _save(request, row, form, wanted)
            return page
    context = {
        "nav": "orders",
        "order": row,
        "form": form,
        "lines": [line_form for _line, line_form in lines],
        "errors": _errors([line_form for _line, line_form in lines]),
        "has_errors": sent is not None,
    }
    return render(request, "orders/edit.html", context)


def _save(
    request: MemberRequest,
    order: PurchaseOrder,
    form: OrderForm,
    lines: dict[int, editing.Line | None],
) -> None:
    try:
        if editing.edit(order, form.header(), lines, by=request.user):
            messages.success(request, _("The order was changed."))
        else:
            messages.info(request, _("Nothing was changed."))
    except actions.RefusedError as refusal:
        messages.warning(request, str(REFUSALS[refusal.code]))


def _header_of(order: PurchaseOrder) -> editing.Header:
    return editing.Header(order.reference, order.vendor, order.expected_on)


def _typed_of(line: PurchaseOrderLine) -> dict[str, Any]:
    quantity = f"{line.quantity.normalize():f}"
    return {"sku": line.sku, "title": line.title, "quantity": quantity}


def _errors(lines: list[LineForm]) -> list[dict[str, str]]:
    """For the summary: what is wrong in the lines, each with its place."""
    return [
        {
            "text": _("Line %(number)d: %(error)s")
            % {"number": number, "error": error},
            "href": f"#{field.id_for_label}",
        }
        for number, form in enumerate(lines, start=1)
        for field in form
        for error in field.errors
    ]
