"""The inventory pages must not slow down as a warehouse grows (performance.md)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.bench.growth import analyse, database
from tests.bench.registry import Measured, compare, measure

if TYPE_CHECKING:
    from django.test import Client

    from connections.models import Connection

_SMALL, _LARGE = 1_000, 1_000_000
_ROUNDS = 15
_SHOWN = 50  # a full page everywhere


@dataclass(frozen=True)
class _Merchant:
    """A merchant's stock of one size, and its staff's browser."""

    client: Client
    line: Connection
    count: int

    def load(self, view: str, query: dict[str, str]) -> None:
        """Ask for a page, whole, through the middleware."""
        from django.urls import reverse

        answer = self.client.get(reverse(f"connections:inventory_{view}"), query)
        shown = answer.content.count(b'<th scope="row">')
        if answer.status_code != 200 or shown != _SHOWN:
            raise RuntimeError(f"{view} {query}: {shown} rows, {answer.status_code}")

    def queries(self, view: str, query: dict[str, str]) -> int:
        from django.db import connection
        from django.test.utils import CaptureQueriesContext

        self.load(view, query)  # what a process asks for only once
        with CaptureQueriesContext(connection) as found:
            self.load(view, query)
        return len(found)


@measure("stock.list", goal="≤ 2 ×")
def stock_list() -> Measured:
    """Inventory → Warehouse and → Channel at 1,000,000 rows against page 1 at 1,000.

    The worst of the first page, one far behind, a prefix search and a filter; the same
    number of queries in each. Every tenth SKU has a listing.
    """
    with database():
        small, large = _merchant(_SMALL), _merchant(_LARGE)
        analyse()
        found: dict[str, Measured] = {}
        for view, cases in _cases(large).items():
            expected = small.queries(view, {})
            for name, query in cases.items():
                queries = large.queries(view, query)
                if queries != expected:
                    raise RuntimeError(f"{view} {name}: {queries} queries, {expected}")
                found[f"{view} {name}"] = compare(
                    lambda view=view: small.load(view, {}),  # type: ignore[misc]
                    lambda view=view, query=query: large.load(view, query),  # type: ignore[misc]
                    rounds=_ROUNDS,
                )
    worst = max(found, key=lambda name: found[name].ratio)
    each = ", ".join(f"{name} {one.ratio:.2f}" for name, one in found.items())
    return Measured(found[worst].ratio, f"{each}; {worst}: {found[worst].detail}")


def _cases(large: _Merchant) -> dict[str, dict[str, dict[str, str]]]:
    """What is asked for of each view, by name."""
    far = _sku(large.count * 9 // 10)
    line = large.line
    place = [far, str(line.warehouse.public_id), ""]
    sold = [0, far, str(line.store.public_id), far]
    prefix = _sku(large.count // 2)[:-3]
    searched = {"first page": {}, "search": {"q": prefix}}
    return {
        "warehouse": {
            **searched,
            "far behind": {"after": json.dumps(place)},
            "filter": {"facility": "B", "after": json.dumps(place)},
        },
        "channel": {
            **searched,
            "far behind": {"after": json.dumps(sold)},
            "filter": {"store": str(line.store.public_id), "after": json.dumps(sold)},
        },
    }


def _merchant(count: int) -> _Merchant:
    """Make an account of one merchant with so many levels in two facilities."""
    from django.db import connection
    from django.test import Client

    from connections.models import Channel
    from stores.models import Role
    from tests import factories

    account = factories.account(f"3PL of {count}")
    person = factories.person(f"staff@{count}.example", account, Role.STAFF)
    merchant = factories.merchant(account)
    store = factories.store(merchant, sftp_endpoint="drop.example.com")
    line = factories.connection(store, factories.warehouse(merchant))
    names = {
        "account": account.pk,
        "warehouse": line.warehouse_id,
        "store": store.pk,
        "count": count,
        "connection": line.pk,
        "channel": line.channels.get(type=Channel.Type.INVENTORY).pk,
    }
    with connection.cursor() as cursor:
        cursor.execute("SET statement_timeout = 0")
        for statement in _FILL:
            cursor.execute(statement, names)
        cursor.execute("RESET statement_timeout")
    client = Client()
    client.force_login(person)
    return _Merchant(client, line, count)


def _sku(number: int) -> str:
    return f"SKU-{number:07}"


_FILL = (
    """
    INSERT INTO connections_stocklevel
        (account_id, warehouse_id, sku, facility, available, on_hand, committed,
         reported_at, change_number, changed_at)
    SELECT %(account)s, %(warehouse)s, 'SKU-' || lpad(n::text, 7, '0'),
           CASE n %% 2 WHEN 0 THEN 'A' ELSE 'B' END, n %% 997, n %% 997 + 3, 3,
           now(), 1 + n %% 50, now()
    FROM generate_series(1, %(count)s) n
    """,
    """
    INSERT INTO connections_listing
        (public_id, account_id, store_id, sku, channel_sku, variant_id, title, changed_at)
    SELECT gen_random_uuid(), %(account)s, %(store)s, 'SKU-' || lpad(n::text, 7, '0'),
           'SHOP-' || n, 'V-' || n, 'Listing ' || n, now()
    FROM generate_series(10, %(count)s, 10) n
    """,
    """
    INSERT INTO connections_delivery
        (public_id, account_id, connection_id, channel_id, store_id, entity, subject,
         name, rows, size, sha256, upper_bound, state, attempts, folder, error_code,
         created_at, delivered_at)
    SELECT gen_random_uuid(), %(account)s, %(connection)s, %(channel)s, %(store)s,
           'stock', '', 'f-' || %(store)s || '-' || n, 1, 1, '', n, 'delivered', 1, '',
           '', now(), now()
    FROM generate_series(1, 40) n
    """,
    "UPDATE connections_channel SET sent_through = 40 WHERE id = %(channel)s",
)
