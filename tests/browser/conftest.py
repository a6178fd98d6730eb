"""One running product for all tests that walk through it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.browser.product import Product, running_product


@pytest.fixture(scope="session")
def product(browser_type_launch_args: object) -> Iterator[Product]:
    """Start the whole product, unless there is no browser to walk with."""
    with running_product() as running:
        yield running
