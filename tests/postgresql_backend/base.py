"""The flush of transaction=True tests, on tables whose triggers refuse TRUNCATE."""

from __future__ import annotations

from typing import Any

from django.db.backends.postgresql import base, operations

# What migrating leaves: conftest.py lets it be made once, so no flush may take it away.
KEPT = {
    *("django_content_type", "auth_permission"),
    *("auth_group", "auth_group_permissions"),
}


class DatabaseOperations(operations.DatabaseOperations):
    """Flushes as a replica would: triggers and foreign keys do not fire."""

    def sql_flush(self, *args: Any, **kwargs: Any) -> list[str]:
        _style, tables, *_ = args
        if not tables:
            return []
        # DELETE: a test leaves few rows, and TRUNCATE makes every table's files anew.
        # LOCAL: ends with the flush, so that tests still meet the triggers.
        return [
            "SET LOCAL session_replication_role = replica",
            *(
                f"DELETE FROM {self.quote_name(table)}"  # noqa: S608 - our models' tables
                for table in tables
                if table not in KEPT
            ),
        ]


class DatabaseWrapper(base.DatabaseWrapper):
    """Same vendor, our operations."""

    ops_class = DatabaseOperations
