"""Stores: the list, and the page where staff and merchants edit one (E6, K8)."""

from __future__ import annotations

import html
import re
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from connections.models import CheckRun, SyncRun
from inventory_planner.models import InventoryPlannerSettings
from stores.models import AuditEvent, Store
from tests import factories
from tests.connections.wizard.walk import errors, log_in
from tests.factories import Cast
from tests.household import API_KEY, Household

ENDPOINT = "s-abc123.server.transfer.us-east-1.amazonaws.com"
SAME = {
    "name": "Plain store",
    "api_key": "",
    "ip_account": "123456",
    "sftp_endpoint": "",
    "sftp_username": "",
    "import_status_filter": "",
    "acknowledgement_status": "",
    "acknowledge_when": "received",
    "send_received_quantities": "with_status",
}


def page(rows: Household) -> str:
    return reverse("connections:store", args=[rows.store.public_id])


def save(client: Client, rows: Household, **changes: str) -> Any:
    response = client.post(page(rows), SAME | changes)
    assert response.status_code == 302, errors(response)
    return response


def settings_of(rows: Household) -> InventoryPlannerSettings:
    return InventoryPlannerSettings.objects.get(store=rows.store)


@pytest.mark.parametrize("who", ["administrator", "staff", "merchant_user"])
def test_everybody_in_scope_edits_a_store(
    cast: Cast, rows: Household, who: str
) -> None:
    """design.md §3: merchant users edit the credentials of their own stores."""
    client = log_in(getattr(cast, who))
    save(
        client,
        rows,
        sftp_endpoint=ENDPOINT,
        api_key="a-new-api-key-of-some-length",
        import_status_filter="ORDERED",
        acknowledgement_status="CLOSED",
    )
    row = settings_of(rows)
    assert (row.sftp_endpoint, row.sftp_port) == (ENDPOINT, 22)
    assert row.unseal("api_key").reveal() == "a-new-api-key-of-some-length"
    assert row.api_key_set_by == getattr(cast, who)
    shown = html.unescape(client.get(page(rows)).content.decode())
    for words in (f'value="{ENDPOINT}"', 'value="ORDERED"', 'value="CLOSED"'):
        assert words in shown
    assert "“Plain store” was saved." in shown


def test_it_is_reached_from_connections_and_from_stores(
    cast: Cast, rows: Household
) -> None:
    """dropstream.md §7, rule 6."""
    client = log_in(cast.merchant_user)
    for start in ("/connections/", "/stores/"):
        assert page(rows) in client.get(start).content.decode()


def test_an_empty_api_key_keeps_the_stored_one(cast: Cast, rows: Household) -> None:
    """K8: the page holds a fingerprint, never the key."""
    client = log_in(cast.staff)
    save(client, rows, ip_account="654321")
    assert settings_of(rows).unseal("api_key").reveal() == API_KEY
    shown = client.get(page(rows)).content.decode()
    assert API_KEY not in shown
    assert settings_of(rows).api_key_hint in html.unescape(shown)
    assert 'autocomplete="off"' in shown


def test_what_is_refused_is_explained_and_nothing_is_lost(
    cast: Cast, rows: Household
) -> None:
    """F6, U10: the error at the field, the typed words, the stored row as before."""
    before = InventoryPlannerSettings.objects.values().get()
    response = log_in(cast.staff).post(
        page(rows),
        SAME
        | {
            "name": "",
            "api_key": "two\r\nlines",
            "ip_account": "12:34",
            "sftp_endpoint": "sftp://user:password@host.example.com",
        },
    )
    found = errors(response)
    assert set(found) == {"name", "api_key", "ip_account", "sftp_endpoint"}
    assert "Leave the password out" in found["sftp_endpoint"][0]
    text = response.content.decode()
    assert "<title>Error:" in text
    assert 'value="12:34"' in text
    assert "two\r\nlines" not in text
    assert InventoryPlannerSettings.objects.values().get() == before


def test_another_endpoint_must_be_validated_again(cast: Cast, rows: Household) -> None:
    """E6: and nothing else asks for it."""
    client = log_in(cast.merchant_user)

    def validate() -> None:
        Store.objects.update(validated_at=timezone.now(), validated_by=cast.onboarding)

    def is_validated() -> bool:
        return Store.objects.get(pk=rows.store.pk).validated_at is not None

    save(client, rows, sftp_endpoint=ENDPOINT)
    validate()
    save(client, rows, sftp_endpoint=ENDPOINT, name="Renamed", ip_account="99")
    assert is_validated()
    assert "Validated by our onboarding team" in client.get(page(rows)).content.decode()
    for endpoint in (f"{ENDPOINT}:2222", "other.example.com", ""):
        validate()
        save(client, rows, sftp_endpoint=endpoint)
        assert not is_validated(), endpoint


def test_every_change_is_audited_once(cast: Cast, rows: Household) -> None:
    """A1: who and what, before and after; the key as a fingerprint."""
    seen = AuditEvent.objects.count()
    client = log_in(cast.merchant_user)
    save(client, rows)  # nothing changed
    assert AuditEvent.objects.count() == seen
    save(client, rows, name="Renamed", api_key="another-key-of-some-length")
    renamed, changed = AuditEvent.objects.order_by("pk")[seen:]
    assert (renamed.action, renamed.actor) == ("store.renamed", str(cast.merchant_user))
    assert (renamed.before, renamed.after) == (
        {"name": "Plain store"},
        {"name": "Renamed"},
    )
    assert changed.action == "store.settings"
    assert changed.before["api_key"] != changed.after["api_key"]
    assert "another-key" not in str(changed.after)


def test_the_missing_endpoint_is_named_until_it_is_there(
    cast: Cast, rows: Household
) -> None:
    """dropstream.md §7, rule 4; then the latest stock goes out at once."""
    client = log_in(cast.merchant_user)
    for url in (page(rows), "/stores/", "/connections/"):
        assert "The SFTP endpoint is not set yet." in client.get(url).content.decode()
    SyncRun.objects.all().delete()
    save(client, rows, sftp_endpoint=ENDPOINT)
    for url in (page(rows), "/stores/"):
        assert "endpoint is not set" not in client.get(url).content.decode()
    queued = SyncRun.objects.filter(state="queued", trigger="change")
    assert set(queued.values_list("job", flat=True)) == {
        "stock_changes",
        "orders_import",
    }


def test_a_test_of_the_connection_is_asked_for(cast: Cast, rows: Household) -> None:
    """It runs in a worker; more than ten a minute are not taken (E10)."""
    client = log_in(cast.merchant_user)
    url = reverse("connections:store_test", args=[rows.store.public_id])
    for _test in range(11):
        assert client.post(url).headers["Location"] == page(rows)
    mine = CheckRun.objects.filter(requested_by=cast.merchant_user)
    assert mine.count() == 10
    shown = client.get(page(rows)).content.decode()
    assert "That was the tenth test in a minute." in shown
    assert "Testing…" in shown
    check = mine.first()
    assert check is not None
    cancel = reverse("connections:check_cancel", args=[check.public_id])
    assert client.post(cancel).headers["Location"].startswith(page(rows))
    part = client.post(cancel, headers={"HX-Request": "true"}).content.decode()
    assert "Test cancelled." in part
    assert "<html" not in part


def test_the_list_of_stores(cast: Cast, rows: Household) -> None:
    """Own stores only, found by name, with what they wait for."""
    factories.store(cast.other_merchant)
    client = log_in(cast.merchant_user)
    shown = client.get("/stores/").content.decode()
    assert "Plain store" in shown
    assert "Red Kettle" not in shown
    assert "Red Kettle IP" in log_in(cast.staff).get("/stores/").content.decode()
    assert "Plain store" in client.get("/stores/", {"q": "plain"}).content.decode()
    assert "Nothing found" in client.get("/stores/", {"q": "x"}).content.decode()
    assert "No stores yet" in log_in(cast.stranger).get("/stores/").content.decode()


def test_the_public_key_downloads_as_a_file(cast: Cast, rows: Household) -> None:
    """U14: one line, no private half."""
    url = reverse("connections:store_key", args=[rows.store.public_id])
    response = log_in(cast.merchant_user).get(url)
    assert response.headers["Content-Disposition"].startswith("attachment;")
    assert response.headers["Content-Type"].startswith("text/plain")
    key = rows.store.ssh_keys.get().public_key
    assert response.content.decode() == f"{key}\n"


def test_a_list_that_always_has_an_answer_is_not_called_optional(
    cast: Cast, rows: Household
) -> None:
    """dropstream.md §7: what may stay empty says so, and nothing else does."""
    text = log_in(cast.staff).get(page(rows)).content.decode()
    labels = dict(
        re.findall(r'<label class="form-label" for="id_(\w+)">(.*)</label>', text)
    )
    assert labels["repeat_stock"] == "Send unchanged stock again"
    assert labels["sync_zone"].endswith("(optional)</span>")
