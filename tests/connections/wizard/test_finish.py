"""Finishing makes everything that is new, or nothing (T2, U5; dropstream.md §2)."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.db import IntegrityError, connections
from django.urls import reverse

from connections.models import Channel, Connection, ConnectionDraft, Schedule, SyncRun
from connections.stock import locations
from connections.wizard.finish import finish
from stores.models import AuditEvent, Merchant, Store, Warehouse
from tests import factories
from tests.connections.wizard.walk import (
    BASIC,
    NEW_MERCHANT,
    PASSWORD,
    STORE,
    WAREHOUSE,
    Walk,
    choose,
    errors,
    reuse,
)
from tests.factories import Cast

MADE: tuple[Any, ...] = (Merchant, Warehouse, Store, Connection, Channel, Schedule)


def counts() -> list[int]:
    return [model.objects.count() for model in MADE] + [audited_count()]


def audited_count() -> int:
    return AuditEvent.objects.exclude(action="ssh_key.made").count()


def test_everything_new_is_made(walk: Walk, cast: Cast) -> None:
    """dropstream.md §2: merchant, warehouse, store and connection, as typed."""
    walk.up_to("store")
    key = walk.shown_key()
    assert walk.post("store", STORE).headers["Location"] == reverse("connections:list")
    made = Connection.objects.get()
    assert made.name == BASIC["name"]
    assert (made.account, made.created_by) == (cast.acme, cast.staff)
    assert made.merchant.name == "Northwind Traders"
    address = {
        name: getattr(made.merchant, name)
        for name in NEW_MERCHANT
        if name in ("street", "city", "state", "zipcode", "country")
    }
    assert address.items() <= NEW_MERCHANT.items()
    assert (made.warehouse.name, made.warehouse.code) == ("Reno 3PL", "WH1")
    files = made.warehouse.file_exchange
    assert str(files) == "sftp://north:***@files.reno.example:2222"
    assert files.unseal("password").reveal() == PASSWORD
    settings = made.store.inventory_planner
    assert settings.unseal("api_key").reveal() == STORE["api_key"]
    for name in ("ip_account", "sftp_endpoint", "acknowledgement_status"):
        assert getattr(settings, name) == STORE[name]
    assert made.store.ssh_keys.get().public_key == key
    rows = {made.merchant, made.warehouse, made.store}
    assert {row.account for row in rows} == {cast.acme}


def test_a_new_connection_is_off_with_its_channels_and_schedules(walk: Walk) -> None:
    """dropstream.md §2, §3: disabled by default; defaults of the channels."""
    walk.up_to("store")
    walk.post("store", STORE)
    made = Connection.objects.get()
    assert not made.is_on
    channels = {channel.type: channel.is_on for channel in made.channels.all()}
    assert channels == {"inventory": True, "purchase_orders": True}
    schedules = Schedule.objects.values_list("job", "every_minutes", "next_due_at")
    assert set(schedules) == {
        ("stock_changes", 60, None),
        ("orders_import", 15, None),
        ("orders_status", 240, None),
    }
    assert not SyncRun.objects.exists()
    page = walk.client.get("/connections/").content.decode()
    assert "was added. It is off until you turn it on." in page
    assert "Drafts" not in page


def test_what_was_decided_is_audited(walk: Walk, cast: Cast) -> None:
    """A1: who, tenant, what; secrets as fingerprints."""
    walk.up_to("store")
    walk.post("store", STORE)
    events = AuditEvent.objects.order_by("sequence")
    assert [event.action for event in events] == [
        "ssh_key.made",
        "merchant.added",
        "warehouse.added",
        "warehouse.connection_string",
        "store.added",
        "store.settings",
        "connection.added",
    ]
    for event in events:
        assert (event.account_id, event.actor_id) == (cast.acme.pk, cast.staff.pk)
        assert event.ip == "127.0.0.1"
        assert event.request_id
    assert len({event.request_id for event in events[1:]}) == 1
    said = events.get(action="store.settings").after
    assert said["ip_account"] == "123456"
    assert said["api_key"].startswith("…4567 (")


def test_without_an_endpoint_it_is_added_all_the_same(walk: Walk) -> None:
    """dropstream.md §7, rules 3 and 4: a normal path; the list says what is missing."""
    walk.up_to("store")
    bare = dict.fromkeys(
        ("sftp_endpoint", "api_key", "ip_account", "import_status_filter"), ""
    )
    walk.post("store", STORE | bare)
    store = Connection.objects.get().store
    page = walk.client.get("/connections/").content.decode()
    assert "The SFTP endpoint is not set yet." in page
    assert reverse("connections:store", args=[store.public_id]) in page


# --- What is there already


def test_an_existing_merchants_warehouse_is_only_confirmed(
    walk: Walk, cast: Cast
) -> None:
    """dropstream.md §2, step 3: nothing to type."""
    there = factories.warehouse(
        cast.merchant, "sftp://ship:secret-word@files.example.com"
    )
    walk.answer(basic=BASIC, merchant=choose(cast.merchant))
    page = walk.page("warehouse")
    assert "Nothing to type" in page
    assert there.name in page
    assert "sftp://ship:***@files.example.com:22" in page
    assert 'type="password"' not in page
    walk.answer(warehouse={"warehouse": str(there.public_id)}, store=STORE)
    made = Connection.objects.get()
    assert (made.merchant, made.warehouse) == (cast.merchant, there)
    assert Warehouse.objects.count() == 1
    assert Merchant.objects.count() == 2


def test_several_warehouses_are_offered(walk: Walk, cast: Cast) -> None:
    """dropstream.md §2, step 3: a picker when there is more than one."""
    factories.warehouse(cast.merchant, code="WH1")
    second = factories.warehouse(cast.merchant, code="WH2")
    factories.warehouse(cast.other_merchant, code="WH9")
    walk.answer(basic=BASIC, merchant=choose(cast.merchant))
    page = walk.page("warehouse")
    assert "Main warehouse WH1" in page
    assert "Main warehouse WH2" in page
    assert "WH9" not in page
    walk.answer(warehouse={"warehouse": str(second.public_id)}, store=STORE)
    assert Connection.objects.get().warehouse == second


def test_a_merchant_without_a_warehouse_gets_one(walk: Walk, cast: Cast) -> None:
    """dropstream.md §2: an error case that needs a way forward."""
    walk.answer(basic=BASIC, merchant=choose(cast.merchant))
    assert "SFTP connection string" in walk.page("warehouse")
    walk.answer(warehouse=WAREHOUSE, store=STORE)
    assert Connection.objects.get().warehouse.merchant == cast.merchant


def test_an_existing_store_is_used_again(walk: Walk, cast: Cast) -> None:
    """Its own key and settings stay; the draft's key is given to nobody."""
    there = factories.store(cast.merchant, api_key="k" * 20)
    key = there.ssh_keys.get()
    walk.answer(basic=BASIC, merchant=choose(cast.merchant), warehouse=WAREHOUSE)
    assert there.name in walk.page("store")
    walk.answer(store=reuse(there))
    assert Connection.objects.get().store == there
    assert list(there.ssh_keys.all()) == [key]
    assert there.inventory_planner.unseal("api_key").reveal() == "k" * 20


def test_a_second_connection_of_a_store_says_what_is_left_to_choose(
    walk: Walk, cast: Cast
) -> None:
    """Without it every new order of both would wait for a decision."""
    store = factories.store(cast.merchant)
    first, second = (
        factories.warehouse(cast.merchant, code=code) for code in ("WH2", "WH3")
    )
    factories.connection(store, first)
    walk.answer(
        basic=BASIC,
        merchant=choose(cast.merchant),
        warehouse={"warehouse": str(second.public_id)},
    )
    walk.post("store", reuse(store))
    page = walk.client.get("/connections/").content.decode()
    assert "The store has several connections now." in page


def test_a_new_merchant_has_no_stores_to_offer(walk: Walk, cast: Cast) -> None:
    factories.store(cast.merchant)
    walk.up_to("store")
    page = walk.page("store")
    assert "Create new store" in page
    assert "Use existing store" not in page


def test_what_scoped_staff_make_is_in_their_scope(cast: Cast) -> None:
    """They could not turn their own connection on otherwise; nothing else opens."""
    walk = Walk(cast.scoped_staff)
    walk.answer(basic=BASIC, merchant=NEW_MERCHANT, warehouse=WAREHOUSE, store=STORE)
    assert BASIC["name"] in walk.client.get("/connections/").content.decode()
    seen = {merchant.name for merchant in Merchant.objects.for_user(cast.scoped_staff)}
    assert seen == {"Blue Bottle Goods", "Northwind Traders"}


# --- What is refused


Prepare = Callable[[Walk, Cast], tuple[str, dict[str, str]]]


def foreign_merchant(walk: Walk, cast: Cast) -> tuple[str, dict[str, str]]:
    walk.up_to("merchant")
    return "merchant", choose(factories.merchant(cast.other))


def merchant_out_of_scope(walk: Walk, cast: Cast) -> tuple[str, dict[str, str]]:
    cast.staff.membership.scope.set([cast.merchant])
    walk.up_to("merchant")
    return "merchant", choose(cast.other_merchant)


def foreign_warehouse(walk: Walk, cast: Cast) -> tuple[str, dict[str, str]]:
    factories.warehouse(cast.merchant)
    theirs = factories.warehouse(factories.merchant(cast.other))
    walk.answer(basic=BASIC, merchant=choose(cast.merchant))
    return "warehouse", {"warehouse": str(theirs.public_id)}


def another_merchants_warehouse(walk: Walk, cast: Cast) -> tuple[str, dict[str, str]]:
    factories.warehouse(cast.merchant)
    theirs = factories.warehouse(cast.other_merchant)
    walk.answer(basic=BASIC, merchant=choose(cast.merchant))
    return "warehouse", {"warehouse": str(theirs.public_id)}


def foreign_store(walk: Walk, cast: Cast) -> tuple[str, dict[str, str]]:
    factories.store(cast.merchant)
    theirs = factories.store(factories.merchant(cast.other))
    walk.answer(basic=BASIC, merchant=choose(cast.merchant), warehouse=WAREHOUSE)
    return "store", reuse(theirs)


def another_merchants_store(walk: Walk, cast: Cast) -> tuple[str, dict[str, str]]:
    factories.store(cast.merchant)
    theirs = factories.store(cast.other_merchant)
    walk.answer(basic=BASIC, merchant=choose(cast.merchant), warehouse=WAREHOUSE)
    return "store", reuse(theirs)


def no_id_at_all(walk: Walk, cast: Cast) -> tuple[str, dict[str, str]]:
    walk.up_to("merchant")
    return "merchant", {"choice": "existing", "merchant": "1 OR 1=1"}


@pytest.mark.parametrize(
    "prepare",
    [
        foreign_merchant,
        merchant_out_of_scope,
        foreign_warehouse,
        another_merchants_warehouse,
        foreign_store,
        another_merchants_store,
        no_id_at_all,
    ],
)
def test_an_id_from_elsewhere_is_no_choice(
    walk: Walk, cast: Cast, prepare: Prepare
) -> None:
    """T2: a field error that tells nothing, and nothing is written."""
    step, fields = prepare(walk, cast)
    before = counts()
    found = errors(walk.post(step, fields))
    assert list(found) == [step]
    assert "not one of the available choices" in found[step][0]
    assert counts() == before


def test_the_same_three_are_not_connected_twice(walk: Walk, cast: Cast) -> None:
    """dropstream.md §2: a clear message; the draft stays as it is."""
    store, there = factories.store(cast.merchant), factories.warehouse(cast.merchant)
    factories.connection(store, there)
    walk.answer(
        basic=BASIC,
        merchant=choose(cast.merchant),
        warehouse={"warehouse": str(there.public_id)},
    )
    before = counts()
    found = errors(walk.post("store", reuse(store)))
    assert "are connected already" in found["__all__"][0]
    assert counts() == before
    assert ConnectionDraft.objects.get().answers("basic") == BASIC


def test_a_warehouse_whose_code_is_a_location_of_another_connection_is_refused(
    walk: Walk, cast: Cast
) -> None:
    """Both would send rows for one place, and the last file would win."""
    store, there = factories.store(cast.merchant), factories.warehouse(cast.merchant)
    beside = factories.connection(store, there)
    locations.link(beside, "DALLAS", "WH2", by=None)
    other = factories.warehouse(cast.merchant, code="WH2")
    walk.answer(
        basic=BASIC,
        merchant=choose(cast.merchant),
        warehouse={"warehouse": str(other.public_id)},
    )
    before = counts()
    found = errors(walk.post("store", reuse(store)))
    assert found["__all__"] == [f"“{beside}” sends stock for WH2 already."]
    assert counts() == before


def test_a_failure_at_the_end_writes_nothing(walk: Walk, cast: Cast) -> None:
    """All or nothing: the last insert fails, so the first never was."""
    store = factories.store(cast.merchant)
    there = factories.warehouse(cast.merchant)
    factories.connection(store, there)
    walk.shown_key()
    before = counts()
    answers: dict[str, dict[str, Any]] = {
        "basic": BASIC,
        "merchant": {"choice": "existing", "merchant": cast.merchant},
        # Somebody else made a warehouse with this code while the draft was open.
        "warehouse": {
            "description": "x",
            "code": "WH1",
            "platform": "file_exchange",
            "connection_string": None,
        },
        "store": {"choice": "existing", "store": store},
    }
    with pytest.raises(IntegrityError, match="stores_warehouse_code"):
        finish(walk.draft.pk, answers, by=cast.staff)
    with pytest.raises(KeyError):  # no such platform: after merchant and warehouse
        finish(
            walk.draft.pk,
            answers
            | {
                "merchant": NEW_MERCHANT,
                "warehouse": {"warehouse": there},
                "store": {"choice": "new", "name": "x", "platform": "nonsense"},
            },
            by=cast.staff,
        )
    assert counts() == before
    assert ConnectionDraft.objects.get().connection is None


# --- Twice


def test_a_second_click_leads_to_the_list(walk: Walk) -> None:
    """U5, and Back after the end."""
    walk.up_to("store")
    for _click in range(2):
        assert walk.post("store", STORE).headers["Location"] == "/connections/"
    assert walk.get("basic").headers["Location"] == "/connections/"
    assert Connection.objects.count() == 1
    assert ConnectionDraft.objects.get().sealed_answers is None


@pytest.mark.django_db(transaction=True)
def test_two_clicks_at_once_make_one_connection(transactional_db: None) -> None:
    """U5: two browsers, two threads, one row of each."""
    people = factories.cast()
    walk = Walk(people.staff)
    walk.up_to("store")
    walk.page("store")
    walks = [walk, Walk(people.staff, walk.draft)]
    together = threading.Barrier(2)
    answers: list[Any] = []

    def click(mine: Walk) -> None:
        try:
            together.wait(10)
            answers.append(mine.post("store", STORE).headers["Location"])
        finally:
            connections.close_all()

    threads = [threading.Thread(target=click, args=[mine]) for mine in walks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert answers == ["/connections/", "/connections/"]
    assert Connection.objects.count() == Store.objects.count() == 1
    assert Merchant.objects.filter(name="Northwind Traders").count() == 1
