"""The list of purchase orders must not slow down as an account grows (performance.md)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import partial
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
    """A merchant's orders of one size, and its staff's browser."""

    client: Client
    line: Connection
    count: int

    def load(self, query: dict[str, str]) -> None:
        """Ask for a page, whole, through the middleware."""
        from django.urls import reverse

        answer = self.client.get(reverse("connections:order_list"), query)
        shown = answer.content.count(b'<th scope="row">')
        if answer.status_code != 200 or shown != _SHOWN:
            raise RuntimeError(f"{query}: {shown} rows, {answer.status_code}")

    def queries(self, query: dict[str, str]) -> int:
        from django.db import connection
        from django.test.utils import CaptureQueriesContext

        self.load(query)  # what a process asks for only once
        with CaptureQueriesContext(connection) as found:
            self.load(query)
        return len(found)


@measure("orders.list", goal="≤ 2 ×")
def orders_list() -> Measured:
    """The list at 1,000,000 orders of two lines against page 1 at 1,000.

    The worst of the first page, one far behind, searches by each field, filters, and
    both; the same number of queries in each. One order in ten thousand is in Error.
    """
    with database():
        small, large = _merchant(_SMALL), _merchant(_LARGE)
        analyse()
        expected = small.queries({})
        found: dict[str, Measured] = {}
        for name, query in _cases(large).items():
            queries = large.queries(query)
            if queries != expected:
                raise RuntimeError(f"{name}: {queries} queries, {expected}")
            found[name] = compare(
                lambda: small.load({}),
                partial(large.load, query),
                rounds=_ROUNDS,
            )
    worst = max(found, key=lambda name: found[name].ratio)
    each = ", ".join(f"{name} {one.ratio:.2f}" for name, one in found.items())
    return Measured(found[worst].ratio, f"{each}; {worst}: {found[worst].detail}")


def _cases(large: _Merchant) -> dict[str, dict[str, str]]:
    """What is asked for, by name."""
    from connections.models import PurchaseOrder

    far = PurchaseOrder.objects.get(reference=_number(large.count // 10))
    place = json.dumps([0, far.imported_at.isoformat(), str(far.public_id)])
    middle = _number(large.count // 2)
    line = {"connection": str(large.line.public_id)}
    return {
        "first page": {},
        "far behind": {"after": place},
        "PO number": {"q": middle[:-3]},
        "PO number far behind": {
            "q": middle[:4],
            "after": json.dumps([0, far.reference, str(far.public_id)]),
        },
        "vendor": {"q": "vendor 7"},
        "SKU": {"q": "SKU-5"},
        "open": {"status": "open", "after": place},
        "error": {"status": "error"},
        "connection": {**line, "status": "open", "after": place},
        "store": {"store": str(large.line.store.public_id), "after": place},
        "day": {"until": f"{far.imported_at:%Y-%m-%d}"},
        "PO number, open": {"q": middle[:-3], "status": "open"},
        "PO number, error": {"q": "PO-", "status": "error"},
    }


def _merchant(count: int) -> _Merchant:
    """Make an account of one merchant with so many orders, of two stores."""
    from django.db import connection
    from django.test import Client

    from stores.models import Role
    from tests import factories

    account = factories.account(f"3PL of {count}")
    person = factories.person(f"staff@{count}.example", account, Role.STAFF)
    merchant = factories.merchant(account)
    store = factories.store(merchant)
    line = factories.connection(store, factories.warehouse(merchant))
    other = factories.store(merchant)
    elsewhere = factories.connection(other, line.warehouse)
    with connection.cursor() as cursor:
        cursor.execute("SET statement_timeout = 0")
        for statement in _FILL:
            cursor.execute(
                statement,
                {
                    "account": account.pk,
                    "stores": [store.pk, other.pk],
                    "lines": [line.pk, elsewhere.pk],
                    "count": count,
                },
            )
        cursor.execute("RESET statement_timeout")
    client = Client()
    client.force_login(person)
    return _Merchant(client, line, count)


def _number(number: int) -> str:
    return f"PO-{number:07}"


_FILL = (
    """
    INSERT INTO connections_purchaseorder
        (public_id, account_id, store_id, connection_id, external_id, reference, vendor,
         remote_warehouse, remote_status, status, held, document, content_hash,
         imported_at, changed_at, acknowledgement, write_effect, write_attempts,
         write_refused, error, expected_on)
    SELECT gen_random_uuid(), %(account)s, (%(stores)s::bigint[])[1 + n %% 2],
           (%(lines)s::bigint[])[1 + n %% 2], %(account)s || '-' || n,
           'PO-' || lpad(n::text, 7, '0'), 'Vendor ' || n %% 1000, '', 'ORDERED',
           CASE WHEN n %% 10000 < 2 THEN 'error' WHEN n %% 20 IN (2, 3) THEN 'open'
                WHEN n %% 50 = 9 THEN 'delayed' ELSE 'received' END,
           '', '{}', '', now() - (%(count)s - n) * interval '40 s', now(), '', '', 0,
           '', '', current_date
    FROM generate_series(1, %(count)s) n
    """,
    """
    INSERT INTO connections_purchaseorderline
        (order_id, store_id, external_id, line_id, sku, title, quantity, received,
         received_there)
    SELECT purchase.id, purchase.store_id, n::text, n::text,
           'SKU-' || (purchase.id * 7 + n) %% 50000, '', 40, 12, 12
    FROM connections_purchaseorder purchase, generate_series(1, 2) n
    WHERE purchase.account_id = %(account)s
    """,
)
