"""The forms of the four steps (dropstream.md §2)."""

from __future__ import annotations

import uuid
from typing import Any, ClassVar

from django import forms
from django.utils.translation import gettext_lazy as _

from connections import platforms
from connections.warehouses import file_exchange
from connections.warehouses.platforms import WarehousePlatform
from stores.models import Merchant, Store, User, Warehouse
from stores.platforms import installed

EXISTING, NEW = "existing", "new"


# Generic in the stubs only; subscripting it fails when it runs.
class ByPublicId(forms.ModelChoiceField):  # type: ignore[type-arg]
    """A choice among rows of the person's account, by the id that URLs show."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, to_field_name="public_id", **kwargs)

    def to_python(self, value: Any) -> Any:
        """Anything but a UUID is simply not one of the choices."""
        try:
            uuid.UUID(str(value))
        except ValueError:
            if value in self.empty_values:
                return None
            raise forms.ValidationError(
                self.error_messages["invalid_choice"], code="invalid_choice"
            ) from None
        return super().to_python(value)


class StepForm(forms.Form):
    """What every step shares. `secrets`: fields that a page never shows again.

    `notices` and `warnings`: what to tell the person; neither stops them.
    """

    secrets: ClassVar[tuple[str, ...]] = ()
    # What an empty field means, where that is not simply "optional".
    when_blank: ClassVar[dict[str, str]] = {}

    # What each choice of the step asks for; the other choice's fields may stay empty.
    choice_field = "choice"
    asked_by: ClassVar[dict[str, tuple[str, ...]]] = {}

    def __init__(self, *args: Any, user: User, **kwargs: Any) -> None:
        self.user = user
        self.notices: list[str] = []
        self.warnings: list[str] = []
        super().__init__(*args, **kwargs)
        chosen = (
            self.data.get(self.add_prefix(self.choice_field)) if self.is_bound else None
        )
        for choice, names in self.asked_by.items():
            for name in names:
                self.fields[name].required = chosen in (None, choice)
                # Not asked now is not the same as optional.
                self.fields[name].of_choice = True  # type: ignore[attr-defined]

    def reviewed(self) -> list[str]:
        """The fields that the answers given so far ask for, in their order."""
        return list(self.fields)


class BasicForm(StepForm):
    name = forms.CharField(
        label=_("Connection Name"),
        max_length=200,
        error_messages={"required": _("Enter a name for the connection.")},
        help_text=_("Short and recognisable: everyone sees it in the list."),
    )
    examples: ClassVar[dict[str, str]] = {
        "name": "Northwind — Inventory Planner → Reno 3PL"
    }


class MerchantForm(StepForm):
    """An existing merchant, or a new one's company information."""

    choice = forms.ChoiceField(
        label=_("Whose stock is it?"),
        choices=[
            (EXISTING, _("Use existing merchant")),
            (NEW, _("Create new merchant")),
        ],
        widget=forms.RadioSelect,
        initial=NEW,
    )
    merchant = ByPublicId(
        label=_("Merchant"),
        queryset=Merchant.objects.none(),
        empty_label=_("Choose a merchant"),
        widget=forms.Select(attrs={"data-narrow": _("Search merchants")}),
        error_messages={"required": _("Choose a merchant.")},
        help_text=_("Its warehouse is used again; the next step only confirms it."),
    )
    company_name = forms.CharField(
        label=_("Company name"),
        max_length=200,
        error_messages={"required": _("Enter the company's name.")},
    )
    street = forms.CharField(label=_("Street"), max_length=200, required=False)
    city = forms.CharField(label=_("City"), max_length=100, required=False)
    state = forms.CharField(label=_("State or region"), max_length=100, required=False)
    zipcode = forms.CharField(label=_("Postal code"), max_length=20, required=False)
    country = forms.CharField(label=_("Country"), max_length=100, required=False)

    examples: ClassVar[dict[str, str]] = {"company_name": "Northwind Traders"}
    asked_by: ClassVar[dict[str, tuple[str, ...]]] = {
        EXISTING: ("merchant",),
        NEW: ("company_name",),
    }
    address = ("street", "city", "state", "zipcode", "country")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        merchants = Merchant.objects.for_user(self.user)
        self.fields["merchant"].queryset = merchants  # type: ignore[attr-defined]
        if not merchants.exists():
            self.fields["choice"].choices = [  # type: ignore[attr-defined]
                (NEW, _("Create new merchant"))
            ]

    def reviewed(self) -> list[str]:
        if self["choice"].value() == EXISTING:
            return ["merchant"]
        return ["company_name", *self.address]


class WarehouseForm(StepForm):
    """Confirm the merchant's warehouse, or enter a new one's connection string."""

    warehouse = ByPublicId(
        label=_("Warehouse"),
        queryset=Warehouse.objects.none(),
        empty_label=None,
    )
    description = forms.CharField(
        label=_("Warehouse name"),
        max_length=200,
        error_messages={"required": _("Enter a name for the warehouse.")},
    )
    code = forms.CharField(
        label=_("Warehouse code"),
        max_length=50,
        initial="WH1",
        error_messages={"required": _("Enter the warehouse's code.")},
        help_text=_(
            "Sent as WAREHOUSE_ID to Inventory Planner; it must be known there."
        ),
    )
    platform = forms.ChoiceField(
        label=_("How do you exchange with it?"),
        choices=WarehousePlatform.choices,
        initial=WarehousePlatform.FILE_EXCHANGE,
        widget=forms.RadioSelect,
    )
    connection_string = forms.CharField(
        label=_("SFTP connection string"),
        max_length=1000,
        error_messages={"required": _("Enter the connection string.")},
        widget=forms.PasswordInput(
            attrs={"autocomplete": "off", "spellcheck": "false"}, render_value=False
        ),
        help_text=_(
            "From the warehouse: its log-in for file exchange, with the folders /in "
            "and /out. In user name and password, write @ as %40, : as %3A, / as %2F."
        ),
    )

    choice_field = "platform"
    asked_by: ClassVar[dict[str, tuple[str, ...]]] = {
        WarehousePlatform.FILE_EXCHANGE: ("connection_string",)
    }
    secrets: ClassVar[tuple[str, ...]] = ("connection_string",)
    examples: ClassVar[dict[str, str]] = {
        "description": "Reno 3PL",
        "code": "WH1",
        "connection_string": file_exchange.EXAMPLE,
    }

    def __init__(
        self, *args: Any, merchant: Merchant | None = None, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.merchant = merchant
        warehouses = Warehouse.objects.none()
        if merchant is not None:
            warehouses = Warehouse.objects.for_user(self.user).filter(merchant=merchant)
        self.existing = list(warehouses)
        if self.existing:
            for name in ("description", "code", "platform", "connection_string"):
                del self.fields[name]
            picker = self.fields["warehouse"]
            picker.queryset = warehouses  # type: ignore[attr-defined]
            picker.initial = self.existing[0].public_id
            if len(self.existing) == 1:
                picker.widget = forms.HiddenInput()
        else:
            del self.fields["warehouse"]

    def reviewed(self) -> list[str]:
        if self.existing:
            return ["warehouse"]
        asked = ["description", "code", "platform"]
        if self["platform"].value() == WarehousePlatform.FILE_EXCHANGE:
            asked.append("connection_string")
        return asked

    def clean_connection_string(self) -> file_exchange.ConnectionString | None:
        if not self.fields["connection_string"].required:
            return None  # of the other choice
        try:
            string = file_exchange.parse(self.cleaned_data["connection_string"])
        except ValueError as error:
            raise forms.ValidationError(str(error)) from None
        self.warnings += file_exchange.shared_log_in(string, self.merchant, self.user)
        return string


class StoreForm(StepForm):
    """Name and platform; `store_form` adds the platform's own fields."""

    choice = forms.ChoiceField(
        label=_("Which store?"),
        choices=[(NEW, _("Create new store"))],
        widget=forms.RadioSelect,
        initial=NEW,
    )
    store = ByPublicId(
        label=_("Store"),
        queryset=Store.objects.none(),
        empty_label=_("Choose a store"),
        widget=forms.Select(attrs={"data-narrow": _("Search stores")}),
        error_messages={"required": _("Choose a store.")},
    )
    name = forms.CharField(
        label=_("Name"),
        max_length=200,
        error_messages={"required": _("Enter a name for the store.")},
    )
    platform = forms.ChoiceField(
        label=_("Platform"),
        error_messages={"required": _("Choose the store's platform.")},
    )

    examples: ClassVar[dict[str, str]] = {"name": "Northwind on Inventory Planner"}
    asked_by: ClassVar[dict[str, tuple[str, ...]]] = {
        EXISTING: ("store",),
        NEW: ("name", "platform"),
    }
    own_fields = ("choice", "store", "name", "platform")

    def __init__(
        self, *args: Any, merchant: Merchant | None = None, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        stores = Store.objects.none()
        if merchant is not None:
            stores = Store.objects.for_user(self.user).filter(merchant=merchant)
        self.fields["store"].queryset = stores  # type: ignore[attr-defined]
        if stores.exists():
            self.fields["choice"].choices = [  # type: ignore[attr-defined]
                (NEW, _("Create new store")),
                (EXISTING, _("Use existing store")),
            ]
        self.fields["platform"].choices = [  # type: ignore[attr-defined]
            ("", _("Choose a platform")),
            *((platform.slug, platform.label) for platform in installed()),
        ]
        self.order_fields(self.own_fields)

    def reviewed(self) -> list[str]:
        if self["choice"].value() == EXISTING:
            return ["store"]
        asked_later = {
            name
            for _title, names in getattr(self, "store_sections", ())
            for name in names
        }
        return [
            name
            for name in self.fields
            if name not in ("choice", "store") and name not in asked_later
        ]


def store_form(slug: str) -> type[StoreForm]:
    """The step's form with the fields and rules of a platform; "" for none yet."""
    try:
        platform = platforms.of_slug(slug)
    except KeyError:
        return StoreForm
    form_class = platform.form_class
    examples = StoreForm.examples | getattr(form_class, "examples", {})
    return type(
        f"{form_class.__name__}Step",
        (StoreForm, form_class),
        {
            "examples": examples,
            "secrets": getattr(form_class, "secrets", ()),
            "when_blank": getattr(form_class, "when_blank", {}),
        },
    )
