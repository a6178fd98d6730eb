"""Any number of orders of twenty lines each, made as they are asked for.

For measuring: a page costs next to nothing here, so that what is slow is its reader.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta

from dropstream.sandbox import seed
from dropstream.sandbox.http_server import Request, Response
from dropstream.sandbox.ip_query import DEFAULT_LIMIT, MAX_LIMIT, whole
from dropstream.sandbox.state import Doc

LINES = 20
BASKETS = 50
STATUS = "ORDERED"
# Marks in the text of a document, where an order's own values go.
ID, REFERENCE, CHANGED = "%order-id%", "%reference%", "%changed%"
_MARK = re.compile(f"({ID}|{REFERENCE}|{CHANGED})")


class Crowd:
    """The orders of an account, all ORDERED; number 0 was changed last.

    `edition`: another one has the same orders with another note in each.
    """

    def __init__(self, account_id: str, size: int, *, edition: int = 1) -> None:
        self.size = size
        self._newest = datetime.now(UTC) - timedelta(days=2)
        # In pieces: every second one is a mark.
        self._baskets = [
            _MARK.split(_text_of(account_id, basket, edition))
            for basket in range(BASKETS)
        ]

    def page(self, request: Request) -> Response:
        """Answer for the collection as IP does; only its filter of status is known."""
        query = dict(request.query)
        asked = query.get("status_eqi", query.get("status", STATUS))
        total = self.size if asked.casefold() == STATUS.casefold() else 0
        limit = min(
            whole(query.get("limit"), DEFAULT_LIMIT) or DEFAULT_LIMIT, MAX_LIMIT
        )
        number = whole(query.get("page"), 0)
        start = min(number * limit, total)
        end = min(start + limit, total)
        meta = {
            "name": "purchase-orders",
            "total": total,
            "count": end - start,
            "limit": limit,
            "page": number,
            "start": start,
            "end": max(end - 1, 0),
        }
        orders = ",".join(map(self._order, range(start, end)))
        body = f'{{"meta":{json.dumps(meta)},"purchase-orders":[{orders}]}}'
        return Response(200, body.encode())

    def _order(self, number: int) -> str:
        own = {
            ID: f"{number:024x}",
            REFERENCE: f"C-{number:07d}",
            CHANGED: seed.stamp(self._newest - timedelta(minutes=number)),
        }
        return "".join(own.get(part, part) for part in self._baskets[number % BASKETS])


def _text_of(account_id: str, basket: int, edition: int) -> str:
    lines: list[seed.Line] = [
        (basket * LINES + line + 1, 5 + line, 0) for line in range(LINES)
    ]
    doc: Doc = seed.order(account_id, REFERENCE, STATUS, lines)
    doc |= {"id": ID, "last_modified": CHANGED, "notes": f"edition {edition}"}
    return json.dumps(doc)
