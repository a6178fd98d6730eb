"""Which of the store platform's warehouses a connection serves, as its page asks."""

from __future__ import annotations

from typing import Any

from django import forms
from django.db.models import Max
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from connections.models import Connection, PurchaseOrder
from connections.views.listing_forms import IdField

# The datalist of the warehouses that the store's orders are known to name.
SUGGESTIONS = "warehouses-seen"
SUGGESTED_MOST = 50


class ServedForm(forms.Form):
    """The platform's id of the warehouse whose orders come to a connection."""

    remote_warehouse = IdField(
        label=gettext_lazy("Warehouse in Inventory Planner"),
        required=False,
        widget=forms.TextInput(
            attrs={"spellcheck": "false", "autocomplete": "off", "list": SUGGESTIONS}
        ),
        help_text=gettext_lazy(
            "The id that purchase orders name; those seen so far are suggested. New "
            "orders for this warehouse come to this connection, also those that wait "
            "for a warehouse by now. Orders that have a connection keep it."
        ),
    )
    examples = {"remote_warehouse": "c501_WH1"}
    when_blank = {
        "remote_warehouse": gettext_lazy(
            "blank: every order, as long as the store has no other connection"
        )
    }

    def __init__(self, data: Any = None, *, connection: Connection) -> None:
        initial = {"remote_warehouse": connection.remote_warehouse}
        super().__init__(data, initial=initial)
        self.connection = connection

    def clean_remote_warehouse(self) -> str:
        wanted: str = self.cleaned_data["remote_warehouse"]
        others = Connection.objects.filter(store=self.connection.store_id)
        taken = others.exclude(pk=self.connection.pk).filter(remote_warehouse=wanted)
        if wanted and (by := taken.first()):
            raise forms.ValidationError(
                _("“%(name)s” takes the orders for this warehouse already.")
                % {"name": by}
            )
        return wanted

    def seen(self) -> list[PurchaseOrder]:
        """The newest order of each warehouse that the store's orders name."""
        orders = PurchaseOrder.objects.filter(store=self.connection.store_id)
        named = orders.exclude(remote_warehouse="").order_by("remote_warehouse")
        newest = named.values("remote_warehouse").annotate(newest=Max("pk"))
        pks = [one["newest"] for one in newest[:SUGGESTED_MOST]]
        return list(orders.filter(pk__in=pks).order_by("remote_warehouse"))
