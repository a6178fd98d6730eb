"""A store whose stock goes to a real SFTP server, with any number of SKUs."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.bench.growth import database
from tests.bench.upload import real_server
from tests.lab.openssh import OpenSsh
from tests.lab.wire_servers import HOST, PORT

if TYPE_CHECKING:
    from connections.models import Channel, SyncRun
    from stores.models import Store, User, Warehouse

# One statement whatever the number; rows of our own make need no foreign key looked up.
_FILL = """
INSERT INTO connections_stocklevel
    (account_id, warehouse_id, sku, facility, available, reported_at, change_number,
     changed_at)
SELECT {account}, {warehouse}, 'SKU-' || to_char(n, 'FM00000000'), '', n * 31 % 977,
       now(), {number}, now()
FROM generate_series(1, {rows}) n
"""
# The report that brought every level: one that no push has seen.
NUMBER = 2


@dataclass(frozen=True)
class Shop:
    """A store, the manual warehouse that it sells from, and the channel between."""

    channel: Channel
    warehouse: Warehouse
    rows: int

    def push(self, job: str) -> float:
        """Send every row, as a worker does; return the seconds that the push took."""
        from connections.models import Channel

        # Every row counts as changed.
        Channel.objects.filter(pk=self.channel.pk).update(sent_through=1)
        run, took_s = self.run(job)
        sent = run.counts.get("rows_sent", 0)
        if run.state != run.State.SUCCEEDED or sent != self.rows:
            raise RuntimeError(f"{run.state} {run.error_code}: {sent} rows sent")
        return took_s

    def run(self, job: str) -> tuple[SyncRun, float]:
        """Do a run; return it with the seconds of its work, without the queue's own."""
        from connections.runs import execute
        from connections.runs.context import RunContext
        from connections.tasks import WORK
        from tests.engine import enqueue

        took: list[float] = []

        def timed(context: RunContext) -> None:
            started_at = time.perf_counter()
            WORK[job](context)
            took.append(time.perf_counter() - started_at)

        run = enqueue(self.channel, job)
        execute.execute(run.pk, {job: timed})
        run.refresh_from_db()
        return run, sum(took)


@contextmanager
def far_side() -> Iterator[OpenSsh]:
    """OpenSSH in the place of a drop. Raises PeerMissingError.

    Its root is the machine's, which holds no folder for stock: it may not be listed, so
    the configured folder counts.
    """
    with real_server(flags="-P opendir") as server, dialled_at(server.port):
        yield server


@contextmanager
def dialled_at(port: int) -> Iterator[None]:
    """Let the drop's name lead to a port of loopback."""
    from django.test import override_settings

    with override_settings(OUTBOUND_HOSTS=f"{HOST}=127.0.0.1:{port}"):
        yield


@contextmanager
def durable_database() -> Iterator[None]:
    """As `database`, on a server of its own that keeps what it commits."""
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
    import environ
    from django.db import connections

    from dropstream.local.servers import Postgres

    settings = connections.settings["default"]
    before = dict(settings)
    with tempfile.TemporaryDirectory() as folder:
        # As root PostgreSQL runs as nobody, who must be able to pass through.
        Path(folder).chmod(0o711)
        postgres = Postgres(Path(folder))
        try:
            connections["default"].close()
            where = environ.Env.db_url_config(postgres.start().owner)
            where["OPTIONS"] = before["OPTIONS"] | where.get("OPTIONS", {})
            settings |= where | {"ENGINE": before["ENGINE"]}
            with database():
                yield
        finally:
            settings |= before
            postgres.stop()


def make_shop(server: OpenSsh, rows: int, *, name: str = "Shop") -> Shop:
    """Make a store with so many SKUs in its warehouse; its key is let in."""
    from tests import factories

    account = factories.account(name)
    by = factories.person(f"{name.lower()}@shop.example", account)
    return add_shop(server, by, rows, name=name)


def add_shop(server: OpenSsh, by: User, rows: int, *, name: str) -> Shop:
    """Make one more store of somebody's account."""
    from connections.models import Channel
    from connections.warehouses.platforms import WarehousePlatform
    from tests import factories

    merchant = factories.merchant(by.membership.account, name)
    store = factories.store(
        merchant,
        **{"api_key": "neverused", "ip_account": server.username},
        sftp_endpoint=HOST,
    )
    # No form asks for it.
    settings = store.inventory_planner
    settings.stock_folder = str(server.folder)
    settings.save(update_fields=["stock_folder"])
    _trust(server, store, by)
    warehouse = factories.warehouse(merchant)
    warehouse.platform = WarehousePlatform.MANUAL
    warehouse.change_number = NUMBER
    warehouse.save(update_fields=["platform", "change_number"])
    connection = factories.connection(store, warehouse)
    _fill(warehouse, rows)
    channel = connection.channels.get(type=Channel.Type.INVENTORY)
    return Shop(channel, warehouse, rows)


def _trust(server: OpenSsh, store: Store, by: User) -> None:
    from stores import host_keys
    from stores.ssh_keys import current_key

    server.let_in(current_key(store).public_key)
    key = host_keys.note_offered(
        store.account_id,
        HOST,
        PORT,
        key_type=server.host_key.key_type,
        blob=server.host_key.blob,
    )
    host_keys.approve(key, by=by)


def _fill(warehouse: Warehouse, rows: int) -> None:
    from django.db import connection, transaction

    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL statement_timeout = 0")
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute(
            _FILL.format(
                account=warehouse.account_id,
                warehouse=warehouse.pk,
                number=NUMBER,
                rows=rows,
            )
        )
