"""What is typed about a listing: its ids, and what a bundle is made of."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django import forms
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from connections.models import Listing
from connections.stock.listings import Row
from connections.stock.reports import SKU_LENGTH, text_of

# Blank lines below the filled ones; "More rows" adds as many again.
SPARE_COMPONENTS = 3
MOST_COMPONENTS = 100


class IdField(forms.CharField):
    """A SKU or an id: as typed, blanks around it aside."""

    def __init__(self, **more: Any) -> None:
        more.setdefault(
            "widget",
            forms.TextInput(attrs={"spellcheck": "false", "autocomplete": "off"}),
        )
        super().__init__(max_length=SKU_LENGTH, **more)

    def clean(self, value: Any) -> str:
        text = str(super().clean(value))
        try:
            return text_of("", text, SKU_LENGTH)
        except ValueError:
            raise forms.ValidationError(
                _("Take out the line break or the invisible character.")
            ) from None


class ListingForm(forms.Form):
    """A listing's ids and title."""

    sku = IdField(
        label=gettext_lazy("Warehouse SKU"),
        help_text=gettext_lazy(
            "As the warehouse reports it. Of a bundle: any name for it; its stock comes "
            "from the components below."
        ),
        error_messages={"required": gettext_lazy("Enter the warehouse SKU.")},
    )
    channel_sku = IdField(
        label=gettext_lazy("Listing SKU"),
        required=False,
        help_text=gettext_lazy("What the store calls it."),
    )
    variant_id = IdField(
        label=gettext_lazy("Variant id"),
        required=False,
        help_text=gettext_lazy(
            "Sent as VARIANT_ID. Give one only where the platform knows the product by "
            "another id than its SKU."
        ),
    )
    title = IdField(
        label=gettext_lazy("Title"),
        required=False,
        widget=forms.TextInput(),
        help_text=gettext_lazy("For people; it is not sent with stock."),
    )
    examples = {"sku": "SKU-00001", "channel_sku": "SHOP-TOWEL", "variant_id": "44012"}
    when_blank = {
        "channel_sku": gettext_lazy("the warehouse SKU, when blank"),
        "variant_id": gettext_lazy("the listing SKU, when blank"),
    }

    def clean(self) -> dict[str, Any]:
        """Fill in what a blank stands for."""
        typed = self.cleaned_data
        typed["channel_sku"] = typed.get("channel_sku") or typed.get("sku", "")
        typed["variant_id"] = typed.get("variant_id") or typed["channel_sku"]
        return typed


class ComponentForm(forms.Form):
    """So many of a SKU in one bundle; a blank line is none."""

    sku = IdField(label=gettext_lazy("Component SKU"), required=False)
    quantity = forms.DecimalField(
        label=gettext_lazy("Quantity"),
        required=False,
        min_value=Decimal("0.0001"),
        max_digits=12,
        decimal_places=4,
        error_messages={"min_value": gettext_lazy("Enter a quantity above zero.")},
    )
    when_blank = {"sku": "", "quantity": ""}

    def clean(self) -> dict[str, Any]:
        typed = self.cleaned_data
        if typed.get("sku") and typed.get("quantity") is None and not self.errors:
            self.add_error("quantity", _("Enter how many make one bundle."))
        if not typed.get("sku") and typed.get("quantity") and not self.errors:
            self.add_error("sku", _("Enter the component's SKU."))
        return typed


class BaseComponents(forms.BaseFormSet):  # type: ignore[type-arg]  # generic in stubs only
    """The components of a bundle, each SKU once."""

    def clean(self) -> None:
        seen: set[str] = set()
        for form in self.forms:
            sku = getattr(form, "cleaned_data", {}).get("sku")
            if not sku:
                continue
            if sku in seen:
                form.add_error("sku", _("This component stands above already."))
            seen.add(sku)


Components = forms.formset_factory(
    ComponentForm,
    formset=BaseComponents,
    extra=SPARE_COMPONENTS,
    max_num=MOST_COMPONENTS,
    absolute_max=MOST_COMPONENTS,
)


def typed_of(listing: Listing) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """What the two forms show of a listing; what a blank stands for is left blank."""
    channel_sku, variant_id = listing.channel_sku, listing.variant_id
    shown = {
        "sku": listing.sku,
        "channel_sku": "" if channel_sku == listing.sku else channel_sku,
        "variant_id": "" if variant_id == channel_sku else variant_id,
        "title": listing.title,
    }
    made_of = [
        {"sku": part.sku, "quantity": part.quantity.normalize()}
        for part in listing.components.all()
    ]
    return shown, made_of


def rows_of(typed: dict[str, Any], components: Any) -> list[Row]:
    """The listing as `listings.change` takes it."""
    ids = {name: typed[name] for name in ("variant_id", "sku", "channel_sku", "title")}
    parts = [part.cleaned_data for part in components if part.cleaned_data.get("sku")]
    return [
        Row(line, **ids, component=part["sku"], quantity=part["quantity"])
        for line, part in enumerate(parts, start=1)
    ] or [Row(1, **ids)]
