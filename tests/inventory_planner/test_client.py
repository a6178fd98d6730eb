"""The API client: pages, filters, pace and what cannot be understood (I2, I3, I13-I15)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connections.platforms import RemoteOrder, UnreadableOrder
from connections.wire.errors import WireError
from connections.wire.ssh import Deadline
from dropstream.sandbox import Sandbox, seed
from dropstream.sandbox.http_server import Request, Response, json_response
from inventory_planner import client
from inventory_planner.order_documents import Document, Wanted, same_status
from stores.secret import Secret

ACCOUNT = "123456"


@pytest.fixture
def api(transactional_db: None, sandbox: Sandbox) -> Iterator[client.Client]:
    facts = sandbox.facts["demo"]
    access = client.ApiAccess(Secret(facts["api_key"]), facts["account_id"])
    with client.Client(access, Deadline(30)) as session:
        yield session


def references(api: client.Client, status: str) -> list[str]:
    orders = [
        document.order()
        for page in api.pages(Wanted(status))
        for document in page.documents.values()
    ]
    return [order.reference for order in orders if order.wanted]


def script(sandbox: Sandbox, answer: Response) -> None:
    def always(_request: Request) -> Response:
        return answer

    sandbox.ip.answers.append(always)


def test_key_and_account_are_sent_verbatim(
    sandbox: Sandbox, api: client.Client
) -> None:
    """inventory-planner.md §2.1: no Bearer."""
    api.preview(Wanted())
    [request] = sandbox.ip.requests
    assert request.headers["authorization"] == sandbox.facts["demo"]["api_key"]
    assert request.headers["account"] == ACCOUNT
    assert request.headers["user-agent"].startswith("DropStream/")
    assert dict(request.query) == {
        "limit": "100",
        "page": "0",
        "last_modified_sort": "desc",
    }


def test_every_page_is_read(sandbox: Sandbox, api: client.Client) -> None:
    orders = sandbox.ip.accounts[ACCOUNT].orders
    orders[:] = [
        seed.order(ACCOUNT, str(n), "ORDERED", [(1, 2, 0)]) for n in range(250)
    ]
    assert sorted(map(int, references(api, "ordered"))) == list(range(250))
    assert len(sandbox.ip.requests) == 3


def test_the_filter_is_checked_again_here(sandbox: Sandbox, api: client.Client) -> None:
    """§2.4: IP ignores a parameter that it does not know."""
    orders = sandbox.ip.accounts[ACCOUNT].orders
    script(
        sandbox,
        json_response({"purchase-orders": orders, "meta": {"total": len(orders)}}),
    )
    assert set(references(api, " partially-received ")) == {"1036"}


def test_transfers_assemblies_and_empty_orders_are_left_out(
    api: client.Client,
) -> None:
    found = references(api, "")
    assert not {"T-17", "A-9", "1041"} & set(found)
    assert "1039" in found  # an empty type is a purchase order


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (Response(200, b"<html>", "text/html"), "api_unexpected_answer"),
        (json_response({"orders": []}), "api_unexpected_answer"),
        (json_response([]), "api_unexpected_answer"),
        (
            json_response({"result": {"status": "error", "message": "no"}}),
            "api_error_answer",
        ),
        (json_response({}, 404), "api_not_found"),
    ],
)
def test_a_list_that_is_none_is_an_error(
    sandbox: Sandbox, api: client.Client, answer: Response, code: str
) -> None:
    """I2, I3: never taken for "no orders"."""
    script(sandbox, answer)
    with pytest.raises(WireError) as failure:
        references(api, "")
    assert failure.value.code == code


def test_one_order_that_is_gone_is_none(sandbox: Sandbox, api: client.Client) -> None:
    """I3."""
    assert api.order("0" * 24) is None


def test_an_id_that_is_none_never_reaches_a_path(
    sandbox: Sandbox, api: client.Client
) -> None:
    """F5."""
    for odd in ("../x", "a/b", "a?b", "", "a b"):
        with pytest.raises(WireError, match="malformed order id"):
            api.order(odd)
    assert not sandbox.ip.requests


def test_quantities_and_status_are_patched(
    sandbox: Sandbox, api: client.Client
) -> None:
    """§2.6: only what is set, whole numbers as such."""
    doc = sandbox.ip.accounts[ACCOUNT].order("1042")
    one, other, _ = doc["items"]
    received = {one["id"]: Decimal("3.0000"), other["id"]: Decimal("2.5")}
    api.set_received(doc["id"], received)
    api.set_status(doc["id"], "CLOSED")
    bodies = [json.loads(request.body) for request in sandbox.ip.requests]
    assert bodies == [
        {
            "items": [
                {"id": one["id"], "received": 3},
                {"id": other["id"], "received": 2.5},
            ]
        },
        {"purchase-order": {"status": "CLOSED"}},
    ]
    assert (one["received"], other["received"], doc["status"]) == (3, 2.5, "CLOSED")


def test_the_key_is_in_no_error(sandbox: Sandbox, api: client.Client) -> None:
    """K9: an answer may repeat what was sent."""
    key = sandbox.facts["demo"]["api_key"]
    message = {"result": {"message": f"bad key {key}"}}
    script(sandbox, json_response(message, 401))
    with pytest.raises(WireError) as failure:
        api.preview(Wanted())
    assert failure.value.code == "api_key_refused"
    assert key not in str(failure.value)
    assert key not in repr(failure.value.__dict__)


def parsed(**change: Any) -> RemoteOrder:
    document = seed.order(ACCOUNT, "1", "ORDERED", [(1, 2, 0)]) | change
    order = Document(document, Wanted()).order()
    assert isinstance(order, RemoteOrder), order
    return order


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"id": None}, "id is missing"),
        ({"id": "../../x"}, "id is missing"),
        ({"items": {}}, "items is not a list"),
        ({"items": [None]}, "an item has no id"),
        ({"items": [{"sku": "A"}]}, "an item has no id"),
        ({"items": [{"id": "a", "replenishment": "many"}]}, "not a number"),
        ({"items": [{"id": "a", "replenishment": "NaN"}]}, "not a number"),
        ({"items": [{"id": "a", "replenishment": 1e40}]}, "not a number"),
        ({"status": ["ORDERED"]}, "status is not text"),
        # Rounded as they were read: no other order's, item's or SKU's may be meant.
        ({"id": 1e23}, "id is missing"),
        ({"reference": 1e23}, "reference is too large a number"),
        ({"items": [{"id": 1e23}]}, "id is too large a number"),
        ({"items": [{"id": "a", "line_id": -1e23}]}, "line_id is too large a number"),
        ({"items": [{"id": "a", "sku": 1e23}]}, "sku is too large a number"),
    ],
)
def test_what_cannot_be_understood_is_said_not_guessed(
    change: dict[str, Any], reason: str
) -> None:
    """I14."""
    document = seed.order(ACCOUNT, "1", "ORDERED", [(1, 2, 0)]) | change
    order = Document(document, Wanted()).order()
    assert isinstance(order, UnreadableOrder)
    assert reason in order.reason


@pytest.mark.parametrize(
    ("document", "wanted"),
    [
        ({"id": "../x", "status": "ordered"}, True),
        ({"id": "../x", "status": "OPEN"}, False),
        ({"id": "../x"}, True),
        ({"id": "../x", "status": ["ORDERED"]}, True),
        ({"id": "../x", "type": "transfer"}, False),
        ("no object", True),
    ],
)
def test_what_cannot_be_read_is_set_aside_unless_it_is_seen_to_be_another(
    document: Any, wanted: bool
) -> None:
    """I14: under a filter as well."""
    [came] = Wanted("ORDERED").page([document], None).documents.values()
    order = came.order()
    assert isinstance(order, UnreadableOrder)
    assert order.wanted is wanted


def test_loose_values_are_read_as_meant() -> None:
    """§2.8, §3.2."""
    item = {"id": "v", "sku": " A ", "replenishment": "12.50", "received": ""}
    order = parsed(
        items=[item],
        created_at=1_700_000_000,
        last_modified="2025-03-04T09:12:44+00:00",
        expected_date="2025-03-24",
        vendor_display_name=None,
        vendor="acme",
        extra={"unknown": 1},
    )
    [line] = order.lines
    assert (line.sku, line.line_id) == ("A", "v")
    assert (line.quantity, line.received) == (Decimal("12.5"), Decimal(0))
    assert order.created_at is not None
    assert order.modified_at is not None
    assert str(order.expected_on) == "2025-03-24"
    assert order.vendor == "acme"
    assert parsed(created_at="yesterday", expected_date="soon").created_at is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(
    change=st.dictionaries(
        st.sampled_from(
            ["id", "status", "items", "created_at", "expected_date", "vendor", "type"]
        ),
        JSON,
        max_size=3,
    )
)
def test_no_document_breaks_the_reader(change: dict[str, Any]) -> None:
    """I14."""
    document = seed.order(ACCOUNT, "1", "ORDERED", [(1, 2, 0)]) | change
    Document(document, Wanted()).order()


@given(document=JSON)
def test_not_even_one_that_is_no_object(document: Any) -> None:
    Document(document, Wanted()).order()


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("ORDERED", " ordered ", True),
        ("Partially Received", "PARTIALLY_RECEIVED", True),
        ("canceled", "CANCELLED", True),
        ("OPEN", "OPENED", False),
        ("", "OPEN", False),
    ],
)
def test_statuses_compare_as_people_mean_them(one: str, other: str, same: bool) -> None:
    """I13, §3.4."""
    assert same_status(one, other) is same
