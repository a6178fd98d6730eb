"""Uploading stock in a browser: how far it is, what would change, and the look (U21)."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, Route, expect
from pytest_django import Settings
from pytest_django.live_server_helper import LiveServer
from pytest_playwright.pytest_playwright import CreateContextCallback

from connections.models import StockLevel
from connections.warehouses.platforms import WarehousePlatform
from stores.models import Warehouse
from tests import factories
from tests.browser import steps
from tests.browser.judge import Look
from tests.factories import Cast

pytestmark = pytest.mark.django_db(transaction=True)

FIRST = b"sku,facility,available,on_hand\nA,RENO,3,4\nB,RENO,5,5\nE,RENO,9,9\n"
SECOND = FIRST.replace(b"A,RENO,3", b"A,RENO,7") + b"C,RENO,1,1\nD,RENO,x,1\n"


@pytest.fixture
def people(settings: Settings) -> Cast:
    settings.SSH_KEY_TYPE = "ed25519"
    return factories.cast()


@pytest.fixture
def by_hand(people: Cast) -> Warehouse:
    warehouse = factories.warehouse(people.merchant)
    warehouse.platform = WarehousePlatform.MANUAL
    warehouse.save()
    factories.connection(factories.store(people.merchant), warehouse)
    return warehouse


def log_in(page: Page, server: LiveServer, people: Cast, to: Warehouse) -> None:
    page.goto(f"{server.url}/people/login/?next=/warehouses/{to.public_id}/")
    page.get_by_label("Email").fill(people.staff.email)
    page.get_by_label("Password").fill(factories.PASSWORD)
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url("**/warehouses/**")


def test_u21_pages_of_an_upload(
    page: Page, live_server: LiveServer, people: Cast, by_hand: Warehouse
) -> None:
    """U21: waiting, applied, refused; the list of them. Back finds what was done."""
    look = Look(page)
    log_in(page, live_server, people, by_hand)
    steps.upload_stock(page, FIRST)
    page.get_by_role("button", name="Apply").click()
    expect(page.get_by_text("Applied.")).to_be_visible()
    look("report-applied")
    page.get_by_role("link", name="Main warehouse WH1", exact=True).click()
    steps.upload_stock(page, SECOND)
    expect(page.get_by_role("heading", name="Apply 2 changes?")).to_be_visible()
    look("report-waiting")
    page.reload()
    page.get_by_role("button", name="Apply").click()
    page.go_back()
    expect(page.get_by_text("Applied.")).to_be_visible()
    page.get_by_role("link", name="Main warehouse WH1", exact=True).click()
    look("warehouse-reports")
    steps.upload_stock(page, b"sku,available\nA,one\nB,two\n")
    expect(page.get_by_text("Refused: 2 of 2 rows cannot be read.")).to_be_visible()
    look("report-refused")
    page.get_by_role("link", name="Upload another file").click()
    look("upload")
    page.goto(f"{live_server.url}/warehouses/{by_hand.public_id}/reports/")
    look("reports")
    look.assert_fine()
    assert dict(StockLevel.objects.values_list("sku", "available"))["A"] == 7


def test_an_upload_that_breaks_off_can_be_tried_again(
    new_context: CreateContextCallback,
    live_server: LiveServer,
    people: Cast,
    by_hand: Warehouse,
) -> None:
    """What is chosen stays chosen; until the answer it says that it works on it."""
    page = new_context().new_page()  # its console tells of the lost line
    log_in(page, live_server, people, by_hand)
    page.route("**/upload/", lambda route: route.abort())
    steps.upload_stock(page, FIRST)
    expect(page.get_by_role("alert")).to_contain_text("The upload broke off.")
    expect(page.get_by_role("progressbar", name="Uploading")).to_be_hidden()
    page.unroute("**/upload/")
    waiting: list[Route] = []
    page.route("**/upload/", lambda route: waiting.append(route))
    page.get_by_role("button", name="Upload and preview").click()
    expect(page.get_by_role("progressbar", name="Uploading")).to_be_visible()
    expect(page.get_by_role("alert")).to_be_hidden()
    waiting.pop().continue_()
    expect(page.get_by_role("heading", name="Apply 3 changes?")).to_be_visible()


def test_u10_what_is_refused_at_the_form_is_said_there(
    page: Page, live_server: LiveServer, people: Cast, by_hand: Warehouse
) -> None:
    log_in(page, live_server, people, by_hand)
    steps.upload_stock(page, b"")
    summary = page.locator("[data-error-summary]")
    expect(summary).to_be_focused()
    expect(summary).to_contain_text("The file is empty.")
    steps.upload_stock(page, FIRST)
    expect(page.get_by_role("heading", name="Apply 3 changes?")).to_be_visible()


def test_u9_without_scripting_an_upload_is_a_plain_form(
    new_context: CreateContextCallback,
    live_server: LiveServer,
    people: Cast,
    by_hand: Warehouse,
) -> None:
    page = new_context(java_script_enabled=False).new_page()
    log_in(page, live_server, people, by_hand)
    steps.upload_stock(page, FIRST)
    expect(page.get_by_role("heading", name="Apply 3 changes?")).to_be_visible()
    page.get_by_role("button", name="Discard").click()
    expect(page.get_by_text("was discarded")).to_be_visible()
