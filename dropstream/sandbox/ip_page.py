"""What Inventory Planner would show: connections, stock, orders, files read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dropstream.sandbox.http_server import Response
from dropstream.sandbox.ip_sync import FileReport
from dropstream.sandbox.markup import (
    Content,
    Html,
    button,
    copy_field,
    host_key,
    join,
    link,
    moment,
    page,
    table,
    tag,
)

if TYPE_CHECKING:
    from dropstream.sandbox.ip import Account, Drop
    from dropstream.sandbox.server import Sandbox

STOCK_SHOWN = 25
FILES_SHOWN = 25


def show(
    sandbox: Sandbox, account: Account, search: str = "", wrong: str = "", key: str = ""
) -> Response:
    """Return an account's page; with ``wrong`` the form that was refused."""
    tabs = [
        link(f"/ip/?account={a.account_id}", a.name, here=a is account)
        for a in sandbox.ip.accounts.values()
    ]
    return page(
        f"Inventory Planner: {account.name}",
        tag("nav", *tabs, aria_label="Accounts"),
        _api(account),
        _connections(sandbox, account, wrong, key),
        _stock(account, search),
        _orders(account),
        _files(sandbox, account),
        path="/ip/",
    )


def connected(account: Account, drop: Drop) -> Response:
    """Return the page that hands out an endpoint."""
    return page(
        "Advanced CSV connection made",
        tag("p", "Copy the endpoint into the form that asked for it."),
        copy_field("endpoint", "SFTP endpoint", drop.endpoint),
        tag("p", f"Account: {account.name}. The pasted key opens this drop only."),
        tag("p", link(f"/ip/?account={account.account_id}", "Back to the account")),
        path="/ip/",
    )


def _api(account: Account) -> Html:
    return tag(
        "section",
        tag("h2", "API access"),
        copy_field("account_id", "Account ID", account.account_id),
        copy_field("api_key", "API key", account.key),
    )


def _connections(sandbox: Sandbox, account: Account, wrong: str, key: str) -> Html:
    wrong_line = tag("p", wrong, class_="bad", id="wrong", role="alert")
    form = tag(
        "form",
        tag("input", type="hidden", name="account", value=account.account_id),
        tag("label", "Public key (one line, ssh-rsa …)", for_="public_key"),
        tag("textarea", key, id="public_key", name="public_key", rows=4),
        wrong_line if wrong else "",
        tag("p", tag("button", "Create connection", type="submit")),
        method="post",
        action="/ip/connections",
        class_="box",
    )
    rows: list[list[Content]] = [
        [d.endpoint, d.public_key.split()[0], len(d.files())] for d in account.drops
    ]
    return tag(
        "section",
        tag("h2", "Advanced CSV connections"),
        table(["Endpoint", "Key", "#Files waiting"], rows, "No connection yet."),
        host_key(sandbox.ip.ssh),
        tag("h3", "New Advanced CSV connection"),
        form,
    )


def _stock(account: Account, search: str) -> Html:
    wanted = search.strip().lower()
    known = [
        [sku, warehouse, f"{row.in_stock:g}", row.updated_at]
        for (sku, warehouse), row in sorted(account.stock.items())
        if not row.removed and wanted in sku.lower()
    ]
    found = f"{len(known):,} found." if wanted else ""
    form = tag(
        "form",
        tag("input", type="hidden", name="account", value=account.account_id),
        tag("label", "Search by SKU", for_="q"),
        tag("input", type="search", id="q", name="q", value=search),
        tag("p", tag("button", "Search", type="submit")),
        method="get",
        action="/ip/",
    )
    counts = [f"{account.stock_rows(w):,} in {w}" for w in sorted(account.warehouses)]
    return tag(
        "section",
        tag("h2", "Stock that Inventory Planner knows"),
        tag("p", "Stock rows: ", tag("strong", ", ".join(counts)), f". {found}"),
        form,
        table(
            ["Variant", "Warehouse", "#In stock", "Updated at"],
            known[:STOCK_SHOWN],
            "Nothing here yet.",
        ),
        tag("p", f"The first {STOCK_SHOWN} are shown.", class_="dim")
        if len(known) > STOCK_SHOWN
        else "",
    )


def _orders(account: Account) -> Html:
    rows: list[list[Content]] = [
        [
            doc["reference"],
            doc["status"],
            doc["type"] or "(empty)",
            doc["vendor_display_name"],
            doc["warehouse_display_name"],
            f"{doc['total_ordered']:g}",
            f"{doc['total_received']:g}",
        ]
        for doc in account.orders
    ]
    head = ["Number", "Status", "Type", "Vendor", "Warehouse", "#Ordered", "#Received"]
    return tag(
        "section",
        tag("h2", "Purchase orders"),
        button("/ip/order", "Make an order", account=account.account_id),
        table(head, rows, "No orders."),
    )


def _files(sandbox: Sandbox, account: Account) -> Html:
    pace = f"every {sandbox.sync_s:g} s" if sandbox.sync_s else "when told to"
    reports = [_report_row(r) for r in list(account.reports)[: -FILES_SHOWN - 1 : -1]]
    return tag(
        "section",
        tag("h2", "Files"),
        tag(
            "p",
            "The real nightly sync runs once a day at 02:00 and tells its client"
            f" nothing. Here it runs {pace}, and this list is for you only.",
        ),
        button("/ip/sync", "Run nightly sync now", account=account.account_id),
        table(
            ["Read at", "Folder", "File", "Result", "#Rows", "#Dropped"],
            reports,
            "No file was read yet.",
        ),
    )


def _report_row(report: FileReport) -> list[Content]:
    good = report.outcome == "read"
    result: list[Content] = [
        tag("span", report.outcome, class_="good" if good else "bad")
    ]
    if report.reason:
        result.append(f": {report.reason}")
    result += [tag("div", why, class_="dim") for why in report.examples[:3]]
    return [
        moment(report.read_at),
        report.folder,
        report.name,
        join(result),
        f"{report.rows:,}",
        f"{report.dropped:,}",
    ]
