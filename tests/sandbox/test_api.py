"""The API stand-in keeps to domain/inventory-planner.md §2 and §6.1."""

from __future__ import annotations

import http.client

import pytest

from dropstream.sandbox import Sandbox
from dropstream.sandbox.http_server import Request, Response, json_response
from tests.sandbox.far_side import ApiClient


def numbers(reply_json: dict[str, list[dict[str, str]]]) -> list[str]:
    return [row["reference"] for row in reply_json["purchase-orders"]]


@pytest.mark.parametrize("account_id", ["123456", "a123456", "A123456"])
def test_account_id_with_and_without_its_letter(
    sandbox: Sandbox, account_id: str
) -> None:
    assert ApiClient(sandbox, account_id).get("purchase-orders").status == 200


def test_letter_can_be_demanded(sandbox: Sandbox) -> None:
    sandbox.ip.api.letter_required = True
    assert ApiClient(sandbox, "123456").get("warehouses").status == 401
    assert ApiClient(sandbox, "a123456").get("warehouses").status == 200


def test_wrong_credentials_are_401_with_an_error_document(
    sandbox: Sandbox, api: ApiClient
) -> None:
    """I1: wrong key, other account's key, Bearer, unknown account."""
    other = sandbox.ip.accounts["654321"].key
    own = sandbox.ip.accounts["123456"].key
    for key in ("", "wrong", other, f"Bearer {own}"):
        reply = api.get("purchase-orders", Authorization=key)
        assert reply.status == 401
        assert reply.json["result"]["status"] == "error"
    assert api.get("purchase-orders", Account="999").status == 401
    sandbox.ip.api.refusal_status = 403
    assert api.get("purchase-orders", Account="999").status == 403


def test_request_without_user_agent_meets_the_cdn(sandbox: Sandbox) -> None:
    port = int(sandbox.facts["url"].rpartition(":")[2])
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    connection.request("GET", "/api/v1/purchase-orders")
    answer = connection.getresponse()
    assert answer.status == 403
    assert answer.headers["Content-Type"] == "text/html"
    connection.close()


def test_seed_has_one_of_each(api: ApiClient) -> None:
    body = api.get("purchase-orders").json
    rows = body["purchase-orders"]
    assert body["meta"] == {
        "name": "purchase-orders",
        "display_name": "purchase orders",
        "total": 13,
        "count": 13,
        "limit": 100,
        "page": 0,
        "start": 0,
        "end": 12,
    }
    main = next(row for row in rows if row["reference"] == "1042")
    assert main["status"] == "ORDERED"
    assert main["warehouse"] == "c501_WH1"
    assert len(main["items"]) == 3
    ordered = [row for row in rows if row["status"] == "ORDERED"]
    assert len(ordered) == 3
    assert len({row["warehouse"] for row in ordered}) == 2
    assert {"po", "", "transfer", "assembly"} == {row["type"] for row in rows}
    lines = [line for row in rows for line in row["items"]]
    assert any(line["sku"] == "" for line in lines)
    assert any(line["sku"].endswith(" ") for line in lines)
    assert any(line["replenishment"] % 1 for line in lines)
    assert any(row["readonly"] for row in rows)
    assert any(not row["items"] for row in rows)


def test_filters(api: ApiClient) -> None:
    """Equality minds the case, _eqi does not, what IP does not know is ignored."""

    def count(query: str) -> int:
        return int(api.get(f"purchase-orders?{query}").json["meta"]["total"])

    assert count("status=ORDERED") == 3
    assert count("status=ordered") == 0
    assert count("status_eqi=ordered") == 3
    assert count("status_ne=ORDERED") == 10
    assert count("total_ordered_gt=100") == 1
    assert count("total_ordered_gte=100") == 2
    assert count("total_ordered_lt=0") == 0
    assert count("readonly=true") == 1
    assert count("status_in=ORDERED") == 13
    assert count("sttaus=ORDERED&limit=x") == 13


def test_pages_start_at_zero_and_end_empty(api: ApiClient) -> None:
    seen: list[str] = []
    for page in range(4):
        body = api.get(f"purchase-orders?limit=5&page={page}").json
        assert body["meta"]["count"] == len(body["purchase-orders"])
        assert body["meta"]["total"] == 13
        seen += numbers(body)
    assert len(seen) == len(set(seen)) == 13
    assert body["purchase-orders"] == []
    assert api.get("variants?limit=5000").json["meta"]["limit"] == 1000


def test_sorting_and_fields(api: ApiClient) -> None:
    rows = api.get("purchase-orders?total_ordered_sort=desc&fields=id,total_ordered,x")
    totals = [row["total_ordered"] for row in rows.json["purchase-orders"]]
    assert totals == sorted(totals, reverse=True)
    assert set(rows.json["purchase-orders"][0]) == {"id", "total_ordered"}


@pytest.mark.parametrize("method", ["PATCH", "PUT"])
def test_status_is_changed_and_echoed(api: ApiClient, method: str) -> None:
    before = api.order("1042")
    path = f"purchase-orders/{before['id']}"
    body = {"purchase-order": {"status": "CLOSED", "id": "x", "total": 0, "odd": 1}}
    echo = api.send(method, path, body).json["purchase-order"]
    assert echo["status"] == "CLOSED"
    assert echo["id"] == before["id"]
    assert echo["total"] == before["total"]
    assert echo["version"] == before["version"] + 1
    assert echo["last_modified"] > before["last_modified"]
    assert "odd" not in echo
    assert api.get(path).json["purchase-order"] == echo


def test_bad_writes_are_500_with_a_message(api: ApiClient) -> None:
    """I4: wrong envelope, type, status, and an order that cannot be edited."""
    path = f"purchase-orders/{api.order('1042')['id']}"
    locked = f"purchase-orders/{api.order('1040')['id']}"
    closed = {"purchase-order": {"status": "CLOSED"}}
    replies = [
        api.send("PATCH", path, {"status": "CLOSED"}),
        api.send("PATCH", path, {"purchase-order": {"status": "NO SUCH"}}),
        api.send("PATCH", path, {"purchase-order": {"items": []}}),
        api.send("PATCH", path, closed, Content_Type="text/plain"),
        api.send("PATCH", locked, closed),
        api.send("PATCH", f"{locked}/items", {"items": []}),
        api.send("PATCH", f"{path}/items", {"items": [{"id": "no", "received": 1}]}),
        api.send("PATCH", f"{path}/items", {"items": [{"received": True}]}),
    ]
    for reply in replies:
        assert reply.status == 500
        assert reply.json["result"]["status"] == "error"
        assert reply.json["result"]["message"]
    assert api.order("1042")["status"] == "ORDERED"


def test_unknown_status_modes(sandbox: Sandbox, api: ApiClient) -> None:
    path = f"purchase-orders/{api.order('1042')['id']}"
    odd = {"purchase-order": {"status": "Odd one"}}
    sandbox.ip.api.unknown_status = "keep"
    kept = api.send("PATCH", path, odd)
    assert (kept.status, kept.json["purchase-order"]["status"]) == (200, "ORDERED")
    sandbox.ip.api.unknown_status = "accept"
    taken = api.send("PATCH", path, odd)
    assert taken.json["purchase-order"]["status"] == "Odd one"


def test_received_quantities_are_absolute(api: ApiClient) -> None:
    order = api.order("1042")
    path = f"purchase-orders/{order['id']}/items"
    first, second, _ = order["items"]
    for _ in range(2):
        rows = [{"id": first["id"], "received": 7}]
        items = api.send("PATCH", path, {"items": rows}).json["items"]
    assert items[0]["received"] == 7
    assert items[0]["remaining"] == first["replenishment"] - 7
    assert [row["value"] for row in items[0]["received_history"]] == [7]
    assert items[1] == second
    after = api.order("1042")
    assert after["total_received"] == 7
    assert after["received_date"]
    assert after["status"] == "ORDERED"
    one = api.get(f"{path}/{first['id']}").json["item"]
    assert one["received"] == 7


def test_refused_items_change_nothing(sandbox: Sandbox, api: ApiClient) -> None:
    """One bad row refuses the whole request."""
    sandbox.ip.api.over_receipt = False
    order = api.order("1042")
    rows = [
        {"id": order["items"][0]["id"], "received": 1},
        {"id": order["items"][1]["id"], "received": 10_000},
    ]
    reply = api.send("PATCH", f"purchase-orders/{order['id']}/items", {"items": rows})
    assert reply.status == 500
    assert api.order("1042")["total_received"] == 0


def test_status_may_follow_the_quantities(sandbox: Sandbox, api: ApiClient) -> None:
    sandbox.ip.api.moves_status = True
    order = api.order("1044")
    line = order["items"][0]
    path = f"purchase-orders/{order['id']}/items"
    for received, status in ((1, "PARTIALLY RECEIVED"), (100, "CLOSED")):
        api.send("PATCH", path, {"items": [{"id": line["id"], "received": received}]})
        assert api.order("1044")["status"] == status


def test_missing_things_are_404(api: ApiClient) -> None:
    """I3: an order that is not there is named; so is a path that is not."""
    reply = api.get("purchase-orders/000000000000000000000000")
    assert reply.status == 404
    message = reply.json["result"]["message"]
    assert message == "Failed to find purchase-order 000000000000000000000000"
    assert api.get("nothing").status == 404
    assert (
        api.send("DELETE", f"purchase-orders/{api.order('1042')['id']}").status == 404
    )


def test_other_resources(api: ApiClient) -> None:
    names = {
        w["name"]: w["display_name"] for w in api.get("warehouses").json["warehouses"]
    }
    assert names["c501_WH1"] == "Main warehouse"
    assert set(names) == {"c501_WH1", "c501_WH2"}
    rows = api.get("variants?sku=SKU-00003").json["variants"]
    assert [row["id"] for row in rows] == ["c501_SKU-00003"]
    assert api.get("variants/c501_SKU-00003").json["variant"]["in_stock"] == 0
    order_id = api.order("1042")["id"]
    assert api.get(f"purchase-orders/{order_id}/connections").json["connections"] == []


def test_an_order_can_be_made(api: ApiClient) -> None:
    items = [{"id": "c501_SKU-00005", "replenishment": 4, "cost_price": 2.5}]
    fields = {"status": "ORDERED", "warehouse": "c501_WH2", "items": items}
    made = api.send("POST", "purchase-orders", {"purchase-order": fields})
    order = made.json["purchase-order"]
    assert (order["reference"], order["total"]) == ("1046", 10)
    assert api.order("1046")["warehouse"] == "c501_WH2"


def test_accounts_share_nothing(sandbox: Sandbox, api: ApiClient) -> None:
    """I16: a change in one account is not seen in the other."""
    other = ApiClient(sandbox, "654321")
    order_id = api.order("1042")["id"]
    assert other.get(f"purchase-orders/{order_id}").status == 404
    body = {"purchase-order": {"status": "CANCELLED"}}
    api.send("PATCH", f"purchase-orders/{order_id}", body)
    assert other.order("1042")["status"] == "ORDERED"


def test_answers_can_be_scripted(sandbox: Sandbox, api: ApiClient) -> None:
    """I5, I6, I11: the lab answers first, may let IP act and then lose the reply."""

    def throttle_lists(request: Request) -> Response | None:
        if request.path.endswith("purchase-orders"):
            return json_response({}, 429, Retry_After="7")
        return None

    def lose_the_reply(request: Request) -> Response | None:
        if request.method != "PATCH":
            return None
        sandbox.ip.normal_answer(request)
        return Response(drop=True)

    order = sandbox.ip.accounts["123456"].order("1042")
    sandbox.ip.answers += [throttle_lists, lose_the_reply]
    throttled = api.get("purchase-orders")
    assert (throttled.status, throttled.headers["Retry-After"]) == (429, "7")
    with pytest.raises((http.client.RemoteDisconnected, ConnectionError)):
        api.send(
            "PATCH",
            f"purchase-orders/{order['id']}",
            {"purchase-order": {"status": "CLOSED"}},
        )
    assert order["status"] == "CLOSED"
    sandbox.ip.answers.clear()
    assert api.get("purchase-orders").status == 200
    methods = [request.method for request in sandbox.ip.requests]
    assert methods == ["GET", "PATCH", "GET"]


def test_no_key_in_what_is_logged(sandbox: Sandbox, api: ApiClient) -> None:
    api.get("purchase-orders")
    key = sandbox.ip.accounts["123456"].key
    assert key not in repr(list(sandbox.ip.requests))
    assert key not in repr(list(sandbox.journal.events))
    assert key not in repr(sandbox.ip.accounts["123456"])
