"""The look in a real browser: WCAG 2.2 AA, strict CSP, both themes, small and wide."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect
from pytest_django.fixtures import Settings
from pytest_django.live_server_helper import LiveServer
from pytest_playwright.pytest_playwright import CreateContextCallback

from stores.models import User
from tests.browser import look_urls
from tests.browser.judge import Look, problems
from tests.lab.authenticator import totp_now

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.urls("tests.browser.look_urls"),
]
PASSWORD = "correct horse battery"


@pytest.fixture
def kim() -> User:
    return User.objects.create_user(
        "kim@example.com", PASSWORD, first_name="Kim", last_name="Example"
    )


def log_in(page: Page, server: LiveServer) -> None:
    page.goto(f"{server.url}/people/login/?next=/sample/")
    page.get_by_label("Email").fill("kim@example.com")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url("**/sample/")


def test_u21_axe_finds_nothing_in_any_component(
    page: Page, live_server: LiveServer, kim: User
) -> None:
    """U21: contrast, names and targets, with errors shown and the menu open."""
    look = Look(page)
    log_in(page, live_server)
    page.get_by_role("button", name="Continue").click()
    expect(page).to_have_title("Error: Styleguide · DropStream")
    page.locator("summary", has_text="Kim Example").click()
    look("components")
    look.assert_fine()


PAGES = [
    "/people/login/",
    "/people/password/reset/",
    "/people/signup/",
    "/nowhere/",
    "/old-form/",
]
OWN_PAGES = [
    "/people/2fa/totp/activate/",
    "/people/password/change/",
    "/people/logout/",
    "/people/2fa/",
]


@pytest.mark.parametrize("path", PAGES)
def test_u21_pages_around_the_log_in(
    page: Page, live_server: LiveServer, path: str
) -> None:
    look = Look(page)
    if path == "/nowhere/":
        # A 404 is an error line in the console, which the page fixture forbids.
        html = page.request.get(live_server.url + path).text()
        page.goto(live_server.url + "/people/login/")
        page.set_content(html)
    else:
        page.goto(live_server.url + path)
    assert page.locator("h1").count() == 1
    look(path.strip("/").replace("/", "-"))
    look.assert_fine()


@pytest.mark.parametrize("path", OWN_PAGES)
def test_u21_pages_of_the_person(
    page: Page, live_server: LiveServer, kim: User, path: str
) -> None:
    log_in(page, live_server)
    page.goto(live_server.url + path)
    assert page.locator("h1").count() == 1
    assert problems(page) == []


def test_u10_the_error_summary_takes_the_focus_and_links_to_fields(
    page: Page, live_server: LiveServer, kim: User
) -> None:
    """U10: summary focused, same words at the field, described and invalid."""
    log_in(page, live_server)
    page.get_by_role("button", name="Continue").click()
    summary = page.locator("[data-error-summary]")
    expect(summary).to_be_focused()
    summary.get_by_role("link", name="Enter the SFTP endpoint.").click()
    field = page.get_by_label("SFTP endpoint")
    expect(field).to_be_focused()
    expect(field).to_have_attribute("aria-invalid", "true")
    expect(field).to_have_accessible_description(
        "Where files go. Example: sftp.example.com:22 Error: Enter the SFTP endpoint."
    )
    summary.get_by_role("link", name="Choose a merchant.").click()
    expect(page.get_by_label("Existing")).to_be_focused()


def test_u12_u13_copy_gives_one_line_and_says_so(
    page: Page, live_server: LiveServer, kim: User
) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    log_in(page, live_server)
    page.get_by_role("button", name="Copy Public key").click()
    expect(page.locator("[data-copy-said]")).to_have_text("Copied")
    assert page.evaluate("navigator.clipboard.readText()") == look_urls.KEY


def test_u13_without_a_clipboard_the_text_is_selected(
    page: Page, live_server: LiveServer, kim: User
) -> None:
    page.add_init_script(
        "Object.defineProperty(navigator, 'clipboard', {value: undefined})"
    )
    log_in(page, live_server)
    page.get_by_role("button", name="Copy Public key").click()
    expect(page.locator("[data-copy-said]")).to_have_text("Press Ctrl+C to copy")
    assert page.evaluate("getSelection().toString()") == look_urls.KEY


def test_u5_a_double_click_sends_the_form_once(
    page: Page, live_server: LiveServer, kim: User
) -> None:
    """U5, the browser's half: the button's own value is still sent."""
    log_in(page, live_server)
    look_urls.posts.clear()
    page.get_by_role("button", name="Continue").dblclick()
    expect(page).to_have_title("Error: Styleguide · DropStream")
    assert [post.get("go") for post in look_urls.posts] == ["1"]


def test_u24_a_confirmation_is_a_real_dialog(
    page: Page, live_server: LiveServer, kim: User
) -> None:
    log_in(page, live_server)
    opener = page.get_by_role("button", name="Remove key")
    opener.click()
    dialog = page.get_by_role("dialog", name="Remove this key?")
    expect(dialog).to_be_visible()
    assert problems(page) == []
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(opener).to_be_focused()


def test_u1_the_current_step_is_named(
    page: Page, live_server: LiveServer, kim: User
) -> None:
    log_in(page, live_server)
    current = page.locator("[aria-current=step]")
    expect(current).to_contain_text("Merchant Information")
    expect(current).to_contain_text("Step 2 of 4")


@pytest.mark.browser_context_args(timezone_id="Europe/Berlin", locale="en-GB")
def test_u19_times_are_in_the_browsers_zone_and_named(
    page: Page, live_server: LiveServer, kim: User
) -> None:
    page.clock.set_fixed_time("2026-05-03T16:15:00Z")
    log_in(page, live_server)
    shown = page.locator("time[data-local]").first
    expect(shown).to_contain_text("2 hours ago")
    expect(shown).to_contain_text("3 May 2026, 16:15 CEST")


def test_the_menu_opens_by_keyboard_and_closes_on_escape(
    page: Page, live_server: LiveServer, kim: User
) -> None:
    log_in(page, live_server)
    menu = page.locator("details[data-menu] summary")
    menu.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Log out")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="Log out")).to_be_hidden()
    expect(menu).to_be_focused()
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Log out").click()
    expect(menu).to_have_count(0)


def test_u21_setting_up_two_factor_log_in(
    page: Page, live_server: LiveServer, kim: User, settings: Settings
) -> None:
    """The person confirms their password, then meets the QR code and the secret."""
    settings.MFA_TOTP_TOLERANCE = 1  # the half minute may end while we type
    log_in(page, live_server)
    page.goto(live_server.url + "/people/2fa/totp/activate/")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Confirm").click()
    page.wait_for_url("**/people/2fa/totp/activate/")
    secret = page.get_by_label("Authenticator secret").input_value()
    assert problems(page) == []
    page.get_by_label("Authenticator code").fill(totp_now(secret))
    page.get_by_role("button", name="Activate").click()
    page.wait_for_url("**/people/2fa/recovery-codes/**")
    assert problems(page) == []
    page.goto(live_server.url + "/people/2fa/")
    assert problems(page) == []
    page.context.clear_cookies()
    page.goto(live_server.url + "/people/login/")
    page.get_by_label("Email").fill("kim@example.com")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("heading", name="Two-factor log-in")).to_be_visible()
    assert problems(page) == []


def test_without_scripting_dialogs_open_by_link(
    new_context: CreateContextCallback, live_server: LiveServer, kim: User
) -> None:
    """U9's rule for the shell: what needs scripting hides, the rest works."""
    page = new_context(java_script_enabled=False).new_page()
    log_in(page, live_server)
    expect(page.get_by_role("button", name="Copy Public key")).to_be_hidden()
    page.get_by_role("link", name="Remove key").click()
    dialog = page.locator("dialog#remove")
    expect(dialog).to_be_visible()
    dialog.get_by_role("link", name="Cancel").click()
    expect(dialog).to_be_hidden()
