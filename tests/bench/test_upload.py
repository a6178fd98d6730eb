"""The measures of the wire do what they say, at a size that tests can afford."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from tests.bench import connect, upload
from tests.bench.registry import PeerMissingError
from tests.lab.openssh import OpenSsh


@pytest.fixture(scope="module")
def server() -> Iterator[OpenSsh]:
    with contextlib.ExitStack() as running:
        try:
            yield running.enter_context(upload.real_server())
        except PeerMissingError as missing:
            pytest.skip(str(missing))


def test_both_ways_bring_the_whole_file(server: OpenSsh) -> None:
    # Raises when one of them does not.
    assert upload._compared(server, server, rounds=1, size=100_000).ratio > 0


def test_both_ways_open_a_connection(server: OpenSsh) -> None:
    with contextlib.ExitStack() as opened:
        connect.ours(server, opened)
        connect.theirs(server, opened)
