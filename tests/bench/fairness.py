"""Nobody waits for somebody else's trouble: real workers, the real dispatcher (issue 4).

The far side is Inventory Planner's API, answering that there are no orders; warehouses are
served by hand. So a run is short, and what is measured is who gets to start when.
"""

from __future__ import annotations

import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tests.bench.growth import analyse, database
from tests.bench.registry import Measured, measure

if TYPE_CHECKING:
    from django.db.models import QuerySet

    from connections.models import Channel
    from dropstream.sandbox.http_server import Request, Response
    from stores.models import Account
    from tests.lab.workers import Workers

_STORES = 200
_ROUNDS = 5
_FLOOD = 10_000
_SMALL = 50
_AGREED_S = 60.0
# As docker-compose.yml starts a worker.
_THREADS = 16
_LONGEST_S = 300.0
_POLL_S = 0.1


@measure("dispatch.tarpit", goal="≤ 1.2 ×")
def dispatch_tarpit() -> Measured:
    """200 stores due at once, one of them a tarpit: how long the others wait to start.

    The 95th percentile against that without a tarpit; rounds in turn, medians.
    """
    with database():
        stores = _accounts("tarpit", 10, _STORES // 10)
        analyse()
        with _working() as far_side:
            _round(stores, far_side, tarpit=False)  # warms the worker up, untimed
            pairs = []
            for number in range(_ROUNDS):
                first = bool(number % 2)
                found = {
                    way: _round(stores, far_side, way) for way in (first, not first)
                }
                pairs.append((found[True], found[False]))
    ratio = statistics.median(with_one / without for with_one, without in pairs)
    detail = (
        f"{_STORES} stores, {_ROUNDS} rounds; p95 of the start "
        f"{statistics.median(pair[0] for pair in pairs):.2f} s with a tarpit, "
        f"{statistics.median(pair[1] for pair in pairs):.2f} s without"
    )
    return Measured(ratio, detail)


@measure("dispatch.fair", goal="≤ 1 ×")
def dispatch_fair() -> Measured:
    """50 accounts with one due run each, while one with 10,000 is being served.

    The longest that one of the 50 waits to start, as a share of 60 s.
    """
    with database():
        flood = _accounts("flood", 1, _FLOOD)
        small = _accounts("small", _SMALL, 1)
        analyse()
        with _working():
            _make_due(_orders_of(flood))
            _until("the flood is served", lambda: _started(flood) >= 2 * _THREADS)
            served_before = _started(flood)
            _make_due(_orders_of(small))
            _until("all of the others began", lambda: _started(small) == _SMALL)
            longest = max(_delays(small))
            served = _started(flood) - served_before
    detail = (
        f"{_SMALL} accounts beside one with {_FLOOD:,} due: the last of them waited "
        f"{longest:.1f} s; the flood had {served} starts meanwhile"
    )
    return Measured(longest / _AGREED_S, detail)


class _FarSide:
    """An API without orders; the tarpit's account is kept waiting."""

    TARPIT = "tarpit"

    def __init__(self) -> None:
        self._released = threading.Event()

    def __call__(self, request: Request) -> Response:
        from dropstream.sandbox.http_server import Response, json_response

        if request.headers.get("account") == self.TARPIT:
            self._released.wait(_LONGEST_S)
            return Response(drop=True)
        return json_response({"purchase-orders": [], "meta": {"total": 0}})

    @contextmanager
    def stuck(self) -> Iterator[None]:
        """Keep whoever comes to the tarpit until the block ends."""
        self._released.clear()
        try:
            yield
        finally:
            self._released.set()


@contextmanager
def _working() -> Iterator[_FarSide]:
    """A worker, the tick and the far side, at production's clock."""
    from dropstream.sandbox import Sandbox
    from tests.lab.workers import real_workers

    with tempfile.TemporaryDirectory() as folder:
        at = Path(folder)
        far_side = _FarSide()
        quiet = {"skus": 1, "tick_s": None, "sync_s": None, "stock_interval_s": None}
        with Sandbox(at / "sandbox", **quiet) as sandbox:  # type: ignore[arg-type]
            sandbox.ip.answers.append(far_side)
            with real_workers(at / "logs", sandbox) as workers:
                _start(workers)
                yield far_side


def _start(workers: Workers) -> None:
    from connections.models import Heartbeat

    clock = {
        **{"TICK_SECONDS": "15", "LEASE_SECONDS": "60", "RING_AGAIN_SECONDS": "60"},
        **{"RETRY_BASE_SECONDS": "30", "BREAKER_PROBE_SECONDS": "300"},
    }
    workers.start_worker(threads=_THREADS, **clock)
    workers.start_tick(**clock)
    workers.wait_for("the worker", Heartbeat.objects.filter(kind="worker").exists)


def _accounts(name: str, count: int, stores: int) -> list[Account]:
    """Accounts with so many connections each, whose orders can be asked for."""
    from connections.warehouses.platforms import WarehousePlatform
    from inventory_planner.models import InventoryPlannerSettings
    from stores.models import Warehouse
    from tests import factories

    made = [factories.account(f"{name} {number}") for number in range(count)]
    for account in made:
        factories.many_connections(account, stores)
    Warehouse.objects.update(platform=WarehousePlatform.MANUAL)
    rows = list(InventoryPlannerSettings.objects.filter(account__in=made))
    for row in rows:
        row.seal("api_key", "never checked")
    InventoryPlannerSettings.objects.bulk_update(rows, ["sealed_api_key"], 1000)
    return made


def _orders_of(accounts: list[Account]) -> QuerySet[Channel]:
    from connections.models import Channel

    channels = Channel.objects.filter(account__in=accounts)
    return channels.filter(type=Channel.Type.PURCHASE_ORDERS)


def _make_due(channels: QuerySet[Channel]) -> None:
    """Let the import of each channel be due now, as a tick does; and ring."""
    from django.db.models.functions import Now

    from connections.models import SyncRun
    from connections.runs import queue

    SyncRun.objects.bulk_create(
        SyncRun(
            account_id=channel.account_id,
            connection_id=channel.connection_id,
            channel=channel,
            store_id=channel.connection.store_id,
            job="orders_import",
            trigger=SyncRun.Trigger.SCHEDULE,
            due_at=Now(),
        )
        for channel in channels.select_related("connection")
    )
    queue.ring_due()


def _round(accounts: list[Account], far_side: _FarSide, tarpit: bool) -> float:
    """One round with every store due; the 95th percentile of the others' waits."""
    from connections.models import Channel, SyncRun
    from inventory_planner.models import InventoryPlannerSettings

    runs = SyncRun.objects.filter(account__in=accounts)
    runs.delete()
    one = InventoryPlannerSettings.objects.filter(account__in=accounts).earliest("pk")
    one.ip_account = far_side.TARPIT if tarpit else "healthy"
    one.save(update_fields=["ip_account"])
    first, others = runs.filter(store=one.store_id), runs.exclude(store=one.store_id)
    channels = _orders_of(accounts)
    held = "running" if tarpit else "succeeded"
    with far_side.stuck():
        _make_due(channels.filter(connection__store=one.store_id))
        _until("the first is held", lambda: first.filter(state=held).exists())
        _make_due(channels.exclude(connection__store=one.store_id))
        _until("the others began", lambda: not others.filter(started_at=None).exists())
        delays = _delays(accounts, without=one.store_id)
        if tarpit and first.filter(state="succeeded").exists():
            raise RuntimeError("the tarpit answered")
    _until("the round is over", lambda: not runs.filter(state="running").exists())
    Channel.objects.update(failures=0, gate_until=None)
    return statistics.quantiles(delays, n=20)[-1]


def _started(accounts: list[Account]) -> int:
    from connections.models import SyncRun

    runs = SyncRun.objects.filter(account__in=accounts)
    return runs.filter(started_at__isnull=False).count()


def _delays(accounts: list[Account], *, without: int = 0) -> list[float]:
    from connections.models import SyncRun

    runs = SyncRun.objects.filter(account__in=accounts, first_started_at__isnull=False)
    times = runs.exclude(store=without).values_list("due_at", "first_started_at")
    return [(started - due).total_seconds() for due, started in times if started]


def _until(what: str, happened: Callable[[], bool]) -> None:
    end = time.monotonic() + _LONGEST_S
    while not happened():
        if time.monotonic() > end:
            raise RuntimeError(f"not in time: {what}")
        time.sleep(_POLL_S)
