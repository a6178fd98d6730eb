"""Order of the steps, and that nothing typed is lost (T6, U2, U3, U8)."""

from __future__ import annotations

import html

import pytest
from django.urls import reverse

from connections.models import Connection, ConnectionDraft
from tests.connections.wizard.walk import (
    BASIC,
    NEW_MERCHANT,
    STEPS,
    STORE,
    WAREHOUSE,
    Walk,
    choose,
    errors,
    log_in,
)
from tests.factories import Cast


@pytest.mark.parametrize("step", ["merchant", "warehouse", "store"])
def test_a_later_step_leads_to_the_first_gap(walk: Walk, step: str) -> None:
    """T6, for reading and for sending."""
    assert walk.get(step).headers["Location"] == walk.url("basic")
    sent = walk.post(step, STEPS[step])
    assert sent.headers["Location"] == walk.url("basic")
    walk.answer(basic=BASIC)
    if step != "merchant":
        assert walk.get(step).headers["Location"] == walk.url("merchant")
    assert not Connection.objects.exists()


def test_an_earlier_step_that_became_invalid_is_a_gap(walk: Walk) -> None:
    """T6: sending step 4 goes to the answer that is wrong, not past it."""
    walk.up_to("store")
    walk.post("basic", {"name": ""}, goto="merchant")
    sent = walk.post("store", STORE)
    assert sent.headers["Location"] == walk.url("basic")
    assert not Connection.objects.exists()


def test_an_unknown_step_leads_to_the_first(walk: Walk) -> None:
    for step in ("done", "nonsense"):
        assert walk.get(step).headers["Location"] == walk.url("basic")
        assert walk.post(step, {}).headers["Location"] == walk.url("basic")


def test_each_step_leads_to_the_next(walk: Walk) -> None:
    """U1: named, numbered, the current one marked in text."""
    titles = {
        "basic": "Basic Information",
        "merchant": "Merchant Information",
        "warehouse": "Warehouse Setup",
        "store": "Store Setup",
    }
    for number, (step, fields) in enumerate(STEPS.items(), start=1):
        page = walk.page(step)
        assert f"<h2>{titles[step]}</h2>" in page
        assert f"Step {number} of 4" in page
        assert page.count('aria-current="step"') == 1
        after = walk.post(step, fields).headers["Location"]
        following = list(STEPS)[number] if number < 4 else ""
        assert after == (walk.url(following) if following else "/connections/")


def test_back_keeps_what_is_invalid(walk: Walk) -> None:
    """U2: the stock wizard library loses it."""
    walk.up_to("warehouse")
    typed = WAREHOUSE | {"code": "", "connection_string": "sftp://incomplete"}
    back = walk.post("warehouse", typed, goto="merchant")
    assert back.headers["Location"] == walk.url("merchant")
    page = walk.page("warehouse")
    assert 'value="Reno 3PL"' in page
    again = walk.post("warehouse", typed | {"connection_string": ""})
    assert set(errors(again)) == {"code", "connection_string"}


def test_what_is_refused_is_still_there_after_a_reload(walk: Walk) -> None:
    """U2, U10: the error is told, the words stay."""
    walk.up_to("store")
    wrong = STORE | {
        "ip_account": "not an account",
        "sftp_endpoint": "https://x.example",
    }
    page = walk.post("store", wrong)
    assert set(errors(page)) == {"ip_account", "sftp_endpoint"}
    assert "<title>Error:" in page.content.decode()
    for text in (html.unescape(page.content.decode()), walk.page("store")):
        assert 'value="not an account"' in text
        assert 'value="https://x.example"' in text
        assert 'value="ORDERED"' in text


def test_reading_a_step_changes_nothing(walk: Walk) -> None:
    """U3: refresh re-posts no older step."""
    walk.up_to("store")
    walk.page("store")
    before = ConnectionDraft.objects.values().get(pk=walk.draft.pk)
    for step in (*STEPS, *STEPS):
        walk.page(step)
    assert ConnectionDraft.objects.values().get(pk=walk.draft.pk) == before


def test_two_drafts_do_not_mix(cast: Cast) -> None:
    """U3: two tabs of one browser."""
    one, other = Walk(cast.staff), Walk(cast.staff)
    other.client = one.client
    one.answer(basic={"name": "One"})
    other.answer(basic={"name": "Other"})
    one.answer(merchant=NEW_MERCHANT | {"company_name": "One Ltd"})
    other.answer(merchant=NEW_MERCHANT | {"company_name": "Other Ltd"})
    assert 'value="One"' in one.page("basic")
    assert 'value="One Ltd"' in one.page("merchant")
    assert 'value="Other"' in other.page("basic")
    assert 'value="Other Ltd"' in other.page("merchant")


def test_a_draft_goes_on_after_a_new_log_in(walk: Walk, cast: Cast) -> None:
    """U3, U6: it is in the list, with its step, on another device."""
    walk.up_to("warehouse")
    walk.client.logout()
    elsewhere = Walk(cast.staff, walk.draft)
    page = elsewhere.client.get(reverse("connections:list")).content.decode()
    assert "Drafts" in page
    assert "Northwind — Inventory Planner → Reno 3PL" in page
    assert "Northwind Traders" in elsewhere.page("merchant")
    elsewhere.answer(warehouse=WAREHOUSE)


def test_a_colleagues_draft_is_not_there(walk: Walk, cast: Cast) -> None:
    """T1: not even for the administrator of the same account."""
    walk.answer(basic=BASIC)
    for person in (cast.administrator, cast.scoped_staff):
        client = log_in(person)
        assert client.get(walk.url("basic")).status_code == 404
        assert client.post(walk.url("basic"), {}).status_code == 404
        assert BASIC["name"] not in client.get("/connections/").content.decode()


def test_a_discarded_draft_is_gone_with_its_key(walk: Walk) -> None:
    """U6."""
    walk.up_to("store")
    walk.page("store")
    url = reverse("connections:wizard_discard", args=[walk.draft.public_id])
    assert walk.client.post(url).headers["Location"] == "/connections/"
    assert walk.get("basic").status_code == 404
    assert not ConnectionDraft.objects.exists()


def test_odd_characters_are_refused_or_kept_never_an_error_page(walk: Walk) -> None:
    """B7, F6: what no database column takes is an ordinary field error."""
    assert "name" in errors(walk.post("basic", {"name": "a\x00b"}))
    walk.answer(basic={"name": "\u202e🛍️ <script>alert(1)</script>"})
    page = walk.get("basic").content.decode()
    assert "<script>alert" not in page
    assert "🛍️" in page


def test_a_draft_of_a_merchant_out_of_scope_leads_back(walk: Walk, cast: Cast) -> None:
    """T2: scope that was taken away meanwhile counts at once."""
    walk.answer(basic=BASIC, merchant=choose(cast.other_merchant))
    cast.staff.membership.scope.set([cast.merchant])
    assert walk.get("warehouse").headers["Location"] == walk.url("merchant")


def test_change_comes_back_to_the_review(walk: Walk) -> None:
    """U4: all answers before the end, each with its way back."""
    walk.up_to("store")
    page = walk.page("store")
    for answer in (BASIC["name"], "Northwind Traders", "Reno 3PL"):
        assert answer in page.partition("Check your answers")[2]
    assert "Add connection</button>" in page
    change = walk.post("store", STORE, goto="basic").headers["Location"]
    assert change.startswith(walk.url("basic"))
    done = walk.client.post(change, {"basic-name": "Renamed"})
    assert done.headers["Location"] == walk.url("store")
    assert "Renamed" in walk.page("store")
    assert 'value="CLOSED"' in walk.page("store")


# --- Help, examples, paste


@pytest.mark.parametrize("step", STEPS)
def test_every_field_says_what_it_is(walk: Walk, step: str) -> None:
    """dropstream.md §7: label, and what is needed to fill it in, in plain words."""
    walk.up_to(step)
    if step == "store":
        walk.post("store", STORE, goto="store")
    wanted = {
        "basic": ["Connection Name", BASIC["name"]],
        "merchant": ["Use existing merchant", "Create new merchant", "Company name"],
        "warehouse": [
            "SFTP connection string",
            "sftp://username:password@hostname:22",
            "write @ as %40",
            "WAREHOUSE_ID",
        ],
        "store": [
            *("Create new store", "SFTP Configuration", "Public Key", "Copy"),
            *("API Key", "Account → Settings → API", "a1b2c3d4e5…"),
            *("Account ID", "The a= value in the Inventory Planner URL", "123456"),
            *("SFTP Endpoint", "Advanced CSV connection", "may come later"),
            "s-abc123.server.transfer.us-east-1.amazonaws.com",
            *("Purchase Order Settings", "Import Status Filter", "ORDERED"),
            *("Acknowledgement Status", "CLOSED", "blank sets nothing"),
        ],
    }
    page = walk.page(step)
    for words in wanted[step]:
        assert words in page, words


def test_the_platforms_fields_come_without_a_reload(walk: Walk) -> None:
    """U9: htmx fetches them; without scripting a button does."""
    walk.up_to("store")
    assert "API Key" not in walk.page("store")
    url = reverse("connections:wizard_platform", args=[walk.draft.public_id])
    part = walk.client.get(url, {"store-platform": "inventory_planner"})
    text = part.content.decode()
    assert part.status_code == 200
    assert "API Key" in text
    assert "<html" not in text
    for unknown in ("", "nonsense"):
        nothing = walk.client.get(url, {"store-platform": unknown})
        assert nothing.status_code == 200
        assert "API Key" not in nothing.content.decode()
    shown = walk.post("store", {"platform": "inventory_planner"}, goto="store")
    assert shown.headers["Location"].startswith(walk.url("store"))
    assert "API Key" in walk.page("store")


def test_pasted_values_are_understood_and_said(walk: Walk) -> None:
    """U8: whole URL, sftp:// with user and port, stray spaces."""
    walk.up_to("store")
    pasted = STORE | {
        "ip_account": "https://app.inventory-planner.com/?a=654321#/dashboard",
        "sftp_endpoint": f" sftp://ipuser@{STORE['sftp_endpoint'].upper()}:2222/drop ",
    }
    walk.post("store", pasted)
    row = Connection.objects.get().store.inventory_planner
    assert row.ip_account == "654321"
    assert (row.sftp_endpoint, row.sftp_port) == (STORE["sftp_endpoint"], 2222)
    assert row.username_in_use == "ipuser"
    page = html.unescape(walk.client.get("/connections/").content.decode())
    assert "Account ID was read as “654321”." in page
    assert f"SFTP Endpoint was read as “{STORE['sftp_endpoint']}”." in page


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        ("ftp://u:p@files.example.com", "Only SFTP is supported"),
        ("files.example.com", "starts with sftp://"),
        ("sftp://files.example.com", "User name and password"),
        ("sftp://u:p@ss:word@files", "full name such as"),
        ("sftp://u:pa/ss@files.example.com", "%2F"),
        ("sftp://u:p@10.0.0.1", "not an address"),
        ("sftp://u:p@files.example.com:99999", "hostname:port"),
    ],
)
def test_a_malformed_connection_string_is_explained(
    walk: Walk, typed: str, says: str
) -> None:
    """Issue 2: a clear message, and nothing typed is lost or shown."""
    walk.up_to("warehouse")
    response = walk.post("warehouse", WAREHOUSE | {"connection_string": typed})
    (message,) = errors(response)["connection_string"]
    assert says in message
    assert walk.draft.public_id == ConnectionDraft.objects.get().public_id
    assert ConnectionDraft.objects.get().answers("warehouse") == WAREHOUSE | {
        "connection_string": typed
    }


def test_another_pick_of_the_platform_loses_nothing(walk: Walk) -> None:
    """U9: the fields come back with what was typed, secrets excepted."""
    walk.up_to("store")
    walk.post("store", STORE, goto="warehouse")
    url = reverse("connections:wizard_platform", args=[walk.draft.public_id])
    page = walk.client.get(url, {"store-platform": "inventory_planner"})
    assert f'value="{STORE["ip_account"]}"' in page.content.decode()
    assert STORE["api_key"] not in page.content.decode()
