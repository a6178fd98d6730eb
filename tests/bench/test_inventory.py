"""What the measure of the inventory pages relies on, at a size that tests can afford."""

from __future__ import annotations

import pytest

from tests.bench import inventory


@pytest.mark.django_db
def test_each_page_that_is_measured_is_full_and_costs_the_same_queries() -> None:
    small, large = inventory._merchant(300), inventory._merchant(2_000)
    for view, cases in inventory._cases(large).items():
        found = {name: large.queries(view, query) for name, query in cases.items()}
        assert set(found.values()) == {small.queries(view, {})}, (view, found)
