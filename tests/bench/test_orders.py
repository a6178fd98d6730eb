"""The measures of orders do what they say, at a size that tests can afford."""

from __future__ import annotations

import pytest

from tests.bench import orders


@pytest.mark.usefixtures("transactional_db")
def test_an_import_is_whole_and_its_repetition_writes_nothing() -> None:
    with orders.importer(120) as ours:
        # Raises when orders are missing.
        assert orders.against_rows(ours, part=1, rounds=1).ratio > 0
        assert orders.written_again(ours) == 0
