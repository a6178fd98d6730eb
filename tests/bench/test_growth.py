"""What the measure of the list relies on, at a size that tests can afford."""

from __future__ import annotations

import pytest

from tests.bench import growth


@pytest.mark.django_db
def test_a_page_of_connections_costs_the_same_queries_whatever_their_number() -> None:
    small = growth._client("Small 3PL", 30)
    large = growth._client("Large 3PL", 120)
    # Raises when a page does not show what is measured.
    assert growth._queries(small) == growth._queries(large)
