"""The fields of a store on Inventory Planner (dropstream.md §7, the table)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import time
from typing import Any
from zoneinfo import available_timezones

from django import forms
from django.conf import settings
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from inventory_planner import paste
from inventory_planner.models import InventoryPlannerSettings
from inventory_planner.order_documents import normalise_status, same_status
from stores.models import Store

ENDPOINT_EXAMPLE = "s-abc123.server.transfer.us-east-1.amazonaws.com"
# The datalist of statuses that the last Test connection saw, where there is one.
SUGGESTIONS = "statuses-seen"
ENDPOINT_ERRORS = {
    "scheme": _("This is not an SFTP endpoint. It reads like {example}."),
    "password": _(
        "Leave the password out: Inventory Planner knows this store by its public key."
    ),
    "host": _("This is not a host name. It reads like {example}."),
    "port": _("The port after the host name is not a number up to 65535."),
}


def zones() -> list[tuple[str, Any]]:
    """The time zones that the system knows; blank is the account's own."""
    names = sorted(available_timezones() - {"localtime", "Factory"})
    return [("", _("The same as your account's")), *zip(names, names, strict=True)]


# A status that reads as if the order were over; its kind cannot be asked for (§3.4).
CLOSED_LOOKING = re.compile(r"clos|cancel|complete|done|finish|received")


def doubts(answers: Mapping[str, Any]) -> list[str]:
    """Say what the purchase-order settings would do that few people want (§3.6)."""
    status = str(answers.get("acknowledgement_status") or "").strip()
    wanted = str(answers.get("import_status_filter") or "").strip()
    on_import = InventoryPlannerSettings.AcknowledgeWhen.IMPORTED
    found = []
    if status and same_status(status, wanted):
        found.append(
            gettext(
                "Import Status Filter and Acknowledgement Status are the same: "
                "an order that was acknowledged still looks like one to import. It is "
                "not imported twice."
            )
        )
    closes = CLOSED_LOOKING.search(normalise_status(status))
    if closes and answers.get("acknowledge_when") == on_import:
        found.append(
            gettext(
                "“%(status)s” is set as soon as an order is imported. Inventory "
                "Planner then takes the goods for received and may advise buying them "
                "again."
            )
            % {"status": status}
        )
    return found


class InventoryPlannerForm(forms.Form):
    """Credentials and purchase-order settings; the public key is shown, never read.

    `notices` says what was changed in what was pasted, `warnings` what few people want.
    """

    api_key = forms.CharField(
        label=_("API Key"),
        max_length=500,
        required=False,
        widget=forms.PasswordInput(
            attrs={"autocomplete": "off", "spellcheck": "false"}, render_value=False
        ),
        help_text=_(
            "The Inventory Planner API key, from Account → Settings → API → Generate "
            "key. Keys work only for users with full access."
        ),
    )
    ip_account = forms.CharField(
        label=_("Account ID"),
        max_length=500,
        required=False,
        help_text=_(
            "The a= value in the Inventory Planner URL; you may paste the whole URL."
        ),
    )
    sftp_endpoint = forms.CharField(
        label=_("SFTP Endpoint"),
        max_length=500,
        required=False,
        help_text=_(
            "Inventory Planner generates it for the Advanced CSV connection, once the "
            "public key above is registered there."
        ),
    )
    sftp_username = forms.CharField(
        label=_("SFTP username"),
        max_length=100,
        required=False,
        help_text=_(
            "Only if Inventory Planner gave you one. Otherwise the Account ID is used."
        ),
    )
    import_status_filter = forms.CharField(
        label=_("Import Status Filter"),
        max_length=256,
        required=False,
        widget=forms.TextInput(attrs={"list": SUGGESTIONS}),
        help_text=_(
            "Only purchase orders in this Inventory Planner status are imported."
        ),
    )
    acknowledgement_status = forms.CharField(
        label=_("Acknowledgement Status"),
        max_length=256,
        required=False,
        widget=forms.TextInput(attrs={"list": SUGGESTIONS}),
        help_text=_(
            "The status that DropStream sets on the purchase order in Inventory "
            "Planner once it is received."
        ),
    )
    acknowledge_when = forms.ChoiceField(
        label=_("Set it when the order is"),
        choices=InventoryPlannerSettings.AcknowledgeWhen.choices,
        initial=InventoryPlannerSettings.AcknowledgeWhen.RECEIVED,
    )
    send_received_quantities = forms.ChoiceField(
        label=_("Send received quantities to Inventory Planner"),
        choices=InventoryPlannerSettings.SendQuantities.choices,
        initial=InventoryPlannerSettings.SendQuantities.WITH_STATUS,
        help_text=_("Writes how much arrived on each line, before the status."),
    )
    other_kinds = forms.ChoiceField(
        label=_("Transfers and assembly orders"),
        required=False,
        choices=InventoryPlannerSettings.OtherKinds.choices,
        initial=InventoryPlannerSettings.OtherKinds.LEFT_OUT,
        help_text=_(
            "Inventory Planner keeps them in one list with the purchase orders."
        ),
    )
    repeat_stock = forms.ChoiceField(
        label=_("Send unchanged stock again"),
        required=False,
        choices=InventoryPlannerSettings.RepeatStock.choices,
        initial=InventoryPlannerSettings.RepeatStock.EACH,
        help_text=_(
            "Heals what was changed or lost in Inventory Planner. It goes with the "
            "inventory updates."
        ),
    )
    master_data = forms.ChoiceField(
        label=_("Warehouses, vendors and variants"),
        required=False,
        choices=InventoryPlannerSettings.MasterData.choices,
        initial=InventoryPlannerSettings.MasterData.KEPT,
        help_text=_("Inventory Planner drops the stock of what it does not know."),
    )
    vendor_currency = forms.CharField(
        label=_("Currency of the placeholder vendor"),
        required=False,
        max_length=3,
        help_text=_(
            "Inventory Planner needs at least one vendor; DropStream knows of none and "
            "sends a placeholder in this currency."
        ),
    )
    sync_at = forms.TimeField(
        label=_("Nightly sync at"),
        required=False,
        initial=InventoryPlannerSettings.NIGHTLY,
        widget=forms.TimeInput(format="%H:%M", attrs={"type": "time"}),
        help_text=_(
            "When Inventory Planner reads the uploaded files; two in the night unless "
            "its support has moved it. They must be there an hour before."
        ),
    )
    sync_zone = forms.ChoiceField(
        label=_("Time zone of its account"),
        required=False,
        choices=zones,
        help_text=_("The one that is set in Inventory Planner."),
    )
    intake_check = forms.ChoiceField(
        label=_("Check what it has taken in"),
        required=False,
        choices=InventoryPlannerSettings.IntakeCheck.choices,
        initial=InventoryPlannerSettings.IntakeCheck.AFTER_SYNC,
        help_text=_(
            "A few of the uploaded variants are looked up by API. Choose Never when "
            "stock from elsewhere is added to them there."
        ),
    )

    examples = {
        "api_key": "a1b2c3d4e5…",
        "ip_account": "123456",
        "sftp_endpoint": ENDPOINT_EXAMPLE,
        "import_status_filter": "ORDERED",
        "acknowledgement_status": "CLOSED",
        "vendor_currency": "EUR",
    }
    when_blank = {
        "api_key": _("needed before orders flow"),
        "ip_account": _("needed before orders flow"),
        "sftp_endpoint": _("may come later; stock waits for it"),
        "import_status_filter": _("blank imports every order"),
        "acknowledgement_status": _("blank sets nothing"),
        "vendor_currency": _("needed before master data is sent"),
    }
    secrets = ("api_key",)
    sections = (
        (_("Credentials"), ("api_key", "ip_account", "sftp_endpoint", "sftp_username")),
        (
            _("Purchase Order Settings"),
            (
                "import_status_filter",
                "acknowledgement_status",
                "acknowledge_when",
                "send_received_quantities",
            ),
        ),
    )

    # What has a safe value, and is changed on the store's page when it has to be.
    store_sections = (
        (_("What else is imported"), ("other_kinds",)),
        (
            _("Stock Settings"),
            ("repeat_stock", "master_data", "vendor_currency"),
        ),
        (
            _("Inventory Planner's nightly sync"),
            ("sync_at", "sync_zone", "intake_check"),
        ),
    )

    def __init__(self, *args: Any, store: Store | None = None, **kwargs: Any) -> None:
        self.notices: list[str] = []
        self.warnings: list[str] = []
        super().__init__(*args, **kwargs)
        self.store = store

    def clean_api_key(self) -> str:
        """Trim, and refuse what no HTTP header can carry (security.md F6)."""
        typed = self.cleaned_data["api_key"].strip()
        key = paste.tidy(typed)
        # Two lines are two pastes or half of something else: not glued together.
        if not key.isascii() or " " in key or len(typed.split()) > 1:
            raise forms.ValidationError(
                _(
                    "An API key is one run of letters and digits. Copy it again from "
                    "Account → Settings → API in Inventory Planner."
                )
            )
        if key != typed:
            self.notices.append(
                gettext("Characters that nobody sees were taken out of the API Key.")
            )
        return key

    def clean_sync_at(self) -> time:
        return self.cleaned_data["sync_at"] or InventoryPlannerSettings.NIGHTLY

    def clean_master_data(self) -> str:
        chosen = self.cleaned_data["master_data"]
        return chosen or InventoryPlannerSettings.MasterData.KEPT

    def clean_vendor_currency(self) -> str:
        currency: str = self.cleaned_data["vendor_currency"].strip().upper()
        if currency and not re.fullmatch("[A-Z]{3}", currency):
            raise forms.ValidationError(
                _("A currency is three letters, for example EUR.")
            )
        first = InventoryPlannerSettings.MasterData.FIRST
        if not currency and self.cleaned_data.get("master_data") == first:
            raise forms.ValidationError(
                _("Enter the currency: master data cannot be sent without a vendor.")
            )
        return currency

    def clean_other_kinds(self) -> str:
        chosen = self.cleaned_data["other_kinds"]
        return chosen or InventoryPlannerSettings.OtherKinds.LEFT_OUT

    def clean_repeat_stock(self) -> str:
        chosen = self.cleaned_data["repeat_stock"]
        return chosen or InventoryPlannerSettings.RepeatStock.EACH

    def clean_intake_check(self) -> str:
        chosen = self.cleaned_data["intake_check"]
        return chosen or InventoryPlannerSettings.IntakeCheck.AFTER_SYNC

    def clean_ip_account(self) -> str:
        typed = self.cleaned_data["ip_account"]
        account = paste.read_account_id(typed)
        if not account.isascii() or any(char in account for char in " /:?#&="):
            raise forms.ValidationError(
                _(
                    "No Account ID found in this. It is the a= value in the address "
                    "of Inventory Planner, for example 123456."
                )
            )
        if len(account) > 64:
            raise forms.ValidationError(_("An Account ID is at most 64 characters."))
        self._notice(typed, account, gettext("Account ID"))
        return account

    def clean_sftp_endpoint(self) -> str:
        typed = self.cleaned_data["sftp_endpoint"]
        try:
            endpoint = paste.read_endpoint(typed)
        except ValueError as error:
            text = str(ENDPOINT_ERRORS.get(str(error), ENDPOINT_ERRORS["host"]))
            raise forms.ValidationError(text.format(example=ENDPOINT_EXAMPLE)) from None
        if endpoint.port and endpoint.port not in settings.OUTBOUND_PORTS:
            ports = ", ".join(str(port) for port in sorted(settings.OUTBOUND_PORTS))
            raise forms.ValidationError(
                gettext("Port %(port)s is not allowed here; these are: %(ports)s.")
                % {"port": endpoint.port, "ports": ports}
            )
        self.cleaned_data["sftp_port"] = endpoint.port or 22
        self.cleaned_data["endpoint_username"] = endpoint.username
        self._notice(typed, endpoint.host, gettext("SFTP Endpoint"))
        return endpoint.host

    def clean(self) -> dict[str, Any]:
        answers = super().clean() or self.cleaned_data
        typed = answers.get("sftp_username") or ""
        # user@host in the endpoint field says more than the field beside it (§4.1).
        username = answers.pop("endpoint_username", "") or paste.tidy(typed)
        self._notice(typed, username, gettext("SFTP username"))
        answers["sftp_username"] = username
        answers.setdefault("sftp_port", 22)
        self.warnings += doubts(answers)
        return answers

    def _notice(self, typed: str, kept: str, label: str) -> None:
        if typed.strip() != kept:
            self.notices.append(
                gettext("%(label)s was read as “%(kept)s”.")
                % {"label": label, "kept": kept}
            )
