"""Inventory Planner as a source of purchase orders."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from connections.dialling import readable_secrets
from connections.platforms import (
    Acknowledgement,
    OrderPage,
    OrderSession,
    RemoteOrder,
    UnreadableOrder,
)
from connections.wire.ssh import Deadline
from inventory_planner import client
from inventory_planner.models import InventoryPlannerSettings
from inventory_planner.order_documents import (
    Document,
    Wanted,
    normalise_status,
    same_status,
)
from inventory_planner.pace import account_key
from stores.models import Store


class Session:
    """A client with what the store wants."""

    def __init__(self, api: client.Client, account_id: str, wanted: Wanted) -> None:
        self._api = api
        self._wanted = wanted
        self.scope = "/".join(
            (
                account_key(account_id),
                normalise_status(wanted.status),
                "all kinds" if wanted.other_kinds else "orders",
            )
        )

    def orders(
        self, *, since: datetime | None = None, first_page: int = 0
    ) -> Iterator[OrderPage]:
        return self._api.pages(self._wanted, since=since, first_page=first_page)

    def changes(self, since: datetime, *, first_page: int = 0) -> Iterator[OrderPage]:
        if not self._wanted.status.strip():
            return iter(())  # every status is asked for already
        pages = self._api.pages(
            self._wanted, asked="", since=since, first_page=first_page
        )
        return (replace(page, is_of_changes=True) for page in pages)

    def read(self, external_id: str) -> RemoteOrder | None:
        return self._api.order(external_id, self._wanted)

    def set_received(self, external_id: str, received: Mapping[str, Decimal]) -> None:
        self._api.set_received(external_id, received)

    def set_status(self, external_id: str, status: str) -> None:
        self._api.set_status(external_id, status)

    def close(self) -> None:
        self._api.close()


class PurchaseOrders:
    """The purchase-order half of the platform."""

    def missing(self, store: Store) -> str | None:
        row = store.inventory_planner
        if row.sealed_api_key is None:
            return "api_key_missing"
        return None if row.ip_account else "account_id_missing"

    def open(self, store: Store, deadline: Deadline) -> OrderSession:
        row = store.inventory_planner
        api = client.Client(api_access(row), deadline)
        return Session(api, row.ip_account, row.wanted)

    def parse(self, store: Store, document: Any) -> RemoteOrder | UnreadableOrder:
        return Document(document, store.inventory_planner.wanted).order()

    def acknowledgement(self, store: Store) -> Acknowledgement:
        row = store.inventory_planner
        on_import = row.acknowledge_when == row.AcknowledgeWhen.IMPORTED
        return Acknowledgement(
            status=row.acknowledgement_status.strip(),
            on_import=on_import,
            send_quantities=row.sends_received_quantities,
        )

    def same_status(self, one: str, other: str) -> bool:
        return same_status(one, other)


def api_access(row: InventoryPlannerSettings) -> client.ApiAccess:
    """Whose API it is. Raises Problem("secret_unreadable")."""
    with readable_secrets():
        return client.ApiAccess(row.unseal("api_key"), row.ip_account)
