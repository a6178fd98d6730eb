"""After every scenario the judge compares the far sides with the rows."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from connections.models import Channel
from tests.lab.judge import FarSides, judge


@pytest.fixture
def broken() -> set[int]:
    """The invariants that a scenario breaks on purpose, by the far side's own fault."""
    return set()


@pytest.fixture(autouse=True)
def judged(request: pytest.FixtureRequest, broken: set[int]) -> Iterator[None]:
    line = request.getfixturevalue("line") if "line" in request.fixturenames else None
    yield
    if line is not None:
        found = judge(FarSides.of(line.sandbox), settled=[Channel.Type.INVENTORY])
        assert {violation.invariant for violation in found} == broken, found
