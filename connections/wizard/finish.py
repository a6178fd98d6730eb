"""Finish a draft: everything that is new is made in one transaction, or nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from django.db import transaction
from django.db.models import Q

from connections import platforms
from connections.models import Connection, ConnectionDraft
from connections.runs import switch
from connections.stock import changes, locations
from connections.warehouses import file_exchange
from connections.warehouses.platforms import exchanges_files
from connections.wire import ssh
from connections.wizard.forms import EXISTING
from stores import audit, ssh_keys
from stores.models import Merchant, SSHKey, Store, User, Warehouse

Answers = Mapping[str, Any]


def make_key_pair(draft: ConnectionDraft, kind: str, *, by: User) -> SSHKey:
    """Return the draft's key pair, made once; the draft's row must be locked.

    It is registered elsewhere while the draft is open, so it never changes (§7).
    """
    if draft.ssh_key is None:
        private_key, public_key = ssh.generate_key_pair(kind)
        draft.ssh_key = ssh_keys.keep_key_pair(
            account=draft.account, private_key=private_key, public_key=public_key, by=by
        )
        draft.save(update_fields=["ssh_key"])
    return draft.ssh_key


@transaction.atomic
def finish(draft_id: int, answers: Mapping[str, Answers], *, by: User) -> Connection:
    """Make merchant, warehouse, store and connection from valid answers, by step.

    A second finish of the same draft returns the first one's connection. Raises
    IntegrityError when the three are connected already, LocationTakenError when another
    connection of the store sends to the warehouse's code; nothing is written then.
    """
    draft = (
        ConnectionDraft.objects.select_for_update(of=("self",))
        .select_related("connection", "account", "ssh_key")
        .get(pk=draft_id)
    )
    if draft.connection is not None:
        return draft.connection
    if answers["store"]["choice"] == EXISTING:
        # First, because channels are locked before the audit.
        changes.lock_channels(Q(connection__store=answers["store"]["store"]))
    merchant = _merchant(draft, answers["merchant"], by=by)
    warehouse = _warehouse(merchant, answers["warehouse"], by=by)
    store = _store(draft, merchant, answers["store"], by=by)
    connection = Connection.objects.create(
        account=draft.account,
        name=answers["basic"]["name"],
        merchant=merchant,
        store=store,
        warehouse=warehouse,
        created_by=by,
    )
    switch.add_channels(connection, platforms.of_store(store).channels())
    locations.refuse_taken_code(connection)
    audit.record("connection.added", connection, by=by)
    draft.connection = connection
    draft.sealed_answers = None
    draft.save(update_fields=["connection", "sealed_answers"])
    return connection


def _merchant(draft: ConnectionDraft, answers: Answers, *, by: User) -> Merchant:
    if answers["choice"] == EXISTING:
        return cast(Merchant, answers["merchant"])
    merchant = Merchant.objects.create(
        account=draft.account,
        name=answers["company_name"],
        street=answers["street"],
        city=answers["city"],
        state=answers["state"],
        zipcode=answers["zipcode"],
        country=answers["country"],
    )
    audit.record("merchant.added", merchant, by=by)
    if by.membership.is_scoped:
        # Who is limited to some merchants still sees the one that they made.
        by.membership.scope.add(merchant)
    return merchant


def _warehouse(merchant: Merchant, answers: Answers, *, by: User) -> Warehouse:
    if answers.get("warehouse"):
        return cast(Warehouse, answers["warehouse"])
    warehouse = Warehouse.objects.create(
        account_id=merchant.account_id,
        merchant=merchant,
        name=answers["description"],
        code=answers["code"],
        platform=answers["platform"],
    )
    audit.record("warehouse.added", warehouse, by=by)
    if exchanges_files(warehouse):
        file_exchange.save(warehouse, answers["connection_string"], by=by)
    return warehouse


def _store(
    draft: ConnectionDraft, merchant: Merchant, answers: Answers, *, by: User
) -> Store:
    if answers["choice"] == EXISTING:
        return cast(Store, answers["store"])
    store = Store.objects.create(
        account_id=merchant.account_id,
        merchant=merchant,
        name=answers["name"],
        platform=answers["platform"],
    )
    audit.record("store.added", store, by=by)
    ssh_keys.give_to_store(cast(SSHKey, draft.ssh_key), store)
    platforms.of_store(store).save(store, answers, by=by)
    return store
