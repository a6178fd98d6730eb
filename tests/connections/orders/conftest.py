"""The connection of the tests of orders, judged when each of them is over."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.factories import Line
from tests.lab.judge import FarSides, judge

# What was told is stored here, and at most twice; no run works without a lease.
JUDGED = (5, 6)


@pytest.fixture
def line(line: Line) -> Iterator[Line]:
    """As for all tests of connections; whatever befell it, it broke no promise."""
    yield line
    found = judge(FarSides.of(line.sandbox), settled=[])
    assert [one for one in found if one.invariant in JUDGED] == []
