"""The flush of transaction=True tests, on tables whose triggers refuse TRUNCATE."""

from __future__ import annotations

from typing import Any

from django.db.backends.postgresql import base, operations


class DatabaseOperations(operations.DatabaseOperations):
    """Flushes as a replica would: triggers do not fire."""

    def sql_flush(self, *args: Any, **kwargs: Any) -> list[str]:
        statements = super().sql_flush(*args, **kwargs)
        if not statements:
            return []
        # LOCAL: ends with the flush, so that tests still meet the triggers.
        return ["SET LOCAL session_replication_role = replica", *statements]


class DatabaseWrapper(base.DatabaseWrapper):
    """Same vendor, our operations."""

    ops_class = DatabaseOperations
