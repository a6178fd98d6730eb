"""Accounts do not meet: in queries, at the gate, in the database itself (T1, T3)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import PermissionDenied
from django.db import IntegrityError, connection, models, transaction
from django.http import Http404

from connections.models import (
    Channel,
    Connection,
    Delivery,
    PurchaseOrder,
    Receipt,
    StockLevel,
    SyncRun,
)
from connections.models.activity import note
from connections.runs import schedule
from stores import access
from stores.access import Action
from stores.models import Merchant, Store, Warehouse
from tests import factories
from tests.factories import Cast


@pytest.fixture
def rows(cast: Cast) -> dict[str, Connection]:
    """A connection of each merchant: acme's two and the other account's one."""
    brands = {
        "mine": cast.merchant,
        "other_merchant": cast.other_merchant,
        "other_account": factories.merchant(cast.other, "Green Door"),
    }
    return {
        name: factories.connection(factories.store(of), factories.warehouse(of))
        for name, of in brands.items()
    }


@pytest.mark.parametrize(
    ("who", "seen"),
    [
        ("administrator", {"mine", "other_merchant"}),
        ("staff", {"mine", "other_merchant"}),
        ("scoped_staff", {"mine"}),
        ("merchant_user", {"mine"}),
        ("stranger", {"other_account"}),
        ("onboarding", set()),
    ],
)
def test_people_see_their_own_rows_alone(
    cast: Cast, rows: dict[str, Connection], who: str, seen: set[str]
) -> None:
    """T1: every tenant table, by the one narrowing."""
    schedule.make_due()
    person = getattr(cast, who)
    wanted = {rows[name].pk for name in seen}
    connections = Connection.objects.filter(pk__in=wanted)
    expected: dict[type[models.Model], set[int]] = {
        Connection: wanted,
        Merchant: {row.merchant_id for row in connections},
        Store: {row.store_id for row in connections},
        Warehouse: {row.warehouse_id for row in connections},
        Channel: set(
            Channel.objects.filter(connection__in=wanted).values_list("pk", flat=True)
        ),
        SyncRun: set(
            SyncRun.objects.filter(connection__in=wanted).values_list("pk", flat=True)
        ),
    }
    for model, pks in expected.items():
        found = model._default_manager.for_user(person)  # type: ignore[attr-defined]
        assert set(found.values_list("pk", flat=True)) == pks, model


@pytest.mark.parametrize(
    "model", [Connection, Delivery, PurchaseOrder, Receipt, StockLevel, SyncRun]
)
def test_nobody_sees_anything_without_a_membership(
    cast: Cast, rows: dict[str, Connection], model: type[models.Model]
) -> None:
    schedule.make_due()
    manager: Any = model._default_manager
    assert not manager.for_user(AnonymousUser()).exists()
    assert not manager.for_user(cast.onboarding).exists()


ALLOWED = {
    Action.VIEW: {"administrator", "staff", "scoped_staff", "merchant_user"},
    Action.EDIT_STORE: {"administrator", "staff", "scoped_staff", "merchant_user"},
    Action.TEST_STORE: {"administrator", "staff", "scoped_staff", "merchant_user"},
    Action.MANAGE_CONNECTIONS: {"administrator", "staff", "scoped_staff"},
    Action.APPROVE_HOST_KEY: {"administrator", "staff", "scoped_staff"},
    Action.DELETE: {"administrator"},
}


@pytest.mark.parametrize("action", Action)
@pytest.mark.parametrize(
    "who", ["administrator", "staff", "scoped_staff", "merchant_user", "stranger"]
)
def test_the_gate_knows_404_from_403(
    cast: Cast, rows: dict[str, Connection], action: Action, who: str
) -> None:
    """T1: out of scope is missing; visible but not allowed is refused."""
    person, store = getattr(cast, who), rows["mine"].store

    def ask() -> Store:
        return access.get_or_404(Store.objects.all(), person, store.public_id, action)

    if who in ALLOWED[action]:
        assert ask() == store
    else:
        with pytest.raises(Http404 if who == "stranger" else PermissionDenied):
            ask()


@pytest.mark.parametrize("who", ["scoped_staff", "merchant_user", "stranger"])
def test_out_of_scope_is_missing_even_where_the_role_would_not_do(
    cast: Cast, rows: dict[str, Connection], who: str
) -> None:
    """T1: 404 comes first, so that a 403 never tells that a row is there."""
    other = rows["other_merchant"].store
    with pytest.raises(Http404):
        access.get_or_404(
            Store.objects.all(), getattr(cast, who), other.public_id, Action.DELETE
        )


def mixed(
    rows: dict[str, Connection], change: Callable[[Connection, Connection], None]
) -> None:
    """Mix two accounts' rows and let the database look at once."""
    with transaction.atomic():
        change(rows["mine"], rows["other_account"])
        with connection.cursor() as cursor:
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")


def take_store(mine: Connection, theirs: Connection) -> None:
    Connection.objects.filter(pk=mine.pk).update(store=theirs.store)


def take_warehouse(mine: Connection, theirs: Connection) -> None:
    Connection.objects.filter(pk=mine.pk).update(warehouse=theirs.warehouse)


def take_merchant(mine: Connection, theirs: Connection) -> None:
    Store.objects.filter(pk=mine.store_id).update(merchant=theirs.merchant)


def take_key(mine: Connection, theirs: Connection) -> None:
    theirs.store.ssh_keys.update(store=None, state="pending")
    mine.store.ssh_keys.update(store=theirs.store)


def take_settings(mine: Connection, theirs: Connection) -> None:
    theirs.store.inventory_planner.delete()
    row = mine.store.inventory_planner
    type(row).objects.filter(pk=row.pk).update(store=theirs.store)


def take_channel(mine: Connection, theirs: Connection) -> None:
    theirs.channels.all().delete()
    mine.channels.update(connection=theirs)


def write_level(mine: Connection, theirs: Connection) -> None:
    StockLevel.objects.create(
        account=mine.account,
        warehouse=theirs.warehouse,
        sku="A",
        facility="",
        available=1,
        reported_at=mine.created_at,
        change_number=1,
        changed_at=mine.created_at,
    )


def order_of(mine: Connection) -> PurchaseOrder:
    return PurchaseOrder.objects.create(
        account=mine.account,
        store=mine.store,
        connection=mine,
        external_id="1",
        document={},
        content_hash="",
        changed_at=mine.created_at,
    )


def give_order_a_store(mine: Connection, theirs: Connection) -> None:
    PurchaseOrder.objects.filter(pk=order_of(mine).pk).update(store=theirs.store)


def give_order_a_connection(mine: Connection, theirs: Connection) -> None:
    PurchaseOrder.objects.filter(pk=order_of(mine).pk).update(connection=theirs)


def leave_order_without_store(mine: Connection, theirs: Connection) -> None:
    PurchaseOrder.objects.filter(pk=order_of(mine).pk).update(store_id=0)


def leave_order_without_account(mine: Connection, theirs: Connection) -> None:
    PurchaseOrder.objects.filter(pk=order_of(mine).pk).update(account_id=0)


def tell_of_order(mine: Connection, theirs: Connection) -> None:
    note("order_imported", connection=theirs, order=order_of(mine))


def tell_of_run(mine: Connection, theirs: Connection) -> None:
    schedule.make_due()
    [run, *_] = SyncRun.objects.filter(connection=mine)
    note("run_started", connection=theirs, run=run)


def tell_nobody(mine: Connection, theirs: Connection) -> None:
    note("order_imported", connection=mine)
    mine.activities.update(account_id=0)


def leave_account(mine: Connection, theirs: Connection) -> None:
    Store.objects.filter(pk=mine.store_id).update(account=theirs.account)


def join_merchant(mine: Connection, theirs: Connection) -> None:
    mine.merchant.people.update(merchant=theirs.merchant)


@pytest.mark.parametrize(
    "change",
    [
        join_merchant,
        take_store,
        take_warehouse,
        take_merchant,
        take_key,
        take_settings,
        take_channel,
        write_level,
        give_order_a_store,
        give_order_a_connection,
        leave_order_without_store,
        leave_order_without_account,
        tell_of_order,
        tell_of_run,
        tell_nobody,
        leave_account,
    ],
)
def test_the_database_refuses_rows_of_two_accounts(
    rows: dict[str, Connection], change: Callable[[Connection, Connection], None]
) -> None:
    """T3: whatever the code above does."""
    with pytest.raises(IntegrityError, match="_tenant"):
        mixed(rows, change)


def test_every_tenant_foreign_key_is_held_by_the_database(db: None) -> None:
    """T3: each foreign key between two tenant tables has its composite twin."""
    missing = []
    ours = ("stores", "connections", "inventory_planner")
    for model in (m for label in ours for m in apps.get_app_config(label).get_models()):
        names = {field.name for field in model._meta.get_fields()}
        if "account" not in names:
            continue
        with connection.cursor() as cursor:
            held = set(
                connection.introspection.get_constraints(cursor, model._meta.db_table)
            )
        for field in model._meta.get_fields():
            if not isinstance(field, models.ForeignKey) or field.name == "account":
                continue
            to = field.related_model
            if "account" not in {f.name for f in to._meta.get_fields()}:
                continue
            if to._meta.label in ("stores.User", "stores.Account"):
                continue
            twin = f"{model._meta.db_table}_{field.column}_tenant"
            if twin not in held:
                missing.append(twin)
    assert missing == []
