"""The platform: what the registry shows, saves and runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from connections import dialling
from connections.checks.findings import (
    Finding,
    State,
    failure,
    sftp_findings,
    skipped,
)
from connections.platforms import FlowPlatform
from connections.problems import Problem
from connections.wire.errors import WireError
from connections.wire.ssh import Deadline
from inventory_planner import client, drop
from inventory_planner.forms import InventoryPlannerForm
from inventory_planner.models import InventoryPlannerSettings
from inventory_planner.order_documents import Wanted
from inventory_planner.purchase_orders import PurchaseOrders, api_access
from stores import audit
from stores.models import Account, SSHKey, Store, User
from stores.secret import Secret

API = "api"
PLAIN_FIELDS = {
    "repeat_stock",
    "master_data",
    "vendor_currency",
    "ip_account",
    "sftp_endpoint",
    "sftp_port",
    "sftp_username",
    "import_status_filter",
    "other_kinds",
    "acknowledgement_status",
    "acknowledge_when",
    "send_received_quantities",
    "sync_at",
    "sync_zone",
    "intake_check",
}


class InventoryPlanner(FlowPlatform):
    """Inventory Planner: purchase orders by API, stock by Advanced CSV."""

    slug = "inventory_planner"
    label = "Inventory Planner"
    form_class = InventoryPlannerForm
    relations = ("inventory_planner",)
    stock = drop.Drop()
    orders = PurchaseOrders()

    def save(
        self, store: Store, answers: Mapping[str, Any], *, by: User | None
    ) -> None:
        row = InventoryPlannerSettings.objects.filter(store=store).first()
        before = _audited(row) if row else {}
        if row is None:
            row = InventoryPlannerSettings(account_id=store.account_id, store=store)
        endpoint_before = (row.sftp_endpoint, row.sftp_port)
        for name in PLAIN_FIELDS & answers.keys():  # what was not asked for stays
            setattr(row, name, answers[name])
        if answers["api_key"]:
            row.seal("api_key", answers["api_key"])
            row.api_key_hint = row.fingerprint("api_key", answers["api_key"])
            row.api_key_set_at, row.api_key_set_by = timezone.now(), by
        row.save()
        store.inventory_planner = row  # whoever holds this store sees the new values
        after = _audited(row)
        if after != before:
            audit.record("store.settings", store, by=by, before=before, after=after)
        if before and (row.sftp_endpoint, row.sftp_port) != endpoint_before:
            # What was validated is another far side's (security.md E6).
            Store.objects.filter(pk=store.pk).update(
                validated_at=None, validated_by=None
            )

    def load(self, store: Store) -> dict[str, Any]:
        row = store.inventory_planner
        answers = {name: getattr(row, name) for name in PLAIN_FIELDS}
        if row.sftp_endpoint and row.sftp_port != 22:
            answers["sftp_endpoint"] = f"{row.sftp_endpoint}:{row.sftp_port}"
        return answers

    def review(self, store: Store) -> list[tuple[str, str]]:
        row = store.inventory_planner
        acknowledgement = row.acknowledgement_status or _("Nothing is set")
        return [
            (_("API Key"), row.api_key_hint or _("Not set")),
            (_("Account ID"), row.ip_account or _("Not set")),
            (_("SFTP Endpoint"), row.sftp_endpoint or _("Not set")),
            (_("SFTP username in use"), row.username_in_use or _("None yet")),
            (_("Import Status Filter"), row.import_status_filter or _("All orders")),
            (_("Acknowledgement Status"), acknowledgement),
        ]

    def secret_hints(self, store: Store) -> dict[str, str]:
        row = store.inventory_planner
        if not row.api_key_hint:
            return {}
        return {"api_key": row.api_key_hint}

    def findings(self, store: Store, deadline: Deadline) -> Iterator[Finding]:
        row = store.inventory_planner
        yield _api_finding(api_access(row), row.wanted, deadline)
        if not row.sftp_endpoint:
            yield from skipped("endpoint_missing")
            return
        yield from _drop_findings(drop.access_of(row), deadline, row.stock_folder)

    def draft_findings(
        self,
        account: Account,
        answers: Mapping[str, Any],
        key: SSHKey,
        deadline: Deadline,
    ) -> Iterator[Finding]:
        form = InventoryPlannerForm(dict(answers))
        form.is_valid()
        typed = form.cleaned_data  # fields that are wrong are not in it: not tried
        api_key = Secret(typed.get("api_key", ""))
        api = client.ApiAccess(api_key, typed.get("ip_account", ""))
        # Whatever else a new store is set to has its safe value.
        wanted = Wanted(typed.get("import_status_filter", ""))
        yield _api_finding(api, wanted, deadline)
        if not typed.get("sftp_endpoint"):
            yield from skipped("endpoint_missing")
            return
        with dialling.readable_secrets():
            private_key = key.unseal("private_key")
        access = dialling.SftpAccess(
            account.pk,
            typed["sftp_endpoint"],
            typed["sftp_port"],
            typed["sftp_username"] or typed.get("ip_account", ""),
            private_key=private_key,
        )
        blank = InventoryPlannerSettings()
        yield from _drop_findings(access, deadline, blank.stock_folder)


def _audited(row: InventoryPlannerSettings) -> dict[str, Any]:
    values = {name: getattr(row, name) for name in PLAIN_FIELDS}
    told = {"api_key": row.api_key_hint, "sync_at": row.sync_at.isoformat("minutes")}
    return values | told


def _api_finding(
    access: client.ApiAccess, wanted: Wanted, deadline: Deadline
) -> Finding:
    if not access.api_key:
        return Finding(API, State.SKIPPED, code="api_key_missing")
    if not access.account_id:
        return Finding(API, State.SKIPPED, code="account_id_missing")
    try:
        preview = _preview(access, wanted, deadline)
    except WireError as error:
        if error.code == "api_key_refused" and _works_with_letter(access, deadline):
            return failure(API, Problem("account_id_letter", f"a{access.account_id}"))
        return failure(API, error)
    return Finding(
        API,
        State.PASSED,
        note=_preview_note(preview, wanted.status.strip()),
        suggestions=preview.statuses,
    )


def _preview(
    access: client.ApiAccess, wanted: Wanted, deadline: Deadline
) -> client.Preview:
    with client.Client(access, deadline) as api:
        return api.preview(wanted)


def _works_with_letter(access: client.ApiAccess, deadline: Deadline) -> bool:
    """One assisted retry: real ids read a123456, the reference shows 123456 (§2.2)."""
    if not access.account_id.isdigit():
        return False
    lettered = client.ApiAccess(access.api_key, f"a{access.account_id}")
    try:
        _preview(lettered, Wanted(), deadline)
    except WireError:
        return False
    return True


def _preview_note(preview: client.Preview, status_filter: str) -> str:
    """Say what the Import Status Filter matches now."""
    values = {
        "count": preview.matches,
        "read": preview.read,
        "filter": status_filter or _("all orders"),
    }
    if preview.all_read:
        text = ngettext(
            "The filter (%(filter)s) matches %(count)s order now.",
            "The filter (%(filter)s) matches %(count)s orders now.",
            preview.matches,
        )
        return text % values
    return (
        _("Of the newest %(read)s orders, the filter (%(filter)s) matches %(count)s.")
        % values
    )


def _drop_findings(
    access: dialling.SftpAccess, deadline: Deadline, folder: str
) -> Iterator[Finding]:
    return sftp_findings(access, deadline, lambda sftp: drop.match_folder(sftp, folder))
