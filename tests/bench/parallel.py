"""Many small stores whose far sides are all far away."""

from __future__ import annotations

import re
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from tests.bench.growth import analyse, database
from tests.bench.registry import Measured, compare_seconds, measure
from tests.bench.stock import Shop, add_shop, dialled_at
from tests.bench.upload import real_server
from tests.lab.openssh import OpenSsh
from tests.lab.proxy import far_away

_STORES, _ROWS = 1000, 200
_ACCOUNTS = 10
_RTT_MS = 80.0
# As docker-compose.yml starts a worker.
_THREADS = 16
_ROUNDS = 4
_ONE_BY_ONE = 10


@measure("stores.parallel", goal="≥ 8 ×")
def stores_parallel() -> Measured:
    """1,000 stores of 200 rows, 80 ms away: 16 at once against one after another.

    Whole runs on 16 threads, as a worker has; the peer is the same on one thread. Rounds
    of 250 stores; one after another only 10 of each round are pushed, and the times are
    those of a store. Every push logs in for itself with its store's own key, which the
    server's log must prove. The user name is one: a machine has no thousand users.
    """
    with (
        database(),
        real_server(flags="-P opendir") as server,
        far_away(server.port, rtt_ms=_RTT_MS) as port,
        dialled_at(port),
    ):
        shops = make_shops(server, _STORES)
        analyse()
        return at_once(server, shops, rounds=_ROUNDS, one_by_one=_ONE_BY_ONE)


def make_shops(server: OpenSsh, count: int) -> list[Shop]:
    """Make stores with keys of their own, of several accounts in turn."""
    from tests import factories

    people = [
        factories.person(f"ada@{n}.example", factories.account(f"3PL {n}"))
        for n in range(_ACCOUNTS)
    ]
    return [
        add_shop(server, people[n % _ACCOUNTS], _ROWS, name=f"Shop {n}")
        for n in range(count)
    ]


def at_once(
    server: OpenSsh, shops: Sequence[Shop], *, rounds: int, one_by_one: int
) -> Measured:
    """Compare seconds per store, on many threads and on one."""
    size = len(shops) // rounds
    slices = [shops[n * size : (n + 1) * size] for n in range(rounds)]
    batches = iter([shops[:_THREADS], *slices])  # the first is not timed
    measured = compare_seconds(
        lambda: _push_all(next(batches), _THREADS),
        lambda: _push_all(shops[:one_by_one], 1),
        rounds=rounds,
    )
    pushes = len(shops[:_THREADS]) + rounds * size + (rounds + 1) * one_by_one
    _check_log_ins(server, pushes, len(shops))
    detail = (
        f"{len(shops):,} stores of {_ROWS} rows, {_THREADS} at once against one by one, "
        f"of those {one_by_one} a round; a store in: {measured.detail}"
    )
    return Measured(measured.ratio, detail)


def _push_all(shops: Sequence[Shop], threads: int) -> float:
    """Push every store once; return the seconds that one took on the average."""
    waiting = deque(shops)

    def work(_number: int) -> None:
        from django.db import connections

        try:
            while waiting:
                try:
                    shop = waiting.popleft()
                except IndexError:
                    return
                shop.push("stock_full")
        finally:
            connections.close_all()

    started_at = time.perf_counter()
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, range(threads)))
    return (time.perf_counter() - started_at) / len(shops)


def _check_log_ins(server: OpenSsh, pushes: int, stores: int) -> None:
    """No connection served two pushes, and no key two stores."""
    log = server.key_file.with_name("log").read_text()
    keys = re.findall(r"Accepted publickey for .* (SHA256:\S+)", log)
    if (len(keys), len(set(keys))) != (pushes, stores):
        raise RuntimeError(f"{len(keys)} log-ins with {len(set(keys))} keys")
