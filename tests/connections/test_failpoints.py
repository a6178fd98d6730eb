"""Fail-points are passed where they say, and do nothing unless a test hooks in."""

from __future__ import annotations

import pytest

from connections import failpoints as product
from tests.connections.orders.test_flow import set_up
from tests.engine import run_now
from tests.factories import Line
from tests.lab import failpoints


def test_every_fail_point_lies_on_the_way_of_the_two_flows(line: Line) -> None:
    """D2: what no run passes, no crash is tried at."""
    passed: list[str] = []
    assert product.hooks == []
    product.hooks.append(passed.append)
    try:
        set_up(line)
        run_now(line.stock, "stock_changes")
        run_now(line.orders, "orders_import")
        line.sandbox.warehouse.tick()
        run_now(line.orders, "orders_status")
    finally:
        product.hooks.clear()
    assert set(passed) == failpoints.names()


def test_a_misspelt_fail_point_is_refused() -> None:
    """A crash that never happens would look like one that was survived."""
    with pytest.raises(ValueError, match="no fail-point"):
        failpoints.arm("delivery.typo=kill")
