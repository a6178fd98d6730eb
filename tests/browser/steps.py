"""What a person does on the pages, found by labels and roles."""

from __future__ import annotations

from dataclasses import dataclass

from playwright.sync_api import Locator, Page, expect

from tests.browser.product import Product

# Ten tests a minute are allowed to each person: the walks are shared out.
STAFF, ADMINISTRATOR = "3PL staff", "3PL administrator"
UNKNOWN_KEY = "Approve the server's key to go on."
CHECKED_MS = 30_000


@dataclass(frozen=True)
class Newcomer:
    """What the two far sides give to whoever tries one of the sandbox's merchants."""

    user: str
    account_id: str
    api_key: str
    connection_string: str
    warehouse_key: str
    """The fingerprint of the warehouse's server, as its people tell it."""
    ip_key: str

    @property
    def name(self) -> str:
        """Return the name of the connection that this newcomer makes."""
        return f"Walk {self.user}"


ACCOUNTS = {
    "try": "654321",
    "try2": "654322",
    "try3": "654323",
    "try4": "654324",
}


def log_in(page: Page, product: Product, who: str = STAFF) -> None:
    email, password = product.log_ins[who]
    page.goto(product.address)
    page.get_by_label("Email").fill(email)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("heading", name="Connections", level=1)).to_be_visible()


def meet(page: Page, product: Product, user: str) -> Newcomer:
    """Read a merchant's papers from the sandbox's two pages, in a tab of its own."""
    tab = page.context.new_page()
    tab.goto(f"{product.sandbox}/warehouse/?user={user}")
    string = tab.get_by_label("Connection string").input_value()
    warehouse_key = tab.get_by_text("host key:").locator("code").inner_text()
    tab.goto(f"{product.sandbox}/ip/?account={ACCOUNTS[user]}")
    newcomer = Newcomer(
        user=user,
        account_id=tab.get_by_label("Account ID").input_value(),
        api_key=tab.get_by_label("API key").input_value(),
        connection_string=string,
        warehouse_key=warehouse_key,
        ip_key=tab.get_by_text("host key:").locator("code").inner_text(),
    )
    tab.close()
    return newcomer


def change_stock(page: Page, product: Product, user: str) -> None:
    """Have the warehouse count 20 SKUs anew, on the sandbox's page."""
    tab = page.context.new_page()
    tab.goto(f"{product.sandbox}/warehouse/?user={user}")
    # Chromium drops a close that meets the arrival of a page, and Playwright then
    # waits for good: https://github.com/microsoft/playwright/issues/41900.
    with tab.expect_navigation():
        tab.get_by_role("button", name="Change 20 SKUs now").click()
    tab.close()


def heading(page: Page, text: str) -> None:
    expect(page.get_by_role("heading", name=text, exact=True)).to_be_visible()


def go_to(page: Page, place: str) -> None:
    """Use the main menu."""
    menu = page.get_by_role("navigation", name="Main")
    menu.get_by_role("link", name=place, exact=True).click()
    heading(page, place)


def go_on(page: Page) -> None:
    page.get_by_role("button", name="Continue").click()


# --- The four steps


def begin(page: Page, name: str) -> None:
    """Open the wizard from the list and answer its first step."""
    go_to(page, "Connections")
    page.get_by_role("button", name="Add Connection").click()
    heading(page, "Basic Information")
    page.get_by_label("Connection Name").fill(name)
    go_on(page)


def new_merchant(page: Page, name: str) -> None:
    heading(page, "Merchant Information")
    page.get_by_label("Create new merchant").check()
    page.get_by_label("Company name").fill(name)
    go_on(page)


def fill_warehouse(page: Page, name: str, connection_string: str) -> None:
    heading(page, "Warehouse Setup")
    page.get_by_label("Warehouse name").fill(name)
    page.get_by_label("SFTP connection string").fill(connection_string)
    page.get_by_label("Warehouse code").fill("WH1")


def manual_warehouse(page: Page, name: str) -> None:
    heading(page, "Warehouse Setup")
    page.get_by_label("Warehouse name").fill(name)
    page.get_by_label("Manual: upload stock, download orders").check()
    page.get_by_label("Warehouse code").fill("WH1")


def upload_stock(page: Page, content: bytes, *, name: str = "stock.csv") -> None:
    """Choose a file where one is asked for, and look at what it would change."""
    page.get_by_label("Stock file").set_input_files(
        {"name": name, "mimeType": "text/csv", "buffer": content}
    )
    page.get_by_role("button", name="Upload and preview").click()


def fill_store(page: Page, name: str, newcomer: Newcomer) -> None:
    """Answer the last step, but for the endpoint."""
    heading(page, "Store Setup")
    page.get_by_label("Name", exact=True).fill(name)
    page.get_by_label("Platform").select_option("Inventory Planner")
    page.get_by_label("API Key").fill(newcomer.api_key)
    page.get_by_label("Account ID").fill(newcomer.account_id)
    page.get_by_label("Import Status Filter").fill("ORDERED")
    page.get_by_label("Acknowledgement Status").fill("CLOSED")


def to_store_step(page: Page, newcomer: Newcomer, name: str) -> None:
    """Answer the first three steps without a test."""
    begin(page, name)
    new_merchant(page, f"{name} Ltd")
    fill_warehouse(page, f"{name} warehouse", newcomer.connection_string)
    go_on(page)


def add(page: Page, name: str) -> None:
    page.get_by_role("button", name="Add connection").click()
    expect(page.get_by_text(f"“{name}” was added.")).to_be_visible()
    heading(page, "Connections")
    expect(page.get_by_role("link", name=name, exact=True)).to_be_visible()


# --- Keys and tests


def copy_public_key(page: Page) -> str:
    """Press Copy and return what is in the clipboard."""
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Copy Public Key").click()
    expect(page.get_by_text("Copied", exact=True)).to_be_visible()
    return str(page.evaluate("navigator.clipboard.readText()"))


def register(page: Page, product: Product, newcomer: Newcomer, key: str) -> str:
    """Make the Advanced CSV connection on the sandbox's page; return its endpoint."""
    tab = page.context.new_page()
    tab.goto(f"{product.sandbox}/ip/?account={newcomer.account_id}")
    tab.get_by_label("Public key").fill(key)
    tab.get_by_role("button", name="Create connection").click()
    endpoint = tab.get_by_label("SFTP endpoint").input_value()
    tab.close()
    return endpoint


def check_box(page: Page) -> Locator:
    """The result of the newest test on the page."""
    return page.locator("#check")


def run_test(page: Page, outcome: str) -> Locator:
    """Press Test connection and wait for the outcome's sentence."""
    page.get_by_role("button", name="Test connection").click()
    box = check_box(page)
    expect(box.get_by_role("status")).to_contain_text(outcome, timeout=CHECKED_MS)
    return box


def approve(page: Page, fingerprint: str) -> None:
    """Compare the key shown with the far side's own words, and approve it."""
    box = check_box(page)
    expect(box.get_by_text(fingerprint)).to_be_visible()
    expect(box).to_contain_text("for the SHA256 fingerprint of")
    expect(box.get_by_role("link", name="Sandbox: ")).to_be_visible()
    box.get_by_role("button", name="Approve this key and test again").click()
    expect(box.get_by_role("status")).to_contain_text("Success!", timeout=CHECKED_MS)


# --- The list and the pages behind it


def switch_on(page: Page, name: str) -> None:
    """Enable a connection in the list."""
    switch = page.get_by_role("switch", name=f"Enable {name}", exact=True)
    expect(switch).to_have_attribute("aria-checked", "false")
    switch.click()
    expect(switch).to_have_attribute("aria-checked", "true")


def row_of(page: Page, name: str) -> Locator:
    """A connection's row in the list."""
    link = page.get_by_role("link", name=name, exact=True)
    return page.get_by_role("row").filter(has=link)


def order_row(page: Page, number: str) -> Locator:
    """An order's row on its connection's page."""
    link = page.get_by_role("link", name=number, exact=True)
    return page.get_by_role("row").filter(has=link)
