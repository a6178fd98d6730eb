"""The onboarding team's admin (U23, U25; A1, A5)."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from django.contrib.auth.models import Permission
from django.db import DatabaseError, transaction
from django.db import connection as database
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from connections.models import Channel, CheckRun
from stores import audit
from stores.models import AuditEvent, Store
from tests import factories, household
from tests.connections.wizard.walk import log_in
from tests.crawl import crawl
from tests.factories import Cast
from tests.household import Household

STORES = "/admin/stores/store/"
ENDPOINT = "s-abc123.server.transfer.us-east-1.amazonaws.com"


@pytest.fixture
def rows(cast: Cast) -> Household:
    return household.household(cast.merchant, cast.staff)


def mark_validated(client: Client, stores: Iterable[Store]) -> str:
    """Tick stores, choose Mark validated, and read what is said."""
    form = {
        "action": "mark_validated",
        "_selected_action": [str(store.pk) for store in stores],
    }
    return client.post(STORES, form, follow=True).content.decode()


def test_the_list_says_what_each_set_up_waits_for(cast: Cast, rows: Household) -> None:
    """U23: set-up state and last test of every account's stores."""
    client = log_in(cast.onboarding)
    page = client.get(STORES).content.decode()
    for words in ("Plain store", "Acme 3PL", "Blue Bottle Goods", "Failed"):
        assert words in page
    assert "The SFTP endpoint is not set yet." in page
    factories.change_store(rows.store, sftp_endpoint=ENDPOINT)
    CheckRun.objects.all().delete()
    page = client.get(STORES).content.decode()
    assert "Complete: validate it" in page
    assert ">never<" in page
    Store.objects.update(validated_at=timezone.now())
    assert ">Validated<" in client.get(STORES).content.decode()


def test_it_is_searched_and_filtered(cast: Cast, rows: Household) -> None:
    """U23: by store, merchant, account; by set-up."""
    client = log_in(cast.onboarding)
    for found in ("plain", "blue bottle", "acme"):
        assert "Plain store" in client.get(STORES, {"q": found}).content.decode()
    assert "Plain store" not in client.get(STORES, {"q": "zzz"}).content.decode()
    for choice, there in (("waiting", True), ("validated", False)):
        page = client.get(STORES, {"set_up": choice}).content.decode()
        assert ("Plain store" in page) == there
    assert client.get(STORES, {"set_up": "nonsense"}).status_code == 200


def test_validated_is_said_once_and_audited(cast: Cast, rows: Household) -> None:
    """A1: who said it and when; a second time changes nothing."""
    client = log_in(cast.onboarding)
    assert "1 store marked validated." in mark_validated(client, [rows.store])
    store = Store.objects.get()
    assert store.validated_by == cast.onboarding
    event = AuditEvent.objects.get(action="store.validated")
    assert (event.account_id, event.actor) == (cast.acme.pk, str(cast.onboarding))
    assert event.ip == "127.0.0.1"
    assert "0 stores marked validated." in mark_validated(client, [rows.store])
    assert Store.objects.get().validated_at == store.validated_at
    assert AuditEvent.objects.filter(action="store.validated").count() == 1


def test_who_may_only_look_cannot_validate(cast: Cast, rows: Household) -> None:
    """T5: bulk actions ask for the permission as well (CVE-2019-19118)."""
    looker = factories.person("lou@dropstream.example")
    looker.groups.clear()
    looker.user_permissions.add(Permission.objects.get(codename="view_store"))
    client = log_in(looker)
    assert client.get(STORES).status_code == 200
    assert "Mark validated" not in client.get(STORES).content.decode()
    mark_validated(client, [rows.store])
    assert Store.objects.get().validated_at is None


def test_the_team_has_the_admin_alone(cast: Cast, rows: Household) -> None:
    """design.md §3: in the admin only; the product's pages are not there for them."""
    client = log_in(cast.onboarding)
    for url in ("/connections/", "/stores/"):
        assert client.get(url).status_code == 404
    client = log_in(cast.administrator)
    assert client.get(STORES).status_code == 302


def test_a_stores_page_is_to_be_read(cast: Cast, rows: Household) -> None:
    """A5: settings with fingerprints; nothing to type, nothing to save."""
    client = log_in(cast.onboarding)
    url = f"{STORES}{rows.store.pk}/change/"
    page = client.get(url).content.decode()
    for words in ("API Key", "Account ID", "123456", "SFTP Endpoint", "Not set"):
        assert words in page
    assert 'name="name"' not in page
    assert "_save" not in page
    assert client.post(url, {"name": "Changed"}).status_code == 403
    assert Store.objects.get().name == "Plain store"


def test_the_audit_is_to_be_read(cast: Cast, rows: Household) -> None:
    """A2, U25: neither changed nor deleted here, nor below."""
    client = log_in(cast.onboarding)
    event = AuditEvent.objects.earliest("pk")
    url = "/admin/stores/auditevent/"
    assert event.action in client.get(url).content.decode()
    assert client.get(f"{url}{event.pk}/change/").status_code == 200
    assert client.post(f"{url}{event.pk}/change/", {"actor": "me"}).status_code == 403
    assert client.post(f"{url}{event.pk}/delete/", {"post": "yes"}).status_code == 403
    delete = {
        "action": "delete_selected",
        "_selected_action": [event.pk],
        "post": "yes",
    }
    client.post(url, delete)
    assert AuditEvent.objects.filter(pk=event.pk).exists()
    rows_of_event = AuditEvent.objects.filter(pk=event.pk)
    for change in (lambda: rows_of_event.update(actor="me"), rows_of_event.delete):
        with pytest.raises(DatabaseError), transaction.atomic():
            change()
    assert audit.first_broken_link(cast.acme.pk) is None


def test_every_page_of_the_admin_opens(cast: Cast, rows: Household) -> None:
    """Links of what the team may see lead somewhere."""
    found = crawl(log_in(cast.onboarding), "/admin/")
    admin = {path: page for path, page in found.items() if path.startswith("/admin/")}
    assert len(admin) > 15
    refused = {path for path, page in admin.items() if page.status_code >= 400}
    assert refused == set()


FILES = "/admin/connections/delivery/"


def test_the_list_of_files_costs_the_same_however_long(
    cast: Cast, rows: Household
) -> None:
    """U26: no query a row, and nothing counted to its end."""
    client = log_in(cast.onboarding)
    stock = rows.connection.channels.get(type=Channel.Type.INVENTORY)
    costs = []
    for _ in range(2):
        with CaptureQueriesContext(database) as queries:
            page = client.get(FILES, {"state__exact": "delivered"}).content.decode()
        costs.append(len(queries))
        for query in queries.captured_queries:
            sql = query["sql"]
            if "COUNT(" in sql and "connections_delivery" in sql:
                assert "LIMIT 10000" in sql
        for _file in range(12):
            household.stock_file(stock)
    assert costs[0] == costs[1]
    assert rows.delivery.name in page
    found = client.get(FILES, {"q": rows.delivery.name[:30]}).content.decode()
    assert found.count('class="field-name') == 1
