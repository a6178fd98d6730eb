"""The wizard, as a staff person walks through it."""

from __future__ import annotations

import pytest
from pytest_django import Settings

from tests.connections.wizard.walk import Walk
from tests.factories import Cast


@pytest.fixture(autouse=True)
def _quick_keys(settings: Settings) -> None:
    settings.SSH_KEY_TYPE = "ed25519"  # RSA takes 0.3 s a key


@pytest.fixture
def walk(cast: Cast) -> Walk:
    """A new draft of a staff person."""
    return Walk(cast.staff)
