"""Which facility of the warehouse is which location of the store platform."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods, require_POST

from connections.models import Connection
from connections.stock import locations
from connections.stock.locations import LocationTakenError
from connections.views.listing_forms import IdField
from connections.views.paging import uuid_of
from stores.access import Action, MemberRequest, get_or_404, member_required


class FacilityField(forms.ChoiceField):
    """One of the facilities that the warehouse reports."""

    def __init__(self, facilities: list[str]) -> None:
        super().__init__(
            label=gettext_lazy("Warehouse facility"),
            choices=[(name, name or _("(no facility named)")) for name in facilities],
            required="" not in facilities,
            error_messages={
                "required": gettext_lazy("Choose the warehouse's facility."),
                "invalid_choice": gettext_lazy("Choose one of the facilities."),
            },
        )


class LinkForm(forms.Form):
    """A facility and the location that its stock counts at."""

    location_id = IdField(
        label=gettext_lazy("Store location"),
        help_text=gettext_lazy("Sent as WAREHOUSE_ID: the id that the platform has."),
        error_messages={"required": gettext_lazy("Enter the location's id.")},
    )
    examples = {"location_id": "reno-1"}
    field_order = ("facility", "location_id")

    def __init__(self, *args: Any, facilities: list[str], **more: Any) -> None:
        super().__init__(*args, **more)
        self.fields["facility"] = FacilityField(facilities)
        self.order_fields(self.field_order)


@require_http_methods(["GET", "HEAD", "POST"])
@member_required
def location_list(request: MemberRequest, connection: str) -> HttpResponse:
    """The connection's links; POST adds one, or changes a facility's."""
    row = _connection(request, connection)
    links = list(row.locations.filter(retired_at__isnull=True))
    linked = {link.facility for link in links}
    reported = locations.facilities([row.warehouse_id])
    free = [name for name in reported if name not in linked]
    editing = next(
        (one for one in links if one.public_id == uuid_of(request.GET.get("edit", ""))),
        None,
    )
    choices = [editing.facility] if editing else free
    initial = {"location_id": editing.location_id} if editing else {}
    form = LinkForm(request.POST or None, initial=initial, facilities=choices)
    if request.method == "POST" and form.is_valid() and _link(request, row, form):
        return redirect("connections:location_list", connection=row.public_id)
    context = {
        "nav": "connections",
        "connection": row,
        "links": links,
        "editing": editing,
        "form": form if choices else None,
        "reported": reported,
    }
    return render(request, "connections/locations.html", context)


@require_POST
@member_required
def location_remove(
    request: MemberRequest, connection: str, location: str
) -> HttpResponse:
    """Remove a link; neither the facility nor the location is deleted."""
    row = _connection(request, connection)
    link = row.locations.filter(public_id=location).first()
    if link is None:
        raise Http404
    locations.unlink(link, by=request.user)
    messages.success(
        request,
        _("The link was removed. That stock counts at %(code)s again.")
        % {"code": row.warehouse.code},
    )
    return redirect("connections:location_list", connection=row.public_id)


def _connection(request: MemberRequest, connection: str) -> Connection:
    rows = Connection.objects.select_related("warehouse", "store", "merchant")
    return get_or_404(rows, request.user, connection, Action.MANAGE_CONNECTIONS)


def _link(request: MemberRequest, connection: Connection, form: LinkForm) -> bool:
    facility, location_id = (
        form.cleaned_data["facility"],
        form.cleaned_data["location_id"],
    )
    try:
        locations.link(connection, facility, location_id, by=request.user)
    except LocationTakenError as taken:
        form.add_error("location_id", str(taken))
        return False
    messages.success(
        request,
        _(
            "Stock of %(facility)s counts at %(location)s. It goes out with the next update."
        )
        % {
            "facility": facility or _("no facility"),
            "location": location_id,
        },
    )
    return True
