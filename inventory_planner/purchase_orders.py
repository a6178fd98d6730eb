"""Inventory Planner as a source of purchase orders."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal

from connections.dialling import readable_secrets
from connections.platforms import (
    Acknowledgement,
    OrderSession,
    RemoteOrder,
    UnreadableOrder,
)
from connections.wire.ssh import Deadline
from inventory_planner import client
from inventory_planner.models import InventoryPlannerSettings
from stores.models import Store


class Session:
    """A client with the store's filter."""

    def __init__(self, api: client.Client, status_filter: str) -> None:
        self._api = api
        self._filter = status_filter

    def orders(self) -> Iterator[Sequence[RemoteOrder | UnreadableOrder]]:
        return self._api.pages(self._filter)

    def read(self, external_id: str) -> RemoteOrder | None:
        return self._api.order(external_id)

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
        return Session(api, row.import_status_filter)

    def acknowledgement(self, store: Store) -> Acknowledgement:
        row = store.inventory_planner
        on_import = row.acknowledge_when == row.AcknowledgeWhen.IMPORTED
        return Acknowledgement(
            status=row.acknowledgement_status.strip(),
            on_import=on_import,
            send_quantities=row.sends_received_quantities,
        )

    def same_status(self, one: str, other: str) -> bool:
        return client.same_status(one, other)


def api_access(row: InventoryPlannerSettings) -> client.ApiAccess:
    """Whose API it is. Raises Problem("secret_unreadable")."""
    with readable_secrets():
        return client.ApiAccess(row.unseal("api_key"), row.ip_account)
