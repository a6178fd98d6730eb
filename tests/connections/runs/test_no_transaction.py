"""No transaction waits for a far side: locks and old snapshots would wait with it."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from urllib.parse import urlsplit

import psycopg
from django.db import connection as database

from dropstream.sandbox.http_server import Request
from tests.connections.orders.test_flow import set_up
from tests.engine import run_now
from tests.factories import Line

# Long enough for whatever was under way to come to rest.
PAUSE_S = 0.15

OPEN = """
    SELECT state, query FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()
      AND backend_type = 'client backend' AND xact_start IS NOT NULL
"""


class Watch:
    """Holds the first far-side step of each kind and looks for open transactions."""

    def __init__(self, look: Callable[[], list[tuple[str, str]]]) -> None:
        self.steps: list[str] = []
        self.open: dict[str, list[tuple[str, str]]] = {}
        self._look = look
        self._lock = threading.Lock()

    def at(self, step: str) -> None:
        with self._lock:
            if step in self.steps:
                return
            self.steps.append(step)
        time.sleep(PAUSE_S)
        if found := self._look():
            self.open[step] = found


def test_no_transaction_is_open_while_a_far_side_is_talked_to(line: Line) -> None:
    """Q13: at every kind of step of both flows."""
    line.clear_reports()
    body = "".join(f"SKU-{n:05d},RENO,{n}\n" for n in range(6000))
    line.report("inv_1.csv", "sku,facility,available\n" + body)
    url = urlsplit(os.environ["DATABASE_URL"])._replace(
        path=f"/{database.settings_dict['NAME']}"
    )

    def look() -> list[tuple[str, str]]:
        with psycopg.connect(url.geturl(), autocommit=True) as observer:
            return observer.execute(OPEN).fetchall()

    watch = Watch(look)

    def at_api(request: Request) -> None:
        watch.at(f"api {request.method} {request.path.count('/')}")

    set_up(line)
    line.sandbox.warehouse.sftp_faults.append(lambda op, path: watch.at(f"w {op}"))
    line.sandbox.ip.sftp_faults.append(lambda op, path: watch.at(f"ip {op}"))
    line.sandbox.ip.answers.append(at_api)
    run_now(line.stock, "stock_changes")
    run_now(line.orders, "orders_import")
    line.sandbox.warehouse.tick()
    run_now(line.orders, "orders_status")
    assert watch.open == {}
    seen = " ".join(watch.steps)
    for step in ("w read", "w renamed", "ip wrote", "ip closed", "GET", "PATCH"):
        assert step in seen
