"""The local start: servers, roles, flush (design §5, stack §2)."""

from __future__ import annotations

import pytest
from django.core.cache import cache
from django.db import connection


@pytest.mark.django_db
def test_tests_run_on_postgresql() -> None:
    """A default SQLite would pass silently (stack §6)."""
    assert connection.vendor == "postgresql"
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_user")
        assert cursor.fetchone() != ("dropstream",)


def test_the_cache_answers() -> None:
    cache.set("local", "yes", 5)
    assert cache.get("local") == "yes"
