"""Purchase orders from the API into the tables (performance.md §6)."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import requests

from tests.bench.growth import analyse, database
from tests.bench.registry import Measured, PeerMissingError, measure
from tests.bench.stock import durable_database

if TYPE_CHECKING:
    from connections.models import Channel, SyncRun
    from stores.models import Store

_ORDERS = 10_000
_PART = 100  # of them for the peer: it takes minutes for all
_ROUNDS = 3
_SMALL, _LARGE = 1_000, 100_000
_TABLES = ("purchaseorder", "purchaseorderline", "activity", "handover", "alert")
_START_S = 30.0
_FORGET = """
    DELETE FROM connections_activity USING connections_purchaseorder o
        WHERE order_id = o.id AND o.store_id = %(store)s;
    DELETE FROM connections_purchaseorderline USING connections_purchaseorder o
        WHERE order_id = o.id AND o.store_id = %(store)s;
    DELETE FROM connections_purchaseorder WHERE store_id = %(store)s;
    DELETE FROM connections_orderreading WHERE store_id = %(store)s
"""


@dataclass(frozen=True)
class Importer:
    """A store at a sandbox with so many orders; its warehouse fetches none by itself."""

    channel: Channel
    store: Store
    facts: dict[str, Any]
    orders: int

    def run(self) -> SyncRun:
        """Import until the end, in as many turns as it takes; as workers do it."""
        from connections.runs import execute
        from connections.tasks import WORK
        from tests.engine import enqueue

        run = enqueue(self.channel, "orders_import")
        while run.finished_at is None:
            execute.execute(run.pk, WORK)
            run.refresh_from_db()
            if run.error_code:
                raise RuntimeError(f"{run.state} {run.error_code} {run.error_detail}")
        return run

    def give_away(self) -> None:
        """Let what was imported be a neighbour's: a database in use knows some orders."""
        from connections.models import PurchaseOrder, PurchaseOrderLine
        from tests import factories

        neighbour = factories.store(self.store.merchant, ip_account="neighbour")
        for model in (PurchaseOrder, PurchaseOrderLine):
            model._default_manager.filter(store=self.store).update(store=neighbour)

    def forget(self) -> None:
        """As if none of the store's orders had ever been imported."""
        from django.db import connection

        with connection.cursor() as cursor:
            cursor.execute(_FORGET, {"store": self.store.pk})
        analyse()


@measure("orders.import", goal="≥ 60 ×")
def orders_import() -> Measured:
    """10,000 orders of 20 lines by API, against `update_or_create` for each row.

    Ours is a whole run: fetched, checked, typed, stored with document, lines and
    timeline. The peer reads the same pages with requests and stores a part of them,
    order by order and line by line. Both as orders a second, on a server that keeps what
    it commits and holds a neighbour's orders; pacing is off.
    """
    from dropstream.celery import search_cycles_seldom

    with durable_database(), importer(_ORDERS) as ours:
        search_cycles_seldom()
        return against_rows(ours, part=_PART, rounds=_ROUNDS)


def against_rows(ours: Importer, *, part: int, rounds: int) -> Measured:
    """Compare whole imports with a part of the orders stored row by row."""
    ratios: list[float] = []
    took: list[float] = []
    ours.run()
    ours.give_away()
    for _ in range(rounds):
        ours.forget()
        peer_s = _peer(ours, part) / part
        ours.forget()
        started_at = time.perf_counter()
        run = ours.run()
        took.append(time.perf_counter() - started_at)
        if run.counts.get("orders_imported") != ours.orders:
            raise RuntimeError(f"{run.counts}")
        ratios.append(peer_s / (took[-1] / ours.orders))
    detail = (
        f"{rounds} rounds, ratio {min(ratios):.0f}-{max(ratios):.0f}; {ours.orders:,} "
        f"orders of 20 lines in {median(took):.1f} s, "
        f"{ours.orders / median(took):.0f} a second"
    )
    return Measured(median(ratios), detail)


@measure("orders.unchanged", goal="≤ 0 ×")
def orders_unchanged() -> Measured:
    """The same 10,000 orders read once more in full: rows written, against orders.

    Written is what the database counts on orders, lines, timeline, tombstones and
    alerts: tuples inserted, updated and deleted alike.
    """
    with database(), importer(_ORDERS) as ours:
        ours.run()
        analyse()
        started_at = time.perf_counter()
        written = written_again(ours)
        took_s = time.perf_counter() - started_at
    detail = f"{written} rows written, {took_s:.1f} s"
    return Measured(written / _ORDERS, detail)


def written_again(ours: Importer) -> int:
    """Read everything that was imported once more; return how many rows that wrote."""
    from connections.models import OrderReading

    # The day is over.
    OrderReading.objects.filter(store=ours.store).update(all_read_at=None)
    before = _tuples_written()
    run = ours.run()
    if run.counts:
        raise RuntimeError(f"{run.counts}")
    return _tuples_written() - before


@measure("orders.memory", goal="≤ 1.2 ×")
def orders_memory() -> Measured:
    """Peak memory of a fresh worker process: 100,000 orders against 1,000.

    Less what it had before the import (Linux: VmHWM).
    """
    if not Path("/proc/self/status").exists():
        raise PeerMissingError("only Linux tells a process's peak")
    with database():
        added = {}
        for size in (_SMALL, _LARGE):
            with importer(size, name=f"S{size}") as ours:
                added[size] = _added_kib(ours)
    detail = ", ".join(
        f"{size:,} orders add {kib / 1024:.1f} MiB" for size, kib in added.items()
    )
    return Measured(added[_LARGE] / added[_SMALL], detail)


@contextmanager
def importer(orders: int, *, name: str = "Crowd") -> Iterator[Importer]:
    """A store whose API is a sandbox in a process of its own."""
    from django.test import override_settings

    with far_side(orders) as facts, override_settings(**settings_of(facts)):
        yield make_importer(facts, orders, name=name)


def settings_of(facts: dict[str, Any]) -> dict[str, Any]:
    return {
        "INVENTORY_PLANNER_API_URL": facts["api_url"],
        "OUTBOUND_HOSTS": facts["outbound_hosts"],
        "INVENTORY_PLANNER_REQUESTS_PER_S": 1_000_000,
    }


@contextmanager
def far_side(orders: int) -> Iterator[dict[str, Any]]:
    """Run a sandbox; give its facts."""
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        command = [sys.executable, "-m", "dropstream.sandbox", "--state", folder]
        process = subprocess.Popen(
            [*command, "--orders", str(orders), "--skus", "10", "--still"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        stack.callback(process.wait)
        stack.callback(process.terminate)
        facts = Path(folder) / "facts.json"
        end = time.monotonic() + _START_S
        while not facts.exists():
            if process.poll() is not None or time.monotonic() > end:
                raise RuntimeError("the sandbox did not start")
            time.sleep(0.05)
        yield json.loads(facts.read_text())


def make_importer(facts: dict[str, Any], orders: int, *, name: str) -> Importer:
    from connections.models import Channel
    from connections.warehouses.platforms import WarehousePlatform
    from tests import factories

    merchant = factories.merchant(factories.account(name), name)
    demo = facts["demo"]
    store = factories.store(
        merchant,
        api_key=demo["api_key"],
        ip_account=demo["account_id"],
        import_status_filter="ORDERED",
    )
    warehouse = factories.warehouse(merchant)
    warehouse.platform = WarehousePlatform.MANUAL
    warehouse.save(update_fields=["platform"])
    connection = factories.connection(store, warehouse)
    channel = connection.channels.get(type=Channel.Type.PURCHASE_ORDERS)
    return Importer(channel, store, facts, orders)


def _peer(importer: Importer, part: int) -> float:
    """Store a part of the orders row by row; return the seconds."""
    started_at = time.perf_counter()
    for document in islice(_documents(importer), part):
        _store_by_row(importer.store, document)
    return time.perf_counter() - started_at


def _documents(importer: Importer) -> Iterator[dict[str, Any]]:
    demo = importer.facts["demo"]
    headers = {"Authorization": demo["api_key"], "Account": demo["account_id"]}
    with requests.Session() as session:
        session.trust_env = False
        for page in range(-(-importer.orders // 100)):
            answer = session.get(
                importer.facts["api_url"] + "api/v1/purchase-orders",
                params={"limit": "100", "page": str(page), "status_eqi": "ORDERED"},
                headers=headers,
                timeout=30,
            )
            yield from answer.json()["purchase-orders"]


def _store_by_row(store: Store, document: dict[str, Any]) -> None:
    from django.utils import timezone

    from connections.models import PurchaseOrder

    order, _ = PurchaseOrder.objects.update_or_create(
        store=store,
        external_id=document["id"],
        defaults={
            "account": store.account,
            "reference": document["reference"],
            "vendor": document["vendor_display_name"],
            "remote_status": document["status"],
            "remote_warehouse": document["warehouse"],
            "expected_on": document["expected_date"],
            "document": document,
            "changed_at": timezone.now(),
        },
    )
    for item in document["items"]:
        order.lines.update_or_create(
            line_id=item["line_id"],
            defaults={
                "external_id": item["id"],
                "sku": item["sku"],
                "title": item["title"],
                "quantity": item["replenishment"],
                "received_there": item["received"],
            },
        )


def _tuples_written() -> int:
    """What the database counted on the tables of orders, in all transactions so far."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_stat_force_next_flush()")
        cursor.execute(
            "SELECT sum(n_tup_ins + n_tup_upd + n_tup_del) FROM pg_stat_user_tables "
            "WHERE relname = ANY(%s)",
            [[f"connections_{table}" for table in _TABLES]],
        )
        return int(cursor.fetchone()[0])


def _added_kib(importer: Importer) -> int:
    """Import in a process of its own; return its peak less what it had before."""
    from django.db import connection

    where = connection.settings_dict
    environment = os.environ | {
        "BENCH_DATABASE": str(where["NAME"]),
        "BENCH_CHANNEL": str(importer.channel.pk),
        "BENCH_SETTINGS": json.dumps(settings_of(importer.facts)),
    }
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench.orders"],
        env=environment,
        check=True,
        timeout=1800,
        capture_output=True,
        text=True,
    )
    found = json.loads(done.stdout)
    if found["imported"] != importer.orders:
        raise RuntimeError(f"{found}")
    return int(found["peak_kib"] - found["idle_kib"])


def _main() -> None:
    """Import everything of a channel; print what memory that took."""
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
    import django
    from django.conf import settings

    settings.DATABASES["default"]["NAME"] = os.environ["BENCH_DATABASE"]
    django.setup()
    from connections.models import Channel

    for name, value in json.loads(os.environ["BENCH_SETTINGS"]).items():
        setattr(settings, name, value)
    channel = Channel.objects.get(pk=os.environ["BENCH_CHANNEL"])
    importer = Importer(channel, channel.connection.store, {}, 0)
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    idle = _status_kib("VmRSS")
    run = importer.run()
    found = {
        "idle_kib": idle,
        "peak_kib": _status_kib("VmHWM"),
        "imported": run.counts.get("orders_imported"),
    }
    sys.stdout.write(json.dumps(found))


def _status_kib(name: str) -> int:
    status = Path("/proc/self/status").read_text()
    [line] = [line for line in status.splitlines() if line.startswith(f"{name}:")]
    return int(line.split()[1])


if __name__ == "__main__":
    _main()
