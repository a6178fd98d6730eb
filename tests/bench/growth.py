"""Pages that must not slow down as an account grows (performance.md)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.bench.registry import Measured, compare, measure

if TYPE_CHECKING:
    from django.test import Client

_SMALL, _LARGE = 100, 10_000
_SHOWN = 25  # fewer on a page would measure little
_REQUESTS = 2
_ROUNDS = 25


@measure("connections.growth", goal="≤ 1.5 ×")
def connections_growth() -> Measured:
    """The list of connections of an account with 10,000 of them against 100.

    Whole requests through the middleware, on a throw-away database that holds both.
    """
    with database():
        small, large = _client("Small 3PL", _SMALL), _client("Large 3PL", _LARGE)
        analyse()
        queries = _queries(small), _queries(large)
        if queries[0] != queries[1]:
            raise RuntimeError(
                f"{queries[0]} queries for {_SMALL} connections, {queries[1]} for "
                f"{_LARGE}"
            )
        measured = compare(lambda: _load(small), lambda: _load(large), rounds=_ROUNDS)
    detail = (
        f"{_REQUESTS} lists of {_SMALL} against {_LARGE:,}, {queries[0]} queries each; "
        f"{measured.detail}"
    )
    return Measured(measured.ratio, detail)


@contextmanager
def database() -> Iterator[None]:
    """Django on volatile servers and a database that is gone afterwards."""
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
    import django
    from django.test import utils

    django.setup()
    utils.setup_test_environment()
    databases = utils.setup_databases(verbosity=0, interactive=False)
    try:
        yield
    finally:
        utils.teardown_databases(databases, verbosity=0)
        utils.teardown_test_environment()


def _client(name: str, count: int) -> Client:
    """Make an account with so many connections, and log its staff in."""
    from django.test import Client

    from stores.models import Role
    from tests import factories

    account = factories.account(name)
    person = factories.person(f"staff@{count}.example", account, Role.STAFF)
    factories.many_connections(account, count)
    client = Client()
    client.force_login(person)
    return client


def analyse() -> None:
    """What autovacuum would have done by the time an account is that large."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SET statement_timeout = 0")
        cursor.execute("VACUUM ANALYZE")
        cursor.execute("RESET statement_timeout")


def _queries(client: Client) -> int:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    _page(client)  # what a process asks for only once
    with CaptureQueriesContext(connection) as found:
        _page(client)
    return len(found)


def _load(client: Client) -> None:
    for _ in range(_REQUESTS):
        _page(client)


def _page(client: Client) -> None:
    from django.urls import reverse

    answer = client.get(reverse("connections:list"))
    shown = answer.content.count(b">Connection 0")
    if answer.status_code != 200 or shown < _SHOWN:
        raise RuntimeError(f"{shown} connections shown, status {answer.status_code}")
