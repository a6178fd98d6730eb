"""Inventory Planner's SFTP drop for stock files (inventory-planner.md §4–§5)."""

from __future__ import annotations

import re
from contextlib import AbstractContextManager

from connections import dialling
from connections.platforms import StockFile
from connections.problems import Problem
from connections.wire.errors import WireError
from connections.wire.sftp import Sftp
from connections.wire.ssh import Deadline
from inventory_planner import columns
from inventory_planner.models import InventoryPlannerSettings
from stores.models import Store
from stores.ssh_keys import current_key

# The five required columns and no other: an unsupported one kills the file (§4.5).
STOCK_FILE = StockFile(
    sheet=columns.STOCK,
    select={
        "VARIANT_ID": "variant_id",
        "WAREHOUSE_ID": "location_id",
        "IN_STOCK": "trim_scale(available)",
        "REMOVED": "'false'",
        "UPDATED_AT": "to_char(changed_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS')",
    },
)


class Drop:
    """The stock half of the platform."""

    file = STOCK_FILE

    def missing(self, store: Store) -> str | None:
        row = store.inventory_planner
        return None if row.sftp_endpoint else "endpoint_missing"

    def open(self, store: Store, deadline: Deadline) -> AbstractContextManager[Sftp]:
        row = store.inventory_planner
        return dialling.open_sftp(access_of(row), deadline)

    def folder(self, store: Store, sftp: Sftp) -> str:
        row = store.inventory_planner
        return match_folder(sftp, row.stock_folder)


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
