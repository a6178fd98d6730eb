"""A connection that works, for tests of the engine."""

from __future__ import annotations

import pytest

from dropstream.sandbox import Sandbox
from tests import factories
from tests.factories import Line


@pytest.fixture
def line(transactional_db: None, sandbox: Sandbox) -> Line:
    """A connection that is on, from the sandbox's warehouse to its IP account."""
    administrator = factories.person("ada@acme.example", factories.account())
    return factories.line(sandbox, administrator)
