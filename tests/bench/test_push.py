"""The measures of pushes do what they say, at a size that tests can afford."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bench import parallel, push, stock
from tests.bench.registry import PeerMissingError
from tests.lab.openssh import OpenSsh


@pytest.fixture
def server(transactional_db: None) -> Iterator[OpenSsh]:
    with contextlib.ExitStack() as running:
        try:
            yield running.enter_context(stock.far_side())
        except PeerMissingError as missing:
            pytest.skip(str(missing))


def test_a_push_brings_the_same_rows_as_psql(server: OpenSsh) -> None:
    shop = stock.make_shop(server, 3000)
    if push.PSQL is None:
        pytest.skip("psql is not installed")
    # Raises when the rows differ.
    assert push.against_psql(server, shop, rounds=1).ratio > 0


def test_a_look_that_finds_nothing_sends_nothing(server: OpenSsh) -> None:
    shop = stock.make_shop(server, 10)
    # Raises when it sends something.
    assert push.against_full(shop, rounds=1).ratio > 0


def test_each_of_many_pushes_logs_in_with_its_own_key(server: OpenSsh) -> None:
    shops = parallel.make_shops(server, 4)
    # Raises when the server saw other log-ins.
    assert parallel.at_once(server, shops, rounds=2, one_by_one=1).ratio > 0


def test_a_workers_memory_is_read_while_it_pushes(server: OpenSsh) -> None:
    if not Path("/proc/self/status").exists():
        pytest.skip("only Linux tells a process's peak")
    small = stock.make_shop(server, 10, name="Small")
    large = stock.make_shop(server, 20, name="Large")
    # Raises when a push does not send what it should.
    assert push.memory_of(server, small, large, rounds=1).ratio > 0
