"""A channel whose runs nobody does, and threads to race with."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from connections.models import Channel
from tests import factories


@pytest.fixture
def channel(transactional_db: None) -> Channel:
    """The stock channel of a connection that is on; no far side answers."""
    brand = factories.merchant(factories.account())
    made = factories.connection(factories.store(brand), factories.warehouse(brand))
    return made.channels.get(type=Channel.Type.INVENTORY)


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(max_workers=8) as pool:
        yield pool
