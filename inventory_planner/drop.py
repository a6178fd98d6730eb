"""Inventory Planner's SFTP drop for stock files (inventory-planner.md §4–§5)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from datetime import datetime, timedelta
from decimal import Decimal

from psycopg import sql

from connections import dialling
from connections.models import Delivery, Schedule
from connections.models.connection import DAY
from connections.platforms import Intake, MasterFile, Repeat, Sold, StockFile
from connections.problems import Problem
from connections.runs.rules import Rule, next_slot
from connections.wire.errors import WireError
from connections.wire.sftp import Sftp
from connections.wire.ssh import Deadline
from inventory_planner import client, columns
from inventory_planner.models import InventoryPlannerSettings
from inventory_planner.purchase_orders import PurchaseOrders, api_access
from stores.models import Store
from stores.ssh_keys import current_key

# Reads YYYY-MM-DD HH:MM:SS; `to_char` takes a tenth of the time of a large file.
_CHANGED_AT = "date_trunc('second', changed_at AT TIME ZONE 'UTC')"

# The five required columns and no other: an unsupported one kills the file (§4.5).
STOCK_FILE = StockFile(
    sheet=columns.STOCK,
    select={
        "VARIANT_ID": "variant_id",
        "WAREHOUSE_ID": "location_id",
        "IN_STOCK": "trim_scale(available)",
        "REMOVED": "'false'",
        "UPDATED_AT": _CHANGED_AT,
    },
    variant="VARIANT_ID",
)

# A file must be there an hour before the sync (§4.2), and takes its time to get there.
SYNC_LEAD = timedelta(hours=1, minutes=2)
# How long a sync takes is not known; it is looked up when it should be over.
SYNC_TAKES = timedelta(hours=2)


# §4.3; the one for stock is a setting of the store.
FOLDERS = {
    Delivery.Entity.WAREHOUSE: "warehouse",
    Delivery.Entity.VENDOR: "vendor",
    Delivery.Entity.VARIANT: "variant",
}
_NOW = "to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS')"


def display(text: str) -> str:
    """SQL for a text that people read: cut where an id would be refused (§4.4)."""
    return rf"left(regexp_replace({text}, '[\x01-\x1f\x7f]', ' ', 'g'), 256)"


WAREHOUSE_FILE = MasterFile(
    sheet=columns.WAREHOUSE,
    select={
        "WAREHOUSE_ID": "location_id",
        "DISPLAY_NAME": display("name"),
        "UPDATED_AT": _NOW,
        "REMOVED": "'false'",
    },
)
# Every required cell has a value, for nobody knows what an empty one does (§4.4): where
# we have none of a variant's, its own id, and no price.
VARIANT_FILE = MasterFile(
    sheet=columns.VARIANT,
    select={
        "VARIANT_ID": "variant_id",
        "SKU": "sku",
        "TITLE": display("title"),
        "BARCODE": "variant_id",
        "PRODUCT_ID": "variant_id",
        "PRICE": "0",
        "CREATED_AT": _CHANGED_AT,
        "UPDATED_AT": _NOW,
        "REMOVED": "'false'",
    },
)


def vendor_file(currency: str) -> MasterFile:
    """The placeholder vendor: at least one must be there, and we know of none (§4.6)."""
    return MasterFile(
        sheet=columns.VENDOR,
        select={
            "VENDOR_ID": "'DROPSTREAM'",
            "DISPLAY_NAME": "'Placeholder (DropStream)'",
            "CURRENCY": sql.Literal(currency).as_string(),
            "REMOVED": "'false'",
            "UPDATED_AT": _NOW,
        },
    )


class Drop:
    """The stock half of the platform."""

    file = STOCK_FILE

    def missing(self, store: Store) -> str | None:
        row = store.inventory_planner
        return None if row.sftp_endpoint else "endpoint_missing"

    def peer(self, store: Store) -> str:
        row = store.inventory_planner
        return f"{row.username_in_use}@{row.sftp_endpoint}:{row.sftp_port}"

    def open(self, store: Store, deadline: Deadline) -> AbstractContextManager[Sftp]:
        row = store.inventory_planner
        return dialling.open_sftp(access_of(row), deadline)

    def repeat(self, store: Store) -> Repeat:
        return Repeat(store.inventory_planner.repeat_stock)

    def sends_master_data_first(self, store: Store) -> bool:
        row = store.inventory_planner
        return bool(row.master_data == row.MasterData.FIRST)

    def master_data(self, store: Store) -> Mapping[Delivery.Entity, MasterFile]:
        currency = store.inventory_planner.vendor_currency
        if not currency:
            raise Problem("vendor_currency_missing")
        return {
            Delivery.Entity.WAREHOUSE: WAREHOUSE_FILE,
            Delivery.Entity.VENDOR: vendor_file(currency),
            Delivery.Entity.VARIANT: VARIANT_FILE,
        }

    def folder(self, store: Store, sftp: Sftp, entity: Delivery.Entity) -> str:
        row = store.inventory_planner
        return match_folder(sftp, FOLDERS.get(entity, row.stock_folder))

    def intake(self, store: Store, at: datetime) -> Intake:
        """Every night at a time of the account (§4.2)."""
        row = store.inventory_planner
        zone = row.sync_zone_in_use
        nightly = Rule(Schedule.Kind.DAILY, DAY, at=row.sync_at)
        sync = next_slot(nightly, at + SYNC_LEAD, zone)
        return Intake(sync - SYNC_LEAD, sync, sync + SYNC_TAKES, zone)

    def proves(self, store: Store) -> bool:
        row = store.inventory_planner
        is_wanted = row.intake_check == row.IntakeCheck.AFTER_SYNC
        return is_wanted and PurchaseOrders().missing(store) is None

    def look_up(
        self, store: Store, variants: Sequence[Sold], deadline: Deadline
    ) -> Iterator[tuple[Sold, Decimal | None]]:
        """Ask its API for each variant, by the store's SKU (§2.3)."""
        with client.Client(api_access(store.inventory_planner), deadline) as api:
            for variant in variants:
                with suppress(client.CannotTellError):
                    yield variant, api.in_stock(variant.sku, variant.variant_id)


def access_of(row: InventoryPlannerSettings) -> dialling.SftpAccess:
    """Where and as whom a store logs in. Raises Problem("secret_unreadable")."""
    with dialling.readable_secrets():
        private_key = current_key(row.store).unseal("private_key")
    return dialling.SftpAccess(
        row.account_id,
        row.sftp_endpoint,
        row.sftp_port,
        row.username_in_use,
        private_key=private_key,
    )


def match_folder(sftp: Sftp, wanted: str) -> str:
    """Find a folder whatever its spelling; never make one (§4.3).

    Raises Problem("stock_folder_unknown"): a file in a wrong folder vanishes silently.
    """
    try:
        found = [file.name for file in sftp.list_folder("/") if file.is_folder]
    except WireError as error:
        if error.code != "permission_denied":
            raise
        return f"/{wanted.strip('/')}"  # not listable: the configured path it is
    matching = [name for name in found if _plain(name) == _plain(wanted)]
    if len(matching) != 1:
        raise Problem("stock_folder_unknown", f"{wanted}; found {', '.join(found)}")
    return f"/{matching[0]}"


def _plain(name: str) -> str:
    return re.sub(r"[_\-\s/]", "", name.casefold()).removesuffix("s")
