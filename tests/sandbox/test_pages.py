"""The sandbox's pages and documents, as a newcomer and a machine meet them."""

from __future__ import annotations

import pytest

from dropstream.sandbox import Sandbox
from dropstream.sandbox.ip import ENDPOINTS_SPARE
from tests.sandbox.far_side import (
    ApiClient,
    ask,
    new_key,
    order_file,
    post_form,
    public_line,
    stock_file,
)


@pytest.mark.parametrize("kind", ["ssh-rsa", "ssh-ed25519", "ecdsa-sha2-nistp384"])
def test_key_gets_an_endpoint_and_keeps_it(sandbox: Sandbox, kind: str) -> None:
    line = public_line(new_key(kind))

    def connect() -> str:
        reply = post_form(
            sandbox,
            "/ip/connections",
            accept="application/json",
            account="654321",
            public_key=f"  {line}\n",
        )
        assert reply.status == 200
        return str(reply.json["endpoint"])

    endpoint = connect()
    assert endpoint.endswith(".server.transfer.us-east-1.amazonaws.com")
    assert f"{endpoint}=127.0.0.1:{sandbox.ip.ssh.port}" in (
        sandbox.facts["outbound_hosts"].split(",")
    )
    assert connect() == endpoint
    other = sandbox.ip.connect("123456", public_line(new_key()))
    assert other.endpoint != endpoint


def test_page_shows_the_endpoint_to_copy(sandbox: Sandbox) -> None:
    line = public_line(new_key())
    reply = post_form(sandbox, "/ip/connections", account="654321", public_key=line)
    (drop,) = sandbox.ip.accounts["654321"].drops
    assert f'value="{drop.endpoint}"' in reply.text
    assert "readonly" in reply.text


def test_keys_that_are_refused(sandbox: Sandbox) -> None:
    """K1: private keys, several lines, cut keys, other types, nothing at all."""
    key = new_key()
    private = key.export_private_key().decode()
    line = public_line(key)
    bad = ["", private, f"{line}\n{line}", line[:40], f"ssh-dss {line.split()[1]}"]
    for text in bad:
        reply = post_form(
            sandbox,
            "/ip/connections",
            accept="application/json",
            account="654321",
            public_key=text,
        )
        assert reply.status == 400
        assert reply.json["error"]
    unknown = post_form(
        sandbox,
        "/ip/connections",
        accept="application/json",
        account="1",
        public_key=line,
    )
    assert unknown.status == 400
    page = post_form(sandbox, "/ip/connections", account="654321", public_key="<b>")
    assert 'role="alert"' in page.text
    assert "&lt;b&gt;" in page.text
    assert sandbox.ip.drops() == []


def test_key_of_the_other_account_is_refused(sandbox: Sandbox) -> None:
    line = public_line(new_key())
    sandbox.ip.connect("123456", line)
    page = post_form(sandbox, "/ip/connections", account="654321", public_key=line)
    assert "belongs to another account" in page.text


def test_pool_of_endpoints_runs_out(sandbox: Sandbox) -> None:
    for _ in range(len(sandbox.ip.accounts) + ENDPOINTS_SPARE):
        sandbox.ip.connect("123456", public_line(new_key()))
    line = public_line(new_key())
    page = post_form(sandbox, "/ip/connections", account="654321", public_key=line)
    assert "in use" in page.text


def test_account_page_tells_what_ip_knows(sandbox: Sandbox) -> None:
    account = sandbox.ip.accounts["654321"]
    drop = sandbox.ip.connect("654321", public_line(new_key()))
    stock_folder = drop.folder / "variant_warehouse"
    rows = ["SKU-00001,WH1,5", "SKU-00002,WH1,7", "<script>,WH1,1"]
    (stock_folder / "a.csv").write_text(stock_file(*rows))
    (stock_folder / "<b>.csv").write_text("no header")
    after = post_form(sandbox, "/ip/sync", account="654321")
    for text in (account.key, "654321", drop.endpoint, "2 in WH1", "1042", "ORDERED"):
        assert text in after.text
    assert "skipped" in after.text
    assert "<script>" not in after.text
    assert "&lt;b&gt;.csv" in after.text
    address = f"{sandbox.facts['url']}/ip/?account=654321&q=00002"
    found = ask(address).text
    assert "SKU-00002" in found
    assert "<td>SKU-00001</td>" not in found


def test_newcomer_sees_the_try_account(sandbox: Sandbox) -> None:
    assert "Your merchant" in ask(f"{sandbox.facts['url']}/ip/").text


def test_warehouse_page_and_its_buttons(sandbox: Sandbox) -> None:
    user = sandbox.warehouse.users["try"]
    post_form(sandbox, "/warehouse/parts", user="try", on="yes")
    assert user.in_parts
    for _ in range(2):
        (user.incoming / "po_1.csv").write_text(order_file("abc", "l1,S,T,4"))
        sandbox.warehouse.tick()
    page = ask(f"{sandbox.facts['url']}/warehouse/?user=try").text
    assert user.connection_string() in page
    assert "came 2 times!" in page
    assert "Receive the rest" in page
    done = post_form(sandbox, "/warehouse/receive", user="try", po_id="abc")
    assert "rcp_1042_2.csv" in done.text
    assert "Receive the rest" not in done.text
    assert post_form(sandbox, "/warehouse/receive", user="try").status == 200
    count = len(list(user.outgoing.glob("inv_*.csv")))
    post_form(sandbox, "/warehouse/stock", user="try")
    post_form(sandbox, "/warehouse/full", user="try")
    assert len(list(user.outgoing.glob("inv_*.csv"))) == count + 2


def test_report_follows_the_main_job(sandbox: Sandbox) -> None:
    """Done needs the stock, the status and every quantity."""
    report = f"{sandbox.facts['url']}/report.json"
    before = ask(report).json["main_job"]
    assert (before["rows"], before["order_status"]) == (0, "ORDERED")
    account = sandbox.ip.accounts["123456"]
    row = {"IN_STOCK": "1", "REMOVED": "false", "UPDATED_AT": ""}
    for number in range(5_000):
        names = {"VARIANT_ID": f"V{number}", "WAREHOUSE_ID": "WH1"}
        account.take_stock(row | names, "a.csv")
    api = ApiClient(sandbox)
    order = api.order("1042")
    path = f"purchase-orders/{order['id']}"
    api.send("PATCH", path, {"purchase-order": {"status": "CLOSED"}})
    assert ask(report).json["main_job"]["done"] is False
    items = [{"id": i["id"], "received": i["replenishment"]} for i in order["items"]]
    api.send("PATCH", f"{path}/items", {"items": items})
    job = ask(report).json["main_job"]
    assert (job["rows"], job["order"], job["order_status"]) == (5_000, "1042", "CLOSED")
    assert job["done"] is True


def test_state_has_no_secret(sandbox: Sandbox) -> None:
    sandbox.ip.connect("123456", public_line(new_key()))
    reply = ask(f"{sandbox.facts['url']}/state.json")
    state = reply.json
    assert state["warehouse"]["demo"]["skus"] == 30
    assert state["ip"]["123456"]["stock"] == {"WH1": 0}
    assert len(state["ip"]["123456"]["drops"]) == 1
    for account in sandbox.ip.accounts.values():
        assert account.key not in reply.text
    for user in sandbox.warehouse.users.values():
        assert user.password not in reply.text


def test_pages_are_closed_to_other_sites(sandbox: Sandbox) -> None:
    """A name that points at loopback and a foreign form are both refused."""
    url = sandbox.facts["url"]
    assert ask(f"{url}/healthz").text == "ok\n"
    assert ask(f"{url}/ip/", headers={"Host": "evil.example"}).status == 421
    foreign = {"Origin": "http://evil.example"}
    refused = ask(f"{url}/ip/sync", method="POST", headers=foreign, body=b"account=1")
    assert refused.status == 403
    policy = ask(f"{url}/").headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert ask(f"{url}/nothing").status == 404


@pytest.mark.parametrize("side", ["ip", "warehouse"])
def test_the_host_key_is_shown_and_can_be_changed(sandbox: Sandbox, side: str) -> None:
    """H1, H4: something to compare the approved fingerprint with; a server renewed."""
    server = sandbox.ip.ssh if side == "ip" else sandbox.warehouse.ssh
    before = server.fingerprint()
    assert f"<code>{before}</code>" in ask(f"{sandbox.facts['url']}/{side}/").text
    assert post_form(sandbox, "/host-key", side=side).status == 200
    assert server.fingerprint() != before
    assert (
        f"<code>{server.fingerprint()}</code>"
        in ask(f"{sandbox.facts['url']}/{side}/").text
    )


def test_newcomers_find_four_merchants(sandbox: Sandbox) -> None:
    """Each merchant needs its own log-in and account; one string is another's never."""
    merchants = [sandbox.facts[name] for name in ("try", "try2", "try3", "try4")]
    for fact in ("account_id", "api_key", "connection_string"):
        assert len({merchant[fact] for merchant in merchants}) == 4


def test_both_far_sides_first_show_the_newcomers_merchant(sandbox: Sandbox) -> None:
    """Whoever takes the demo's log-in would share its files."""
    for path in ("/ip/", "/warehouse/"):
        page = ask(f"{sandbox.facts['url']}{path}").text
        assert ": Your merchant</h1>" in page
    assert sandbox.facts["try"]["connection_string"] in (
        ask(f"{sandbox.facts['url']}/warehouse/").text
    )
