"""A test for each row of inventory-planner.md §2: plain requests, and our client.

Plain `requests` shows what the stand-in does; the client must make of it what the row
says. Where a row says how a real account differs, the stand-in is scripted so.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from email.utils import format_datetime
from typing import Any

import pytest
import requests
from pytest_django import Settings

from connections.platforms import RemoteOrder, UnreadableOrder
from connections.wire.errors import WireError
from connections.wire.ssh import Deadline
from dropstream.sandbox import Sandbox, seed
from dropstream.sandbox.http_server import Request, Response, json_response
from inventory_planner.client import ApiAccess, CannotTellError, Client
from inventory_planner.order_documents import Wanted
from stores.secret import Secret
from tests.lab.script import at_request

ACCOUNT = "123456"
ORDERS = "purchase-orders"


class Plain:
    """What anybody would write with `requests`."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._base = sandbox.facts["api_url"] + "api/v1/"
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.headers.update(
            {"Authorization": sandbox.facts["demo"]["api_key"], "Account": ACCOUNT}
        )

    def get(self, path: str, **params: str) -> requests.Response:
        return self.session.get(self._base + path, params=params, timeout=10)

    def patch(self, path: str, body: Any) -> requests.Response:
        return self.session.patch(self._base + path, json=body, timeout=10)


@pytest.fixture
def plain(sandbox: Sandbox) -> Iterator[Plain]:
    one = Plain(sandbox)
    yield one
    one.session.close()


Connect = Callable[..., Client]


@pytest.fixture
def connect(transactional_db: None, sandbox: Sandbox) -> Iterator[Connect]:
    opened: list[Client] = []

    def connect(
        account_id: str = ACCOUNT, api_key: str = "", deadline_s: float = 20
    ) -> Client:
        key = Secret(api_key or sandbox.facts["demo"]["api_key"])
        opened.append(Client(ApiAccess(key, account_id), Deadline(deadline_s)))
        return opened[-1]

    yield connect
    for one in opened:
        one.close()


@pytest.fixture
def ours(connect: Connect) -> Client:
    return connect()


def references(client: Client, wanted: Wanted) -> list[str]:
    orders = [
        document.order()
        for page in client.pages(wanted)
        for document in page.documents.values()
    ]
    return [order.reference for order in orders if order.wanted]


def order_id(sandbox: Sandbox, reference: str) -> str:
    return str(sandbox.ip.accounts[ACCOUNT].order(reference)["id"])


def always(sandbox: Sandbox, answer: Response) -> None:
    sandbox.ip.answers.append(lambda _request: answer)


def error(status: int, message: str = "no", **headers: str) -> Response:
    document = {"result": {"status": "error", "message": message}}
    return json_response(document, status, **headers)


# --- §2.1 Base and headers


def test_2_1_the_key_is_sent_raw_and_the_account_beside_it(
    sandbox: Sandbox, plain: Plain, ours: Client
) -> None:
    assert plain.get(ORDERS).status_code == 200
    bearer = {"Authorization": f"Bearer {sandbox.facts['demo']['api_key']}"}
    plain.session.headers.update(bearer)
    assert plain.get(ORDERS).status_code == 401
    ours.preview(Wanted())
    headers = sandbox.ip.requests[-1].headers
    assert headers["authorization"] == sandbox.facts["demo"]["api_key"]
    assert headers["account"] == ACCOUNT
    assert headers["accept"] == "application/json"
    assert headers["user-agent"].startswith("DropStream/1.0 (")


def test_2_1_writes_need_a_content_type(
    sandbox: Sandbox, plain: Plain, ours: Client
) -> None:
    path = f"{ORDERS}/{order_id(sandbox, '1042')}"
    url = sandbox.facts["api_url"] + f"api/v1/{path}"
    body = json.dumps({"purchase-order": {"status": "OPEN"}})
    assert plain.session.patch(url, data=body, timeout=10).status_code == 500
    assert plain.patch(path, json.loads(body)).status_code == 200
    ours.set_status(order_id(sandbox, "1042"), "CLOSED")
    assert sandbox.ip.requests[-1].headers["content-type"] == "application/json"


def test_2_1_a_page_of_the_cdn_is_no_refusal_of_the_key(
    sandbox: Sandbox, plain: Plain, ours: Client
) -> None:
    plain.session.headers["User-Agent"] = ""
    answer = plain.get(ORDERS)
    assert (answer.status_code, answer.headers["Content-Type"]) == (403, "text/html")
    always(sandbox, Response(403, b"<html>Attention</html>", "text/html"))
    with pytest.raises(WireError, match="api_unexpected_answer"):
        ours.preview(Wanted())


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_2_1_no_redirect_is_followed(
    sandbox: Sandbox, ours: Client, status: int
) -> None:
    to = {"Location": "https://elsewhere.example.com/"}
    always(sandbox, Response(status, b"", "text/plain", to))
    with pytest.raises(WireError, match="api_redirect"):
        ours.preview(Wanted())
    assert len(sandbox.ip.requests) == 1


def test_2_1_proxies_of_the_environment_are_not_used(
    sandbox: Sandbox, ours: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    ours.preview(Wanted())
    assert len(sandbox.ip.requests) == 1


# --- §2.2 The account id


@pytest.mark.parametrize("account_id", ["123456", "a123456", "A123456"])
def test_2_2_the_account_id_is_sent_as_it_is(
    sandbox: Sandbox, plain: Plain, connect: Connect, account_id: str
) -> None:
    plain.session.headers["Account"] = account_id
    assert plain.get(ORDERS).status_code == 200
    connect(account_id).preview(Wanted())
    assert sandbox.ip.requests[-1].headers["account"] == account_id


# --- §2.3 Resources


def test_2_3_one_order(sandbox: Sandbox, plain: Plain, ours: Client) -> None:
    external_id = order_id(sandbox, "1042")
    document = plain.get(f"{ORDERS}/{external_id}").json()["purchase-order"]
    order = ours.order(external_id)
    assert order is not None
    assert (order.reference, order.status) == ("1042", document["status"])
    [page] = ours.pages(Wanted())
    assert json.loads(page.documents[external_id].text) == document


def test_2_3_items_of_an_order(sandbox: Sandbox, plain: Plain, ours: Client) -> None:
    external_id = order_id(sandbox, "1042")
    items = plain.get(f"{ORDERS}/{external_id}/items").json()["items"]
    first = plain.get(f"{ORDERS}/{external_id}/items/{items[0]['id']}").json()["item"]
    order = ours.order(external_id)
    assert order is not None
    assert first == items[0]
    assert [line.external_id for line in order.lines] == [i["id"] for i in items]


def test_2_3_an_address_of_an_order_is_made_of_its_id_alone(ours: Client) -> None:
    for odd in ("../warehouses", "a/items", "a?b=c", "a b", "é", "x" * 65, ""):
        with pytest.raises(WireError, match="malformed order id"):
            ours.order(odd)


def test_2_3_variants(sandbox: Sandbox, plain: Plain, ours: Client) -> None:
    sku = seed.sku(1)
    [row] = plain.get("variants", sku_eqi=sku).json()["variants"]
    assert ours.in_stock(sku, sku) == Decimal(str(row["in_stock"]))
    assert ours.in_stock("nobody's", "nobody's") is None


def test_2_3_a_resource_that_is_not_offered(sandbox: Sandbox, ours: Client) -> None:
    always(sandbox, error(404, "Failed to find variants"))
    with pytest.raises(CannotTellError):
        ours.in_stock("A", "A")


# --- §2.4 Query parameters


def test_2_4_limit_and_page_from_zero(
    sandbox: Sandbox, plain: Plain, ours: Client
) -> None:
    sandbox.ip.accounts[ACCOUNT].orders[:] = [
        seed.order(ACCOUNT, str(n), "ORDERED", [(1, 2, 0)]) for n in range(120)
    ]
    first = plain.get(ORDERS, limit="100", page="0").json()
    second = plain.get(ORDERS, limit="100", page="1").json()
    counts = [page["meta"]["count"] for page in (first, second)]
    assert counts == [100, 20]
    assert len(references(ours, Wanted("ORDERED"))) == 120
    asked = [dict(request.query) for request in list(sandbox.ip.requests)[2:]]
    assert [(one["limit"], one["page"]) for one in asked] == [
        ("100", "0"),
        ("100", "1"),
    ]


def test_2_4_a_smaller_page_than_asked_for_is_not_the_last(
    sandbox: Sandbox, ours: Client
) -> None:
    """The cap of a page is not known for certain."""
    sandbox.ip.accounts[ACCOUNT].orders[:] = [
        seed.order(ACCOUNT, str(n), "ORDERED", [(1, 2, 0)]) for n in range(25)
    ]

    def ten(request: Request) -> Response:
        query = {**dict(request.query), "limit": "10"}
        asked = Request("GET", request.path, tuple(query.items()), request.headers)
        return sandbox.ip.normal_answer(asked)

    sandbox.ip.answers.append(ten)
    assert len(references(ours, Wanted("ORDERED"))) == 25


def test_2_4_sorted_by_the_last_change(
    sandbox: Sandbox, plain: Plain, ours: Client
) -> None:
    changed = [
        row["last_modified"]
        for row in plain.get(ORDERS, last_modified_sort="desc").json()[ORDERS]
    ]
    assert changed == sorted(changed, reverse=True)
    ours.preview(Wanted())
    assert ("last_modified_sort", "desc") in sandbox.ip.requests[-1].query


def test_2_4_equality_regards_case_and_eqi_does_not(
    sandbox: Sandbox, plain: Plain, ours: Client
) -> None:
    assert plain.get(ORDERS, status="ordered").json()["meta"]["total"] == 0
    assert plain.get(ORDERS, status_eqi="ordered").json()["meta"]["total"] == 3
    assert len(references(ours, Wanted(" ordered "))) == 3
    assert ("status_eqi", "ordered") in sandbox.ip.requests[-1].query


def test_2_4_comparisons_and_not_equal(plain: Plain) -> None:
    """Ours asks for neither: date filters' spelling is not known."""
    total = plain.get(ORDERS).json()["meta"]["total"]
    others = plain.get(ORDERS, status_ne="ORDERED").json()["meta"]["total"]
    assert total - others == 3
    assert plain.get(ORDERS, total_ordered_gt="99").json()["meta"]["total"] < total


def test_2_4_what_is_not_known_is_ignored_so_the_filter_is_checked_again(
    sandbox: Sandbox, plain: Plain, ours: Client
) -> None:
    total = plain.get(ORDERS).json()["meta"]["total"]
    assert plain.get(ORDERS, status_in="ORDERED").json()["meta"]["total"] == total

    def unfiltered(request: Request) -> Response:
        query = tuple((k, v) for k, v in request.query if k != "status_eqi")
        return sandbox.ip.normal_answer(
            Request("GET", request.path, query, request.headers)
        )

    sandbox.ip.answers.append(unfiltered)
    assert sorted(references(ours, Wanted("ORDERED"))) == ["1042", "1043", "1044"]


# --- §2.5 Envelopes


def test_2_5_a_list_in_its_envelope(plain: Plain, ours: Client) -> None:
    body = plain.get(ORDERS, limit="2").json()
    meta = body["meta"]
    assert (meta["count"], meta["start"], meta["end"]) == (2, 0, 1)
    assert ours.preview(Wanted()).read == meta["total"]


@pytest.mark.parametrize(
    "body",
    [
        {},
        [],
        {"orders": []},
        {ORDERS: {}},
        {ORDERS: None},
        {"meta": {"total": 0}},
        "text",
    ],
)
def test_2_5_what_is_no_list_is_never_taken_for_no_orders(
    sandbox: Sandbox, ours: Client, body: Any
) -> None:
    always(sandbox, json_response(body))
    with pytest.raises(WireError, match="api_unexpected_answer"):
        references(ours, Wanted())


@pytest.mark.parametrize("meta", [None, {}, [], {"total": "many"}, {"total": -1}])
def test_2_5_a_meta_that_says_nothing_stops_nothing(
    sandbox: Sandbox, ours: Client, meta: Any
) -> None:
    orders = sandbox.ip.accounts[ACCOUNT].orders
    at_request(
        sandbox, "GET", ORDERS, lambda _: json_response({ORDERS: orders, "meta": meta})
    )
    assert len(references(ours, Wanted("ORDERED"))) == 3


@pytest.mark.parametrize("total", [1, 100, 10_000])
def test_2_5_a_wrong_total_leaves_nothing_out(
    sandbox: Sandbox, ours: Client, total: int
) -> None:
    """I8: neither too small nor too large."""
    sandbox.ip.accounts[ACCOUNT].orders[:] = [
        seed.order(ACCOUNT, str(n), "ORDERED", [(1, 2, 0)]) for n in range(150)
    ]

    def lying(request: Request) -> Response:
        body = json.loads(sandbox.ip.normal_answer(request).body)
        body["meta"]["total"] = total
        return json_response(body)

    sandbox.ip.answers.append(lying)
    assert len(references(ours, Wanted("ORDERED"))) == 150


def test_2_5_an_error_beside_a_200(sandbox: Sandbox, ours: Client) -> None:
    always(sandbox, json_response({"result": {"status": "ERROR", "message": "no"}}))
    with pytest.raises(WireError, match="api_error_answer"):
        references(ours, Wanted())


# --- §2.6 Writes


def test_2_6_a_status_is_patched_verbatim(
    sandbox: Sandbox, plain: Plain, ours: Client
) -> None:
    path = f"{ORDERS}/{order_id(sandbox, '1043')}"
    echo = plain.patch(path, {"purchase-order": {"status": "OPEN"}}).json()
    assert echo["purchase-order"]["status"] == "OPEN"
    ours.set_status(order_id(sandbox, "1043"), "Closed")
    assert json.loads(sandbox.ip.requests[-1].body) == {
        "purchase-order": {"status": "Closed"}
    }
    assert sandbox.ip.accounts[ACCOUNT].order("1043")["status"] == "CLOSED"


def test_2_6_items_are_patched_in_bulk_with_absolute_quantities(
    sandbox: Sandbox, plain: Plain, ours: Client
) -> None:
    external_id = order_id(sandbox, "1042")
    doc = sandbox.ip.accounts[ACCOUNT].order("1042")
    one, other, untouched = doc["items"]
    for _ in range(2):
        rows = {"items": [{"id": one["id"], "received": 7}]}
        assert plain.patch(f"{ORDERS}/{external_id}/items", rows).status_code == 200
    assert one["received"] == 7
    ours.set_received(external_id, {other["id"]: Decimal("2.5000")})
    assert [line["received"] for line in doc["items"]] == [7, 2.5, 0]
    assert untouched["version"] == 1


def test_2_6_an_unknown_status_is_refused_or_kept(
    sandbox: Sandbox, plain: Plain, ours: Client
) -> None:
    external_id = order_id(sandbox, "1042")
    body = {"purchase-order": {"status": "UNHEARD OF"}}
    assert plain.patch(f"{ORDERS}/{external_id}", body).status_code == 500
    with pytest.raises(WireError, match="Unknown status"):
        ours.set_status(external_id, "UNHEARD OF")
    sandbox.ip.api.unknown_status = "keep"
    ours.set_status(external_id, "UNHEARD OF")  # a 200: only reading tells
    order = ours.order(external_id)
    assert order is not None
    assert order.status == "ORDERED"


# --- §2.7 Errors


@pytest.mark.parametrize(
    ("answer", "code", "kind"),
    [
        (error(401), "api_key_refused", "needs_person"),
        (error(403), "api_key_refused", "needs_person"),
        (error(404), "api_not_found", "needs_person"),
        (error(400), "api_error_answer", "needs_person"),
        (error(409), "api_error_answer", "needs_person"),
        (error(422), "api_error_answer", "needs_person"),
        (error(408), "api_timeout", "transient"),
        (error(429), "api_throttled", "throttled"),
        (error(500), "api_server_error", "transient"),
        (error(502), "api_server_error", "transient"),
        (error(503), "api_server_error", "transient"),
        (Response(504, b"", "text/plain"), "api_server_error", "transient"),
        (Response(502, b"<html>", "text/html"), "api_unexpected_answer", "transient"),
        (Response(200, b"<html>", "text/html"), "api_unexpected_answer", "transient"),
        (Response(200, b""), "api_unexpected_answer", "transient"),
        (Response(200, b'{"a": 1'), "api_unexpected_answer", "transient"),
        (Response(200, b'{"a": NaN}'), "api_unexpected_answer", "transient"),
        (Response(200, b'{"a": 1, "a": 2}'), "api_unexpected_answer", "transient"),
        (Response(200, b"{}", "text/plain"), "api_unexpected_answer", "transient"),
        (Response(drop=True), "network_lost", "transient"),
    ],
)
def test_2_7_what_each_error_means(
    sandbox: Sandbox,
    plain: Plain,
    ours: Client,
    answer: Response,
    code: str,
    kind: str,
) -> None:
    always(sandbox, answer)
    if not answer.drop:
        assert plain.get(ORDERS).status_code == answer.status
    with pytest.raises(WireError) as failure:
        references(ours, Wanted())
    assert (failure.value.code, failure.value.kind) == (code, kind)


def test_2_7_an_order_that_is_not_there(
    sandbox: Sandbox, plain: Plain, ours: Client
) -> None:
    unknown = "0" * 24
    answer = plain.get(f"{ORDERS}/{unknown}")
    assert answer.status_code == 404
    assert "Failed to find purchase-order" in answer.json()["result"]["message"]
    assert ours.order(unknown) is None
    always(sandbox, error(500, f"Failed to find purchase-order {unknown}"))
    assert ours.order(unknown) is None


def test_2_7_a_wrong_key(sandbox: Sandbox, plain: Plain, connect: Connect) -> None:
    plain.session.headers["Authorization"] = "0" * 64
    assert plain.get(ORDERS).status_code == 401
    with pytest.raises(WireError, match="api_key_refused"):
        connect(api_key="0" * 64).preview(Wanted())


@pytest.mark.parametrize(
    ("told", "least_s", "most_s"),
    [
        ("7", 7, 7),
        ("0", 0, 0),
        ("a date", 80, 100),
        ("99999999", 3600, 3600),
        ("-5", 60, 60),
        ("soon", 60, 60),
        ("", 60, 60),
    ],
)
def test_2_7_a_request_to_wait_holds_for_everybody_with_the_account(
    sandbox: Sandbox, connect: Connect, told: str, least_s: float, most_s: float
) -> None:
    """I5: seconds, a date, absurd, negative, none; other workers wait as well."""
    if told == "a date":
        told = format_datetime(datetime.now(UTC) + timedelta(seconds=100))
    headers = {"Retry-After": told} if told else {}
    at_request(sandbox, "GET", ORDERS, lambda _: error(429, **headers))
    with pytest.raises(WireError, match="api_throttled") as failure:
        connect().preview(Wanted())
    assert least_s <= (failure.value.retry_after_s or 0) <= most_s
    if least_s >= 60:
        asked = len(sandbox.ip.requests)
        with pytest.raises(WireError, match="api_throttled") as waiting:
            connect(f"A{ACCOUNT}").preview(Wanted())
        assert least_s - 10 < (waiting.value.retry_after_s or 0) <= most_s
        assert len(sandbox.ip.requests) == asked


def test_2_7_one_request_a_second_for_an_account_whoever_asks(
    sandbox: Sandbox, connect: Connect, settings: Settings
) -> None:
    settings.INVENTORY_PLANNER_REQUESTS_PER_S = 20
    started_at = datetime.now(UTC)
    for _ in range(3):
        connect().preview(Wanted())
        connect(f"a{ACCOUNT}").preview(Wanted())
    took_s = (datetime.now(UTC) - started_at).total_seconds()
    assert took_s >= 5 / 20
    other = sandbox.facts["try"]
    settings.INVENTORY_PLANNER_REQUESTS_PER_S = 0.01
    connect().preview(Wanted())  # the moment that was free; the next one is far away
    with pytest.raises(WireError, match="api_throttled"):
        connect().preview(Wanted())
    connect(other["account_id"], other["api_key"]).preview(Wanted())


# --- §2.8 Dates, numbers, ids


@pytest.mark.parametrize(
    ("change", "name", "value"),
    [
        ({"expected_date": "2031-02-03"}, "expected_on", "2031-02-03"),
        ({"expected_date": 1_927_843_200}, "expected_on", "2031-02-03"),
        ({"expected_date": "2031-02-03T23:30:00-08:00"}, "expected_on", "2031-02-03"),
        ({"expected_date": "soon"}, "expected_on", "None"),
        ({"expected_date": None}, "expected_on", "None"),
        (
            {"last_modified": "2031-02-03T04:05:06+00:00"},
            "modified_at",
            "2031-02-03 04:05:06+00:00",
        ),
        (
            {"last_modified": "2031-02-03T04:05:06+02:00"},
            "modified_at",
            "2031-02-03 02:05:06+00:00",
        ),
        ({"last_modified": 1_927_843_200}, "modified_at", "2031-02-03 00:00:00+00:00"),
        ({"last_modified": "0001-01-01T00:00:00+23:00"}, "modified_at", "None"),
        ({"last_modified": "yesterday"}, "modified_at", "None"),
    ],
)
def test_2_8_dates(
    sandbox: Sandbox,
    plain: Plain,
    ours: Client,
    change: dict[str, Any],
    name: str,
    value: str,
) -> None:
    doc = sandbox.ip.accounts[ACCOUNT].order("1042")
    doc.update(change)
    path = f"{ORDERS}/{doc['id']}"
    shown = plain.get(path).json()["purchase-order"]
    assert {key: shown[key] for key in change} == change
    order = ours.order(doc["id"])
    assert str(getattr(order, name)) == value


@pytest.mark.parametrize(
    ("quantity", "read"),
    [(3, "3"), (2.5, "2.5000"), ("12.50", "12.5000"), ("", "0"), (None, "0")],
)
def test_2_8_quantities(
    sandbox: Sandbox, plain: Plain, ours: Client, quantity: Any, read: str
) -> None:
    doc = sandbox.ip.accounts[ACCOUNT].order("1042")
    doc["items"][0]["replenishment"] = quantity
    shown = plain.get(f"{ORDERS}/{doc['id']}").json()["purchase-order"]
    assert shown["items"][0]["replenishment"] == quantity
    order = ours.order(doc["id"])
    assert order is not None
    assert order.lines[0].quantity == Decimal(read)


def test_2_8_a_line_has_its_own_id_and_that_of_its_variant(
    sandbox: Sandbox, plain: Plain, ours: Client
) -> None:
    doc = sandbox.ip.accounts[ACCOUNT].order("1043")
    items = plain.get(f"{ORDERS}/{doc['id']}/items").json()["items"]
    order = ours.order(doc["id"])
    assert order is not None
    for line, item in zip(order.lines, items, strict=True):
        assert item["line_id"] != item["id"]
        assert (line.line_id, line.external_id) == (item["line_id"], item["id"])
    assert order.vendor == "Café Łódź Textil"


def test_2_8_an_answer_too_large_is_not_read_to_its_end(
    sandbox: Sandbox, ours: Client
) -> None:
    always(sandbox, Response(200, b" " * 20_000_001))
    with pytest.raises(WireError, match="api_too_large"):
        ours.preview(Wanted())


def test_2_8_an_order_is_read_or_set_aside(sandbox: Sandbox, ours: Client) -> None:
    sandbox.ip.accounts[ACCOUNT].order("1043")["items"] = 3
    [page] = ours.pages(Wanted("ORDERED"))
    orders = [document.order() for document in page.documents.values()]
    kinds = {order.reference: type(order) for order in orders if order.wanted}
    assert kinds == {
        "1042": RemoteOrder,
        "1043": UnreadableOrder,
        "1044": RemoteOrder,
    }
