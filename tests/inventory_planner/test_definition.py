"""The platform saves what its form says, audits it, and finds its folder."""

from __future__ import annotations

import pytest

from connections.problems import Problem
from connections.wire.sftp import RemoteFile, Sftp
from inventory_planner import drop
from inventory_planner.models import InventoryPlannerSettings
from stores.models import AuditEvent, Store
from tests import factories
from tests.factories import Cast

HOST = "s-abc123.server.transfer.us-east-1.amazonaws.com"
KEY = "hunter2-canary-key"

pytestmark = pytest.mark.django_db


def test_an_empty_key_keeps_the_stored_one(cast: Cast) -> None:
    """K8."""
    store = factories.store(cast.merchant, api_key=KEY)
    factories.change_store(store, ip_account="777")
    row = InventoryPlannerSettings.objects.get(store=store)
    assert row.unseal("api_key").reveal() == KEY
    assert row.ip_account == "777"


def test_a_change_is_audited_without_the_secret(cast: Cast) -> None:
    """A1."""
    store = factories.store(cast.merchant, api_key=KEY)
    factories.change_store(store, api_key="another-long-api-key")
    event = AuditEvent.objects.filter(action="store.settings").latest("sequence")
    assert event.before["api_key"] != event.after["api_key"]
    assert "another-long" not in str(event.after)
    assert KEY not in str(event.before)


def test_saving_without_a_change_audits_nothing(cast: Cast) -> None:
    store = factories.store(cast.merchant, api_key=KEY)
    before = AuditEvent.objects.count()
    factories.change_store(store)
    assert AuditEvent.objects.count() == before


def test_another_endpoint_is_to_be_validated_again(cast: Cast) -> None:
    """E6."""
    store = factories.store(cast.merchant, sftp_endpoint=HOST)
    store.validated_at, store.validated_by = store.created_at, cast.onboarding
    store.save()
    factories.change_store(store, ip_account="777")
    store.refresh_from_db()
    assert store.validated_at is not None
    factories.change_store(store, sftp_endpoint=f"{HOST}:2222")
    found = Store.objects.get(pk=store.pk)
    assert (found.validated_at, found.validated_by) == (None, None)


def test_the_port_survives_the_edit_form(cast: Cast) -> None:
    store = factories.store(cast.merchant, sftp_endpoint=f"{HOST}:2222")
    factories.change_store(store)
    row = InventoryPlannerSettings.objects.get(store=store)
    assert (row.sftp_endpoint, row.sftp_port) == (HOST, 2222)


def test_the_user_name_in_use_is_the_accounts_unless_given(cast: Cast) -> None:
    """inventory-planner.md §4.1."""
    store = factories.store(cast.merchant, ip_account="a123", sftp_endpoint=HOST)
    assert store.inventory_planner.username_in_use == "a123"
    factories.change_store(store, sftp_endpoint=f"me@{HOST}")
    store.inventory_planner.refresh_from_db()
    assert store.inventory_planner.username_in_use == "me"


class Listing(Sftp):
    """A far side that lists these folders, and does nothing else."""

    def __init__(self, *names: str) -> None:
        self._names = names

    def list_folder(self, path: str) -> list[RemoteFile]:
        return [RemoteFile(name, 0, 0.0, is_folder=True) for name in self._names]


@pytest.mark.parametrize(
    "name",
    [
        "variant_warehouse",
        "VariantWarehouses",
        "variant-warehouse",
        "Variant Warehouse",
    ],
)
def test_the_folder_is_matched_whatever_its_spelling(name: str) -> None:
    """inventory-planner.md §4.3."""
    found = drop.match_folder(Listing("variant", name), "variant_warehouse")
    assert found == f"/{name}"


@pytest.mark.parametrize(
    "names", [(), ("variant",), ("variant_warehouse", "variant-warehouse")]
)
def test_a_folder_is_never_guessed(names: tuple[str, ...]) -> None:
    with pytest.raises(Problem) as problem:
        drop.match_folder(Listing(*names), "variant_warehouse")
    assert problem.value.code == "stock_folder_unknown"
