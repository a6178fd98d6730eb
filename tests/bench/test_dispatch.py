"""The measure of a tick does what it says, at its small size."""

from __future__ import annotations

import pytest

from connections.models import SyncRun
from tests.bench import dispatch


@pytest.mark.django_db(transaction=True)
def test_a_tick_finds_what_is_due_among_many_and_leaves_nothing() -> None:
    # Raises when other rows are made, due or rung for than are measured.
    dispatch._fill(dispatch._SMALL)
    dispatch._make_due()
    dispatch._dispatch()
    dispatch._silence()
    assert not SyncRun.objects.exists()
