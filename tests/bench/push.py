"""Stock on its way out: as fast as PostgreSQL and the wire, whatever else is there."""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import statistics
import subprocess
import tempfile
import time
import types
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.bench.dispatch import twin, using
from tests.bench.growth import analyse, database
from tests.bench.registry import (
    Measured,
    PeerMissingError,
    compare,
    compare_seconds,
    measure,
)
from tests.bench.stock import NUMBER, Shop, durable_database, far_side, make_shop
from tests.bench.upload import put
from tests.lab.openssh import OpenSsh
from tests.lab.wire_servers import HOST

if TYPE_CHECKING:
    from tests.lab.workers import Workers

PSQL = shutil.which("psql")
_MILLION = 1_000_000
_SMALL = 10_000
_ROUNDS = 5
_SMALL_ROUNDS = 15
_LOOKS = 5

_MEMORY_ROUNDS = 3
# As docker-compose.yml starts a worker; the clock is production's.
_THREADS = 16
_CLOCK = {"LEASE_SECONDS": "60", "RING_AGAIN_SECONDS": "60", "RETRY_BASE_SECONDS": "30"}

# What somebody would write by hand for the same file.
_COPY = """
COPY (
    SELECT sku AS "VARIANT_ID", 'WH1' AS "WAREHOUSE_ID",
           trim_scale(available) AS "IN_STOCK", 'false' AS "REMOVED",
           to_char(changed_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS') AS "UPDATED_AT"
    FROM connections_stocklevel
    WHERE warehouse_id = {warehouse} AND change_number >= {number}
    ORDER BY sku
) TO STDOUT (FORMAT csv, HEADER)
"""


@measure("push.million", goal="≥ 0.7 ×")
def push_million() -> Measured:
    """1,000,000 changed rows, table to closed remote file, against psql and sftp.

    Ours is a whole run: changes found, rows checked, files cut at their size limit,
    bytes committed by a server that syncs, then sent. The peer: `psql COPY` to a file in
    memory, then `sftp put`. The details give both halves: to the kept file, and from it.
    """
    with durable_database(), far_side() as server:
        shop = make_shop(server, _MILLION)
        analyse()
        return against_psql(server, shop, rounds=_ROUNDS)


def against_psql(server: OpenSsh, shop: Shop, *, rounds: int) -> Measured:
    """Compare a push with psql and sftp. Raises PeerMissingError."""
    if PSQL is None:
        raise PeerMissingError("psql is not installed")
    ours: list[Halves] = []
    theirs: list[Halves] = []
    measured = compare(
        lambda: ours.append(_ours(shop)),
        lambda: theirs.append(_theirs(server, shop)),
        rounds=rounds,
    )
    _check_same_rows(server)
    halves = [
        f"{name} {statistics.median(mine):.2f} s against "
        f"{statistics.median(other):.2f} s"
        # The first of each is not timed.
        for name, mine, other in (
            ("build", [h.build_s for h in ours[1:]], [h.build_s for h in theirs[1:]]),
            ("send", [h.send_s for h in ours[1:]], [h.send_s for h in theirs[1:]]),
        )
    ]
    detail = f"{shop.rows:,} rows; {', '.join(halves)}; {measured.detail}"
    return Measured(measured.ratio, detail)


@dataclass(frozen=True)
class Halves:
    """Seconds until the file was kept, and from then on."""

    build_s: float
    send_s: float


def _ours(shop: Shop) -> Halves:
    from connections import failpoints
    from connections.runs.jobs import STOCK_CHANGES

    built_at: list[float] = []

    def notice(name: str) -> None:
        if name == "delivery.built":
            built_at.append(time.perf_counter())

    failpoints.hooks.append(notice)
    try:
        started_at = time.perf_counter()
        shop.push(STOCK_CHANGES.slug)
        ended_at = time.perf_counter()
    finally:
        failpoints.hooks.remove(notice)
    [kept_at] = built_at
    return Halves(kept_at - started_at, ended_at - kept_at)


def _theirs(server: OpenSsh, shop: Shop) -> Halves:
    from django.db import connection

    file = server.key_file.with_name("theirs.csv")
    connection.ensure_connection()
    at = connection.connection.info
    environment = {
        **{"PGHOST": at.host, "PGPORT": str(at.port), "PGDATABASE": at.dbname},
        **{"PGUSER": at.user, "PGPASSWORD": at.password},
    }
    started_at = time.perf_counter()
    with file.open("wb") as out:
        subprocess.run(
            [PSQL or "psql", "-X", "-q", "-c", _copy_of(shop)],
            stdout=out,
            check=True,
            timeout=300,
            env=os.environ | environment,
        )
    kept_at = time.perf_counter()
    put(server, file, "theirs.csv")
    return Halves(kept_at - started_at, time.perf_counter() - kept_at)


def _copy_of(shop: Shop) -> str:
    return _COPY.format(warehouse=shop.warehouse.pk, number=NUMBER)


def _check_same_rows(server: OpenSsh) -> None:
    """Both must really bring the rows, or the figure means nothing."""
    from connections.models import Delivery

    last = Delivery.objects.latest("pk")
    parts = Delivery.objects.filter(pk__lte=last.pk).order_by("-pk")[: last.parts]
    header = (server.folder / last.name).read_bytes().partition(b"\n")[0] + b"\n"
    rows = b"".join(
        (server.folder / part.name).read_bytes().removeprefix(header)
        for part in reversed(parts)
    )
    if header + rows != (server.folder / "theirs.csv").read_bytes():
        raise RuntimeError("the two files differ")


@measure("sync.nothing", goal="≤ 0.005 ×")
def sync_nothing() -> Measured:
    """A Smart Sync that finds nothing in 1,000,000 rows, against the full push.

    Once when the warehouse has not changed at all, and once when it has, but nothing
    that this store sells: then it must look. The worse one counts. Both without what
    any run costs in the queue, whatever its work; the details tell how long that is.
    """
    with database(), far_side() as server:
        shop = make_shop(server, _MILLION)
        analyse()
        return against_full(shop, rounds=_ROUNDS)


def against_full(shop: Shop, *, rounds: int) -> Measured:
    """Compare pushes that find nothing with one that sends every row."""
    from connections.runs.jobs import STOCK_FULL

    whole: list[float] = []

    def look(*, is_reported: bool) -> float:
        started_at = time.perf_counter()
        took_s = statistics.median(
            _look(shop, is_reported=is_reported) for _ in range(_LOOKS)
        )
        whole.append((time.perf_counter() - started_at) / _LOOKS)
        return took_s

    found = {
        name: compare_seconds(
            lambda: shop.push(STOCK_FULL.slug),
            functools.partial(look, is_reported=is_reported),
            rounds=rounds,
        )
        for name, is_reported in (("no report", False), ("a report", True))
    }
    detail = (
        f"{shop.rows:,} rows; "
        + "; ".join(
            f"{name} 1/{1 / one.ratio:.0f} ({one.detail})"
            for name, one in found.items()
        )
        + f"; a whole run that finds nothing {statistics.median(whole) * 1000:.0f} ms"
    )
    return Measured(max(one.ratio for one in found.values()), detail)


def _look(shop: Shop, *, is_reported: bool) -> float:
    """Do a Smart Sync that finds nothing; `is_reported`: the warehouse's number rises."""
    from django.db.models import F

    from connections.runs.jobs import STOCK_CHANGES
    from stores.models import Warehouse

    if is_reported:
        row = Warehouse.objects.filter(pk=shop.warehouse.pk)
        row.update(change_number=F("change_number") + 1)
    run, took_s = shop.run(STOCK_CHANGES.slug)
    if run.state != run.State.SUCCEEDED or "rows_sent" in run.counts:
        raise RuntimeError(f"{run.state}, {run.counts}")
    return took_s


@measure("push.beside_large", goal="≤ 1.5 ×")
def push_beside_large() -> Measured:
    """A push of a 10,000-row store, beside one of 1,000,000 rows against alone.

    Two databases on one server, the same but for the large store. Once every level and
    once what changed, which is all; the worse one counts.
    """
    with database(), twin() as copy, far_side() as server:
        from django.db import connections

        here = connections["default"]
        alone = using(copy, lambda: make_shop(server, _SMALL, name="Small"))
        using(copy, analyse)
        make_shop(server, _MILLION, name="Large")
        beside = make_shop(server, _SMALL, name="Small")
        analyse()

        def measured(job: str) -> Measured:
            return compare_seconds(
                lambda: using(copy, lambda: alone.push(job)),
                lambda: using(here, lambda: beside.push(job)),
                rounds=_SMALL_ROUNDS,
            )

        found = {job: measured(job) for job in ("stock_full", "stock_changes")}
    detail = "; ".join(
        f"{job} {one.ratio:.2f} × ({one.detail})" for job, one in found.items()
    )
    ratio = max(one.ratio for one in found.values())
    return Measured(ratio, f"{_SMALL:,} rows beside {_MILLION:,}; {detail}")


@measure("push.memory", goal="≤ 1.2 ×")
def push_memory() -> Measured:
    """Peak memory of a fresh worker less its idle, 1,000,000 rows against 10,000.

    The worker's whole process, on the pool that production has (Linux: VmHWM).
    """
    if not Path("/proc/self/status").exists():
        raise PeerMissingError("only Linux tells a process's peak")
    with database(), far_side() as server:
        small = make_shop(server, _SMALL, name="Small")
        large = make_shop(server, _MILLION, name="Large")
        analyse()
        return memory_of(server, small, large, rounds=_MEMORY_ROUNDS)


def memory_of(server: OpenSsh, small: Shop, large: Shop, *, rounds: int) -> Measured:
    """Compare what a push adds to a worker, in rounds that take turns."""
    from tests.lab.workers import real_workers

    facts = {
        "api_url": "http://127.0.0.1:9",
        "outbound_hosts": f"{HOST}=127.0.0.1:{server.port}",
    }
    with tempfile.TemporaryDirectory() as folder:
        far_sides = types.SimpleNamespace(facts=facts)
        with real_workers(Path(folder) / "logs", far_sides) as workers:  # type: ignore[arg-type]
            pairs = [
                (_added_kib(workers, small), _added_kib(workers, large))
                for _ in range(rounds)
            ]
    ratios = [grown / base for base, grown in pairs]
    base, grown = (statistics.median(one) / 1024 for one in zip(*pairs, strict=True))
    detail = (
        f"{rounds} rounds, ratio {min(ratios):.2f}-{max(ratios):.2f}; {large.rows:,} rows "
        f"add {grown:.1f} MiB to a worker, {small.rows:,} rows {base:.1f} MiB"
    )
    return Measured(statistics.median(ratios), detail)


def _added_kib(workers: Workers, shop: Shop) -> int:
    """Let a new worker do one push; return its peak less what it had before."""
    from connections.models import Heartbeat, SyncRun
    from connections.runs.jobs import STOCK_FULL
    from tests.engine import enqueue

    Heartbeat.objects.all().delete()
    worker = workers.start_worker(queues="runs", threads=_THREADS, **_CLOCK)
    workers.wait_for("the worker", Heartbeat.objects.filter(kind="worker").exists)
    with contextlib.suppress(OSError):
        # Forget the peak of its start.
        Path(f"/proc/{worker.pid}/clear_refs").write_text("5")
    idle = _status_kib(worker.pid, "VmRSS")
    run = SyncRun.objects.filter(pk=enqueue(shop.channel, STOCK_FULL.slug).pk)
    workers.wait_for("the push", run.filter(finished_at__isnull=False).exists)
    peak = _status_kib(worker.pid, "VmHWM")
    workers.kill(worker)
    if run.get().counts.get("rows_sent") != shop.rows:
        raise RuntimeError(f"{run.get().state}: {run.get().counts}")
    return peak - idle


def _status_kib(pid: int, name: str) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    [line] = [line for line in status.splitlines() if line.startswith(f"{name}:")]
    return int(line.split()[1])
