"""A furnished merchant, and browsers of those who look at its pages."""

from __future__ import annotations

import pytest
from pytest_django import Settings

from tests import household
from tests.factories import Cast
from tests.household import Household


@pytest.fixture(autouse=True)
def _quick_keys(settings: Settings) -> None:
    settings.SSH_KEY_TYPE = "ed25519"  # RSA takes 0.3 s a key


@pytest.fixture
def rows(cast: Cast) -> Household:
    """One of everything, of the merchant in scope; made by the staff person."""
    return household.household(cast.merchant, cast.staff)
