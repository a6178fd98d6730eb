"""What the measure of the list of orders relies on, at a size that tests can afford."""

from __future__ import annotations

import pytest

from tests.bench import order_list


@pytest.mark.django_db
def test_each_page_that_is_measured_is_full_and_costs_the_same_queries(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for module in ("connections.views.order_list", "connections.views.paging"):
        monkeypatch.setattr(f"{module}.ROWS", 1)
    monkeypatch.setattr(order_list, "_SHOWN", 1)
    small, large = order_list._merchant(100), order_list._merchant(6_000)
    expected = small.queries({})
    for name, query in order_list._cases(large).items():
        assert large.queries(query) == expected, name
