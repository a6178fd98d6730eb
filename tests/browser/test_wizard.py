"""The wizard as its users expect it (ux.md U1–U14), in a real browser."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from django.conf import LazySettings
from playwright.sync_api import Locator, Page, Response, expect
from pytest_django.live_server_helper import LiveServer
from pytest_playwright.pytest_playwright import CreateContextCallback

from connections.models import Connection, ConnectionDraft
from dropstream.sandbox import Sandbox
from stores.models import SSHKey, Store
from tests import factories
from tests.browser import desk, steps
from tests.browser.judge import problems
from tests.factories import Cast
from tests.household import draft

pytestmark = pytest.mark.django_db(transaction=True)
TITLES = (
    "Basic Information",
    "Merchant Information",
    "Warehouse Setup",
    "Store Setup",
)
ENDPOINT = "s-abc123.server.transfer.us-east-1.amazonaws.com"


@pytest.fixture(autouse=True)
def _quick_keys(settings: LazySettings) -> None:
    settings.SSH_KEY_TYPE = "ed25519"  # RSA takes 0.3 s a key


@pytest.fixture
def staff(page: Page, live_server: LiveServer, cast: Cast) -> Page:
    """A staff person's browser, on the list of connections."""
    desk.enter(page.context, live_server, cast.staff)
    page.goto(f"{live_server.url}/connections/")
    return page


def button(page: Page, name: str) -> Locator:
    return page.get_by_role("button", name=name, exact=True)


def fill_store(page: Page, name: str = "Shop") -> None:
    steps.fill_store(page, name, desk.NOBODY)


# --- U1: the step rail


def test_u1_each_step_is_named_numbered_and_told_in_words(staff: Page) -> None:
    """Done, current and to do are words, not only colours; the title names the step."""
    rail = staff.get_by_role("navigation", name="Add connection").get_by_role(
        "listitem"
    )

    def look(number: int) -> None:
        current = staff.locator("[aria-current=step]")
        expect(current).to_have_count(1)
        expect(current).to_contain_text(TITLES[number - 1])
        expect(current).to_contain_text(f"Step {number} of 4")
        expect(staff).to_have_title(
            f"{TITLES[number - 1]} · Add connection · DropStream"
        )
        said = ["Done"] * (number - 1) + ["Step"] + ["To do"] * (4 - number)
        for item, title, word in zip(rail.all(), TITLES, said, strict=True):
            expect(item).to_contain_text(title)
            expect(item).to_contain_text(word)
            expect(item.get_by_role("link")).to_have_count(int(word == "Done"))

    steps.go_to(staff, "Connections")
    staff.get_by_role("button", name="Add Connection").click()
    look(1)
    staff.get_by_label("Connection Name").fill("Rail")
    steps.go_on(staff)
    look(2)
    steps.new_merchant(staff, "Rail Ltd")
    look(3)
    steps.fill_warehouse(staff, "Rail hall", desk.NOBODY.connection_string)
    steps.go_on(staff)
    look(4)
    staff.get_by_role("link", name="Merchant Information").click()
    expect(staff.get_by_label("Company name")).to_have_value("Rail Ltd")


# --- U2, U3: nothing typed is lost


def test_u2_back_keeps_what_was_typed_even_when_it_is_invalid(
    staff: Page, cast: Cast
) -> None:
    desk.at_step(staff, "store", "Keep", cast.staff)
    fill_store(staff)
    staff.get_by_label("Account ID").fill("not an account")
    staff.get_by_label("SFTP Endpoint").fill("https://x.example")
    button(staff, "Back").click()
    steps.heading(staff, "Warehouse Setup")
    button(staff, "Back").click()
    steps.heading(staff, "Merchant Information")
    staff.get_by_label("Company name").fill("")
    staff.get_by_label("City").fill("Reno")
    button(staff, "Back").click()
    steps.heading(staff, "Basic Information")
    steps.go_on(staff)
    expect(staff.get_by_label("City")).to_have_value("Reno")
    expect(staff.get_by_label("Company name")).to_have_value("")
    steps.new_merchant(staff, "Keep Ltd")
    expect(staff.get_by_text("Kept: sftp://north:•••@files.reno")).to_be_visible()
    steps.go_on(staff)
    expect(staff.get_by_label("Account ID")).to_have_value("not an account")
    expect(staff.get_by_label("SFTP Endpoint")).to_have_value("https://x.example")
    expect(staff.get_by_label("API Key")).to_have_value("")
    expect(staff.get_by_text("Leave the field empty to keep it")).to_be_visible()


def test_u3_the_browsers_back_and_refresh_lose_and_repeat_nothing(
    staff: Page,
    cast: Cast,
) -> None:
    desk.at_step(staff, "warehouse", "Refresh", cast.staff)
    steps.fill_warehouse(staff, "Refresh hall", "not a string")
    steps.go_on(staff)
    expect(staff.locator("[data-error-summary]")).to_be_visible()
    staff.reload()
    steps.heading(staff, "Warehouse Setup")
    expect(staff.get_by_label("Warehouse name")).to_have_value("Refresh hall")
    draft = ConnectionDraft.objects.get()
    assert (draft.step, draft.answers("merchant")["company_name"]) == (
        "warehouse",
        "Refresh Ltd",
    )
    staff.goto(staff.url.replace("/warehouse/", "/merchant/"))
    staff.go_back()
    expect(staff.get_by_label("Warehouse name")).to_have_value("Refresh hall")


def test_u3_what_is_not_sent_yet_outlives_refresh_and_leaving(
    staff: Page, cast: Cast
) -> None:
    """U6: "everything you type is kept" is true of the page that is open, too."""
    desk.at_step(staff, "store", "Unsent", cast.staff)
    endpoint = staff.get_by_label("SFTP Endpoint")

    def is_kept(answer: Response) -> bool:
        return answer.status == 200 and typed in (answer.request.post_data or "")

    typed = "half-typed.exam"
    with staff.expect_response(is_kept):
        fill_store(staff)
        endpoint.press_sequentially(typed)
    staff.reload()
    expect(endpoint).to_have_value(typed)
    expect(staff.get_by_label("Account ID")).to_have_value("123456")
    expect(staff.get_by_text("Leave the field empty to keep it")).to_be_visible()
    assert desk.NOBODY.api_key not in staff.content()
    assert not Connection.objects.exists()


def test_u3_two_drafts_in_two_tabs_do_not_mix(staff: Page, cast: Cast) -> None:
    other = staff.context.new_page()
    other.goto(staff.url)
    desk.at_step(staff, "merchant", "One", cast.staff)
    desk.at_step(other, "merchant", "Two", cast.staff)
    staff.get_by_label("Company name").fill("One Ltd")
    other.get_by_label("Company name").fill("Two Ltd")
    steps.go_on(staff)
    steps.go_on(other)
    for tab, name in ((staff, "One"), (other, "Two")):
        steps.heading(tab, "Warehouse Setup")
        button(tab, "Back").click()
        expect(tab.get_by_label("Company name")).to_have_value(f"{name} Ltd")
    assert ConnectionDraft.objects.count() == 2


def test_u3_u6_a_draft_is_gone_on_with_after_a_log_in_elsewhere(
    staff: Page,
    cast: Cast,
    live_server: LiveServer,
    new_context: CreateContextCallback,
) -> None:
    desk.at_step(staff, "warehouse", "Travels", cast.staff)
    staff.get_by_label("Warehouse name").fill("Hall")
    button(staff, "Back").click()
    elsewhere = new_context().new_page()
    elsewhere.goto(f"{live_server.url}/connections/")
    elsewhere.get_by_label("Email").fill(cast.staff.email)
    elsewhere.get_by_label("Password").fill(factories.PASSWORD)
    button(elsewhere, "Log in").click()
    elsewhere.get_by_role("link", name="Go on Travels").click()
    steps.heading(elsewhere, "Warehouse Setup")
    expect(elsewhere.get_by_label("Warehouse name")).to_have_value("Hall")


# --- U4, U5: review, and one connection


def test_u4_change_comes_back_to_the_review_with_every_answer(
    staff: Page, cast: Cast
) -> None:
    desk.at_step(staff, "store", "Review", cast.staff)
    fill_store(staff)
    review = staff.get_by_role("region", name="Check your answers")
    for answer in ("Review", "Review Ltd", "Review warehouse"):
        expect(
            review.get_by_role("definition").filter(has_text=answer)
        ).not_to_have_count(0)
    review.get_by_role("button", name="Change Merchant").click()
    staff.get_by_label("Company name").fill("Changed Ltd")
    button(staff, "Continue to the review").click()
    expect(review).to_contain_text("Changed Ltd")
    expect(staff.get_by_label("Account ID")).to_have_value("123456")
    button(staff, "Add connection").click()
    expect(staff.get_by_text("“Review” was added. It is off")).to_be_visible()
    assert Connection.objects.get().merchant.name == "Changed Ltd"


def test_u4_the_review_follows_what_is_typed_in_the_last_step(
    staff: Page, cast: Cast
) -> None:
    """Its own answers too, without a reload; Change leads to the field."""
    desk.at_step(staff, "store", "Live", cast.staff)
    review = staff.get_by_role("region", name="Check your answers")
    expect(review).to_contain_text("sftp://north:•••@files.reno.example:22")
    fill_store(staff)
    staff.get_by_label("Acknowledgement Status").fill("")
    last = staff.locator("#review-store")
    for answer in (
        "NameShop",
        "PlatformInventory Planner",
        f"API Key…{desk.NOBODY.api_key[-4:]}",
        "Account ID123456",
        "SFTP EndpointNot set: may come later; stock waits for it",
        "Import Status FilterORDERED",
        "Acknowledgement StatusNot set: blank sets nothing",
        "Set it when the order isFully received",
    ):
        expect(last).to_contain_text(answer)
    last.get_by_role("link", name="Change Account ID").click()
    expect(staff.get_by_label("Account ID")).to_be_focused()
    staff.keyboard.type("9")
    expect(last).to_contain_text("9")
    assert desk.NOBODY.api_key not in last.inner_text()


POST_TWICE = """async () => {
  const form = document.getElementById("wizard-form");
  const send = () => fetch(form.action, {method: "POST", body: new FormData(form)});
  const answers = await Promise.all([send(), send(), send()]);
  return answers.map((answer) => answer.status);
}"""


def test_u5_parallel_posts_make_one_connection(staff: Page, cast: Cast) -> None:
    desk.at_step(staff, "store", "Once", cast.staff)
    fill_store(staff)
    assert staff.evaluate(POST_TWICE) == [200, 200, 200]
    assert (Connection.objects.count(), Store.objects.count()) == (1, 1)
    button(staff, "Add connection").click()  # and one more, of the tab that is open
    steps.heading(staff, "Connections")
    assert Connection.objects.count() == 1


def test_u5_a_double_click_makes_one_connection(staff: Page, cast: Cast) -> None:
    desk.at_step(staff, "store", "Twice", cast.staff)
    fill_store(staff)
    button(staff, "Add connection").dblclick()
    expect(staff.get_by_text("“Twice” was added.")).to_be_visible()
    assert Connection.objects.count() == 1


# --- U6: leaving


def test_u6_drafts_are_listed_with_step_and_age_and_discarded_after_a_question(
    staff: Page,
    cast: Cast,
) -> None:
    desk.at_step(staff, "store", "Left", cast.staff)
    staff.get_by_role("link", name="Finish later").click()
    drafts = staff.get_by_role("region", name="Drafts")
    expect(drafts).to_contain_text("Left")
    expect(drafts).to_contain_text("Store Setup")
    expect(drafts.locator("time").first).to_contain_text("now")
    expect(drafts).to_contain_text("kept until")
    button(drafts.page, "Discard").click()
    dialog = staff.get_by_role("dialog", name="Discard this draft?")
    dialog.get_by_role("button", name="Cancel").click()
    expect(drafts).to_be_visible()
    assert SSHKey.objects.exists()
    button(drafts.page, "Discard").click()
    dialog.get_by_role("button", name="Discard").click()
    expect(staff.get_by_text("Draft “Left” discarded.")).to_be_visible()
    expect(drafts).to_have_count(0)
    assert not ConnectionDraft.objects.exists()
    assert not SSHKey.objects.exists()


# --- U7, U8: fields

EXPLAINED = {
    "Connection Name": "Example: Northwind — Inventory Planner → Reno 3PL",
    "SFTP connection string": "sftp://username:password@hostname:22",
    "Warehouse code": "must be known there",
    "API Key": "Account → Settings → API → Generate key",
    "Account ID": "The a= value in the Inventory Planner URL",
    "SFTP Endpoint": ENDPOINT,
    "Import Status Filter": "Example: ORDERED",
    "Acknowledgement Status": "CLOSED",
}


def test_u7_fields_say_what_is_asked_and_give_an_example(staff: Page) -> None:
    """Read with the field by a screen reader, not only printed beside it."""
    told: dict[str, str] = {}

    def note() -> None:
        for label in EXPLAINED:
            field = staff.get_by_label(label)
            if field.count():
                told[label] = field.evaluate(DESCRIPTION)

    steps.go_to(staff, "Connections")
    staff.get_by_role("button", name="Add Connection").click()
    note()
    staff.get_by_label("Connection Name").fill("Explained")
    steps.go_on(staff)
    steps.new_merchant(staff, "Explained Ltd")
    steps.heading(staff, "Warehouse Setup")
    note()
    steps.fill_warehouse(staff, "Hall", desk.NOBODY.connection_string)
    steps.go_on(staff)
    fill_store(staff)
    note()
    missing = {
        k: told.get(k) for k, words in EXPLAINED.items() if words not in told.get(k, "")
    }
    assert not missing


def test_u7_a_field_that_may_be_empty_says_what_that_means(
    staff: Page, cast: Cast
) -> None:
    """dropstream.md §7: what the job needs is not called optional; saving is free."""
    desk.at_step(staff, "store", "Blank", cast.staff)
    staff.get_by_label("Platform").select_option("Inventory Planner")
    for label in (
        "API Key (needed before orders flow)",
        "Account ID (needed before orders flow)",
        "SFTP Endpoint (may come later; stock waits for it)",
        "SFTP username (optional)",
        "Import Status Filter (blank imports every order)",
        "Acknowledgement Status (blank sets nothing)",
    ):
        expect(staff.get_by_label(label, exact=True)).to_have_value("")
    staff.get_by_label("Name", exact=True).fill("Blank shop")
    button(staff, "Add connection").click()
    expect(staff.get_by_text("“Blank” was added. It is off")).to_be_visible()


DESCRIPTION = """(field) => (field.getAttribute("aria-describedby") ?? "").split(" ")
  .map((id) => document.getElementById(id)?.innerText ?? "").join(" ")"""


@pytest.mark.parametrize(
    ("account", "endpoint", "username"),
    [
        (
            "https://app.inventory-planner.com/?a=654321#/dashboard",
            f"sftp://ipuser@{ENDPOINT}:22/path",
            "ipuser",
        ),
        ("​ 654321 ", f" {ENDPOINT.upper()}. ", "654321"),
    ],
)
def test_u8_pasted_values_are_understood_and_the_change_is_said(
    staff: Page, cast: Cast, account: str, endpoint: str, username: str
) -> None:
    desk.at_step(staff, "store", "Paste", cast.staff)
    fill_store(staff)
    staff.get_by_label("Account ID").fill(account)
    staff.get_by_label("SFTP Endpoint").fill(endpoint)
    button(staff, "Add connection").click()
    expect(staff.get_by_text("Account ID was read as “654321”.")).to_be_visible()
    expect(
        staff.get_by_text(f"SFTP Endpoint was read as “{ENDPOINT}”.")
    ).to_be_visible()
    row = Connection.objects.get().store.inventory_planner
    assert (row.ip_account, row.sftp_endpoint, row.sftp_port) == (
        "654321",
        ENDPOINT,
        22,
    )
    assert row.username_in_use == username


def test_a_log_in_of_another_merchant_is_warned_of_and_not_refused(
    staff: Page, cast: Cast
) -> None:
    """dropstream.md §3: each merchant needs its own log-in at the warehouse."""
    factories.warehouse(cast.merchant, desk.NOBODY.connection_string)
    desk.at_step(staff, "warehouse", "Shared", cast.staff)
    steps.fill_warehouse(staff, "Hall", desk.NOBODY.connection_string)
    steps.go_on(staff)
    steps.heading(staff, "Store Setup")
    warning = staff.get_by_text(f"{cast.merchant} uses this log-in already")
    expect(warning).to_be_visible()
    button(staff, "Back").click()
    steps.heading(staff, "Warehouse Setup")
    expect(warning).to_be_visible()
    other = "sftp://south:own-word@files.reno.example:22"
    staff.get_by_label("SFTP connection string").fill(other)
    steps.go_on(staff)
    steps.heading(staff, "Store Setup")
    expect(warning).to_have_count(0)


# --- U9: without a reload, and without scripting


def test_u9_the_platforms_fields_come_without_a_reload(staff: Page, cast: Cast) -> None:
    desk.at_step(staff, "store", "Fields", cast.staff)
    staff.evaluate("window.stayed = true")
    staff.get_by_label("Name", exact=True).fill("Typed before")
    expect(staff.get_by_label("API Key")).to_have_count(0)
    expect(button(staff, "Test connection")).to_have_count(0)  # nothing to try yet
    staff.get_by_label("Platform").select_option("Inventory Planner")
    expect(staff.get_by_label("API Key")).to_be_visible()
    expect(button(staff, "Test connection")).to_be_visible()
    expect(staff.get_by_label("Public Key")).to_have_value(
        ConnectionDraft.objects.get().ssh_key.public_key  # type: ignore[union-attr]
    )
    expect(staff.get_by_label("Name", exact=True)).to_have_value("Typed before")
    assert staff.evaluate("window.stayed")


def test_u9_the_whole_wizard_without_scripting(
    new_context: CreateContextCallback,
    live_server: LiveServer,
    cast: Cast,
    sandbox: Sandbox,
) -> None:
    """Add, test, approve, refresh, the platform's fields, finish, discard."""
    context = new_context(java_script_enabled=False)
    desk.enter(context, live_server, cast.staff)
    page = context.new_page()
    who = desk.newcomer(sandbox)
    page.goto(f"{live_server.url}/connections/")
    steps.begin(page, "Plain")
    steps.new_merchant(page, "Plain Ltd")
    steps.fill_warehouse(page, "Plain hall", who.connection_string)
    page.get_by_role("button", name="Test connection").click()
    box = steps.check_box(page)
    expect(box).to_contain_text("Testing…")
    desk.work()
    box.get_by_role("link", name="Refresh").click()
    expect(box).to_contain_text(steps.UNKNOWN_KEY)
    box.get_by_role("button", name="Approve this key and test again").click()
    desk.work()
    box.get_by_role("link", name="Refresh").click()
    expect(box).to_contain_text("Success!")
    steps.go_on(page)
    page.get_by_label("Name", exact=True).fill("Plain shop")
    page.get_by_label("Platform").select_option("Inventory Planner")
    button(page, "Show the platform's fields").click()
    expect(page.get_by_label("Name", exact=True)).to_have_value("Plain shop")
    page.get_by_label("API Key").fill(who.api_key)
    page.get_by_label("Account ID").fill(who.account_id)
    page.get_by_role("button", name="Test connection").click()
    desk.work()
    box.get_by_role("link", name="Refresh").click()
    expect(box).to_contain_text("Success!")
    button(page, "Add connection").click()
    expect(page.get_by_text("“Plain” was added.")).to_be_visible()
    assert Connection.objects.get().store.name == "Plain shop"
    steps.begin(page, "Thrown away")
    page.get_by_role("link", name="Finish later").click()
    page.get_by_role("link", name="Discard").click()
    page.get_by_role("dialog").get_by_role("button", name="Discard").click()
    expect(page.get_by_text("discarded.")).to_be_visible()


def test_u19_a_time_reads_alike_with_and_without_scripting(
    new_context: CreateContextCallback, live_server: LiveServer, cast: Cast
) -> None:
    """The day before the month, in the zone that is named."""
    made = draft(cast.staff)
    when = datetime(2026, 11, 8, 14, 5, tzinfo=UTC)
    ConnectionDraft.objects.filter(pk=made.pk).update(updated_at=when)
    read = []
    for scripting in (True, False):
        context = new_context(java_script_enabled=scripting, timezone_id="UTC")
        desk.enter(context, live_server, cast.staff)
        page = context.new_page()
        page.goto(f"{live_server.url}/connections/")
        drafts = page.get_by_role("region", name="Drafts")
        read.append(drafts.locator("[data-absolute], [data-day]").all_inner_texts())
    assert read == [["8 Nov 2026, 14:05 UTC", "8 Dec 2026"]] * 2


# --- U10: errors

WRONG: dict[str, dict[str, str]] = {
    "basic": {"Connection Name": "Enter a name for the connection."},
    "merchant": {"Company name": "Enter the company's name."},
    "warehouse": {
        "Warehouse name": "Enter a name for the warehouse.",
        "SFTP connection string": "Enter the connection string.",
    },
    "store": {
        "Name": "Enter a name for the store.",
        "Platform": "Choose the store's platform.",
    },
}


@pytest.mark.parametrize("step", WRONG)
def test_u10_an_error_is_told_at_the_top_and_at_its_field(
    staff: Page, cast: Cast, step: str
) -> None:
    """Summary focused, title, links, the same words, described and invalid; axe agrees."""
    if step == "basic":
        steps.begin(staff, "")
    else:
        desk.at_step(staff, step, "Wrong", cast.staff)
        last = step == "store"
        button(staff, "Add connection" if last else "Continue").click()
    summary = staff.locator("[data-error-summary]")
    expect(summary).to_be_focused()
    assert staff.title().startswith("Error: ")
    for label, words in WRONG[step].items():
        summary.get_by_role("link", name=words, exact=True).click()
        field = staff.get_by_label(label, exact=True)
        expect(field).to_be_focused()
        expect(field).to_have_attribute("aria-invalid", "true")
        assert f"Error: {words}" in " ".join(field.evaluate(DESCRIPTION).split())
    assert problems(staff) == []


# --- U12–U14: the public key


def test_u12_u13_u14_the_key_is_copied_as_one_line_and_described(
    staff: Page, cast: Cast, tmp_path: Path
) -> None:
    desk.at_step(staff, "store", "Key", cast.staff)
    staff.get_by_label("Platform").select_option("Inventory Planner")
    box = staff.get_by_label("Public Key")
    expect(box).to_have_attribute("readonly", "")
    key = ConnectionDraft.objects.get().ssh_key
    assert key is not None
    box.click()
    assert staff.evaluate("getSelection().toString()") == key.public_key
    copied = steps.copy_public_key(staff)
    assert copied == key.public_key
    assert "\n" not in copied
    said = staff.get_by_role("status").filter(has_text="Copied")
    expect(said).to_have_count(1)
    above, below = button(staff, "Copy Public Key").bounding_box(), said.bounding_box()
    assert above is not None
    assert below is not None
    assert 0 <= below["y"] - (above["y"] + above["height"]) < 16
    expect(button(staff, "Copy Public Key")).to_have_text("Copy Public Key")
    section = staff.get_by_role("region", name="SFTP Configuration")
    what_to_do = section.get_by_role("listitem").all_inner_texts()
    firsts = [" ".join(words.split()[:3]) for words in what_to_do]
    assert firsts == ["Copy the public", "Register it in", "Inventory Planner then"]
    for words in (key.sha256, key.key_type, "Advanced CSV connection", "Made"):
        expect(section).to_contain_text(words)
    expect(section.locator("time")).to_be_visible()
    with staff.expect_download() as waiting:
        section.get_by_role("link", name="Download .pub").click()
    assert waiting.value.suggested_filename == "dropstream.pub"
    waiting.value.save_as(tmp_path / "key.pub")
    assert (tmp_path / "key.pub").read_text() == f"{key.public_key}\n"


def test_u13_without_a_clipboard_the_key_is_selected_to_copy_by_hand(
    staff: Page,
    cast: Cast,
) -> None:
    staff.add_init_script(
        "Object.defineProperty(navigator, 'clipboard', {value: undefined})"
    )
    desk.at_step(staff, "store", "Key", cast.staff)
    staff.get_by_label("Platform").select_option("Inventory Planner")
    button(staff, "Copy Public Key").click()
    expect(staff.get_by_text("Press Ctrl+C to copy")).to_be_visible()
    expect(staff.get_by_label("Public Key")).to_be_focused()
    key = ConnectionDraft.objects.get().ssh_key
    assert key is not None
    assert staff.evaluate("getSelection().toString()") == key.public_key


def test_the_key_stays_the_same_after_errors_back_and_refresh(
    staff: Page, cast: Cast
) -> None:
    """dropstream.md §9, row 2: it may be registered elsewhere already."""
    desk.at_step(staff, "store", "Stable", cast.staff)
    fill_store(staff)
    key = staff.get_by_label("Public Key").input_value()
    staff.get_by_label("SFTP Endpoint").fill("10.0.0.1")
    button(staff, "Add connection").click()
    expect(staff.get_by_label("Public Key")).to_have_value(key)
    button(staff, "Back").click()
    steps.go_on(staff)
    expect(staff.get_by_label("Public Key")).to_have_value(key)
    staff.reload()
    expect(staff.get_by_label("Public Key")).to_have_value(key)
    staff.get_by_label("SFTP Endpoint").fill("")
    button(staff, "Add connection").click()
    staff.get_by_role("link", name="Shop", exact=True).click()
    expect(staff.get_by_label("Public Key")).to_have_value(key)


# --- The tests of the connection, and the keyboard


def test_row_5_an_existing_merchant_brings_its_warehouse(
    staff: Page, cast: Cast
) -> None:
    """dropstream.md §9, row 5: step 3 only confirms; several make a choice."""
    reno = factories.warehouse(cast.merchant)
    for several in (False, True):
        if several:
            factories.warehouse(cast.merchant, code="WH2")
        desk.at_step(staff, "merchant", f"Again {several}", cast.staff)
        staff.get_by_label("Use existing merchant").check()
        staff.get_by_label("Merchant", exact=True).select_option(cast.merchant.name)
        button(staff, "Continue").click()
        steps.heading(staff, "Warehouse Setup")
        expect(staff.get_by_label("SFTP connection string")).to_have_count(0)
        expect(staff.get_by_label("Warehouse", exact=True)).to_have_count(int(several))
        expect(staff.get_by_text(reno.name).first).to_be_attached()
        button(staff, "Continue").click()
        steps.heading(staff, "Store Setup")


def test_row_11_a_test_names_each_check_and_suggests_the_statuses_seen(
    staff: Page, cast: Cast, sandbox: Sandbox, settings: LazySettings
) -> None:
    """dropstream.md §9, row 11: API apart from SFTP; no endpoint is not a failure."""
    who = desk.newcomer(sandbox)
    desk.at_step(staff, "store", "Check", cast.staff)
    steps.fill_store(staff, "Check shop", who)
    box = desk.run_test(staff, "Success!")
    expect(box).to_contain_text("The filter (ORDERED) matches")
    expect(box).to_contain_text("Not configured yet")
    expect(box).to_contain_text("The SFTP endpoint is not set yet.")
    seen = staff.locator("datalist#statuses-seen option")
    assert "ORDERED" in seen.evaluate_all("all => all.map(one => one.value)")
    staff.get_by_label("API Key").fill("wrong-key-0000")
    box = desk.run_test(staff, "The test failed.")
    expect(box).to_contain_text("refused the API key")
    assert "wrong-key-0000" not in staff.content()
    settings.OUTBOUND_HOSTS += ",deaf.sandbox.example=127.0.0.1:1"
    staff.get_by_label("API Key").fill(who.api_key)
    staff.get_by_label("SFTP Endpoint").fill("deaf.sandbox.example")
    box = desk.run_test(staff, "The test failed.")
    expect(box).to_contain_text("The filter (ORDERED) matches")
    expect(box).to_contain_text("The host refused the connection.")
    assert not Store.objects.exists()


def test_a_test_can_be_cancelled_and_left(staff: Page, cast: Cast) -> None:
    """Nothing is stored; the answers stay."""
    desk.at_step(staff, "warehouse", "Cancel", cast.staff)
    steps.fill_warehouse(staff, "Hall", desk.NOBODY.connection_string)
    staff.get_by_role("button", name="Test connection").click()
    box = steps.check_box(staff)
    button(box.page, "Cancel").click()
    expect(box.get_by_role("status")).to_contain_text("Test cancelled.")
    expect(staff.get_by_label("Warehouse name")).to_have_value("Hall")
    steps.go_on(staff)
    steps.heading(staff, "Store Setup")


class Keys:
    """A person without a mouse."""

    def __init__(self, page: Page) -> None:
        self.page = page

    def reach(self, target: Locator) -> None:
        """Press Tab until the target has the focus, and see that the focus shows."""
        for _ in range(60):
            if target.count() and target.evaluate(
                "one => one.matches(':focus-visible')"
            ):
                return
            self.page.keyboard.press("Tab")
        raise AssertionError(f"Tab does not reach {target}")

    def type(self, label: str, text: str, *, exact: bool = False) -> None:
        self.reach(self.page.get_by_label(label, exact=exact))
        self.page.keyboard.press("Control+A")
        self.page.keyboard.type(text)

    def press(self, name: str, key: str = "Enter") -> None:
        self.reach(button(self.page, name))
        self.page.keyboard.press(key)


def test_the_whole_wizard_by_keyboard_alone(staff: Page, sandbox: Sandbox) -> None:
    """U21: Tab, Space, arrows and Enter; never a click, the focus always seen."""
    who, keys = desk.newcomer(sandbox), Keys(staff)
    keys.press("Add Connection")
    steps.heading(staff, "Basic Information")
    keys.type("Connection Name", "By keys")
    staff.keyboard.press("Enter")
    steps.heading(staff, "Merchant Information")
    keys.reach(staff.get_by_label("Create new merchant"))
    staff.keyboard.press("Space")
    keys.type("Company name", "Keys Ltd")
    keys.press("Continue")
    steps.heading(staff, "Warehouse Setup")
    keys.type("Warehouse name", "Keys hall")
    keys.type("SFTP connection string", who.connection_string)
    keys.press("Test connection")
    box = steps.check_box(staff)
    expect(box).to_contain_text("Testing…")
    desk.work()
    expect(box).to_contain_text(steps.UNKNOWN_KEY)
    expect(box).to_contain_text("Ask the warehouse's people for the SHA256 fingerprint")
    keys.press("Approve this key and test again", "Space")
    expect(box).to_contain_text("Testing…")
    desk.work()
    expect(box).to_contain_text("Success!")
    keys.press("Continue")
    steps.heading(staff, "Store Setup")
    keys.type("Name", "Keys shop", exact=True)
    keys.reach(staff.get_by_label("Platform"))
    staff.keyboard.press("ArrowDown")
    keys.press("Copy Public Key")
    for label, text in (
        ("API Key", who.api_key),
        ("Account ID", who.account_id),
        ("Import Status Filter", "ORDERED"),
    ):
        keys.type(label, text)
    keys.press("Add connection")
    expect(staff.get_by_text("“By keys” was added.")).to_be_visible()
    made: Any = Connection.objects.get()
    assert made.store.inventory_planner.import_status_filter == "ORDERED"
