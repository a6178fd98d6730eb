"""The key pair never changes, and no secret comes back (K2, K8; dropstream.md §7)."""

from __future__ import annotations

import html
import threading

import pytest
from django.db import connections
from django.urls import reverse

from connections.models import Connection, ConnectionDraft
from stores.models import SSHKey
from tests import factories
from tests.canary import everything_stored, hidden_in, private_parts
from tests.connections.wizard.walk import (
    API_KEY,
    PASSWORD,
    STORE,
    WAREHOUSE,
    Walk,
    errors,
    log_in,
    public_key,
)
from tests.crawl import crawl, text_of
from tests.factories import Cast


def test_the_key_stays_through_everything(walk: Walk, cast: Cast) -> None:
    """dropstream.md §7: errors, Back, reload, another device, finish, the edit page."""
    walk.up_to("store")
    key = walk.shown_key()
    wrong = walk.post("store", STORE | {"ip_account": "wrong one"})
    assert public_key(html.unescape(wrong.content.decode())) == key
    walk.post("store", STORE, goto="warehouse")
    walk.answer(warehouse=WAREHOUSE)
    assert public_key(walk.page("store")) == key
    assert public_key(Walk(cast.staff, walk.draft).page("store")) == key
    download = reverse("connections:wizard_key", args=[walk.draft.public_id])
    assert walk.client.get(download).content.decode() == f"{key}\n"
    walk.answer(store=STORE)
    store = Connection.objects.get().store
    for person in (cast.staff, cast.administrator):
        page = log_in(person).get(reverse("connections:store", args=[store.public_id]))
        assert public_key(html.unescape(page.content.decode())) == key
    assert SSHKey.objects.get().state == SSHKey.State.CURRENT


def test_a_key_that_is_posted_is_ignored(walk: Walk) -> None:
    """dropstream.md §7, rule 5: never accepted from the form."""
    walk.up_to("store")
    key = walk.shown_key()
    key_line = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFORGED"
    names = ("public_key", "public-key", "ssh_key", "key")
    forged = dict.fromkeys(names, key_line)
    walk.answer(store=STORE | forged)
    store = Connection.objects.get().store
    assert store.ssh_keys.get().public_key == key
    walk.client.post(
        reverse("connections:store", args=[store.public_id]), STORE | forged
    )
    assert store.ssh_keys.get().public_key == key
    assert "FORGED" not in everything_stored()


def test_each_draft_has_one_key_of_its_own(cast: Cast) -> None:
    """K1: two stores differ; the comment tells nothing of the tenant."""
    one, other = Walk(cast.staff), Walk(cast.staff)
    for walk in (one, other):
        walk.up_to("store")
        for _look in range(2):
            walk.page("store")
    assert one.shown_key() != other.shown_key()
    assert SSHKey.objects.count() == 2
    for key in SSHKey.objects.all():
        assert "acme" not in key.public_key.lower()
        assert "northwind" not in key.public_key.lower()


def test_a_step_that_is_sent_unseen_has_a_key_all_the_same(walk: Walk) -> None:
    """The key exists before the store is saved, however the step is reached."""
    walk.up_to("store")
    walk.answer(store=STORE)
    assert Connection.objects.get().store.ssh_keys.count() == 1


@pytest.mark.django_db(transaction=True)
def test_two_looks_at_once_make_one_key(transactional_db: None) -> None:
    """K1: two tabs that open step 4 together."""
    people = factories.cast()
    walk = Walk(people.staff)
    walk.up_to("store")
    walks = [walk, Walk(people.staff, walk.draft)]
    together = threading.Barrier(2)
    shown: list[str] = []

    def look(mine: Walk) -> None:
        try:
            together.wait(10)
            shown.append(mine.shown_key())
        finally:
            connections.close_all()

    threads = [threading.Thread(target=look, args=[mine]) for mine in walks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(shown) == 2
    assert len(set(shown)) == 1
    assert SSHKey.objects.count() == 1


def test_there_is_no_key_to_download_before_step_four(walk: Walk) -> None:
    download = reverse("connections:wizard_key", args=[walk.draft.public_id])
    assert walk.client.get(download).status_code == 404


def test_an_empty_secret_keeps_the_stored_one(walk: Walk) -> None:
    """K8: in the draft, through errors and Back."""
    walk.up_to("store")
    back = walk.post("warehouse", WAREHOUSE | {"connection_string": ""})
    assert back.status_code == 302
    walk.post("store", STORE | {"ip_account": "wrong one"})
    walk.answer(store=STORE | {"api_key": ""})
    made = Connection.objects.get()
    assert made.warehouse.file_exchange.unseal("password").reveal() == PASSWORD
    assert made.store.inventory_planner.unseal("api_key").reveal() == API_KEY


def test_a_kept_secret_is_named_but_not_shown(walk: Walk) -> None:
    """K8: its last four characters, or none of a short one."""
    walk.up_to("store")
    page = walk.page("warehouse")
    assert "sftp://north:•••@files.reno.example:2222" in page
    walk.post("store", STORE, goto="store")
    assert "Kept: <code>…4567</code>." in walk.page("store")
    walk.post("store", STORE | {"api_key": "tiny"}, goto="store")
    assert "tiny" not in walk.page("store")


def test_no_part_of_a_malformed_string_is_shown(walk: Walk) -> None:
    """K8: a password that holds @ is easily taken for a host."""
    walk.up_to("warehouse")
    typed = WAREHOUSE | {"connection_string": "sftp://north:left@right-of-password"}
    response = walk.post("warehouse", typed)
    assert "connection_string" in errors(response)
    for text in (response.content.decode(), walk.page("warehouse")):
        assert "right-of-password" not in text


def test_no_page_and_no_table_holds_a_secret(walk: Walk, cast: Cast) -> None:
    """K2, K4, K8: plain, hex, base64, in drafts and in what they became."""
    walk.up_to("store")
    walk.page("store")
    walk.post("store", STORE, goto="store")
    secrets = [PASSWORD, API_KEY, *private_parts(SSHKey.objects.get())]
    assert hidden_in(everything_stored(), *secrets) == []
    pages = [walk.post("store", STORE | {"ip_account": "wrong one"})]
    pages.append(walk.post("warehouse", WAREHOUSE | {"code": ""}))
    walk.answer(warehouse=WAREHOUSE)
    pages += [walk.get(step) for step in ("warehouse", "store")]
    walk.answer(store=STORE)
    assert ConnectionDraft.objects.get().sealed_answers is None
    assert hidden_in(everything_stored(), *secrets) == []
    people = (cast.administrator, cast.staff, cast.merchant_user, cast.onboarding)
    for person in people:
        start = "/admin/" if person == cast.onboarding else "/connections/"
        found = crawl(log_in(person), start)
        assert len(found) > 5
        pages += found.values()
    for page in pages:
        assert hidden_in(text_of(page), *secrets) == [], page.request["PATH_INFO"]
