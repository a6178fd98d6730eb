"""A backup of the test's database and its restore: the real thing, by PostgreSQL."""

from __future__ import annotations

import os
from urllib.parse import urlsplit

import psycopg
from django.db import connection as database
from psycopg import sql


class Backup:
    """The database as it stood; everything that happened since is lost by `restore`."""

    def __init__(self) -> None:
        self._name = database.settings_dict["NAME"]
        self._copy = f"{self._name}_backup"
        database.close()
        self._clone(self._name, self._copy)

    def restore(self) -> None:
        """Put the backup in the place of the database."""
        database.close()
        self._drop(self._name)
        self._clone(self._copy, self._name)

    def remove(self) -> None:
        database.close()
        self._drop(self._copy)

    def _clone(self, old: str, new: str) -> None:
        # What a killed worker or an ended thread of another test left open.
        self._do(
            sql.SQL(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
                " WHERE datname = {} AND backend_type = 'client backend'"
            ).format(sql.Literal(old))
        )
        names = (sql.Identifier(new), sql.Identifier(old))
        self._do(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(*names))

    def _drop(self, name: str) -> None:
        self._do(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))

    def _do(self, statement: sql.Composed) -> None:
        url = urlsplit(os.environ["DATABASE_URL"])._replace(path="/postgres")
        with psycopg.connect(url.geturl(), autocommit=True) as server:
            server.execute(statement)
