"""Real workers, a stock to push, and a Redis that may be stopped."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from celery import current_app

from connections.runs import switch
from dropstream.local.servers import Valkey
from tests.connections.processes.work import ROWS
from tests.factories import Line
from tests.lab.workers import Workers, real_workers


@pytest.fixture
def bell() -> Iterator[redis.Redis]:
    """The Redis of this test process alone: each one has a database of its own."""
    with redis.Redis.from_url(os.environ["REDIS_URL"]) as client:
        client.flushdb()
        yield client
        client.flushdb()


@pytest.fixture
def stock_line(line: Line) -> Line:
    """Stock of many SKUs, and nothing else to do."""
    line.clear_reports()
    rows = "".join(f"SKU-{n:05d},RENO,{n}\n" for n in range(ROWS))
    line.report("inv_1.csv", "sku,facility,available\n" + rows)
    switch.disable_channel(line.orders, by=line.person)
    return line


@pytest.fixture
def workers(tmp_path: Path, bell: redis.Redis, stock_line: Line) -> Iterator[Workers]:
    with real_workers(tmp_path / "logs", stock_line.sandbox) as started:
        yield started


@pytest.fixture
def own_valkey(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Valkey]:
    """A Redis that the test may stop, with an append-only file as production's has.

    The workers and this process ring there.
    """
    valkey = Valkey(tmp_path / "valkey")
    monkeypatch.setenv("REDIS_URL", valkey.start())
    before = current_app.conf.broker_url
    ring_at(f"redis+socket://{valkey.socket}")
    yield valkey
    ring_at(before)
    valkey.stop()
    valkey.remove()


def ring_at(broker_url: str) -> None:
    """Let this process ring somewhere else; its connections are forgotten."""
    current_app.conf.update(broker_url=broker_url)
    current_app._after_fork()  # type: ignore[attr-defined]
