"""Sessions that wait for each other in the database."""

from __future__ import annotations

import time

from django.db import connection as database


def wait_for_waiting(count: int) -> None:
    """Until so many sessions of this database wait for a lock."""
    until = time.monotonic() + 20
    while time.monotonic() < until:
        with database.cursor() as cursor:
            cursor.execute("SELECT pg_stat_clear_snapshot()")
            cursor.execute(
                "SELECT count(*) FROM pg_stat_activity "
                "WHERE datname = current_database() AND wait_event_type = 'Lock'"
            )
            [waiting] = cursor.fetchone()
        if waiting >= count:
            return
        time.sleep(0.01)
    raise AssertionError("nobody waits")
