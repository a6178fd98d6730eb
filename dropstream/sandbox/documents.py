"""What machines read of the sandbox: the main job's report and the whole state."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from dropstream.sandbox.ip import DEMO, Account
from dropstream.sandbox.ip_api import is_received
from dropstream.sandbox.state import Doc
from dropstream.sandbox.warehouse import User

if TYPE_CHECKING:
    from dropstream.sandbox.server import Sandbox

MAIN_ORDER = "1042"
MAIN_ROWS = 5_000


def report(sandbox: Sandbox) -> Doc:
    """Return how far the main job is, and what went wrong on the far sides."""
    doc: Doc = {"main_job": main_job(sandbox)}
    with sandbox.warehouse.lock:
        doc["doubled_orders"] = {
            user.name: [order.po_number for order in user.doubled()]
            for user in sandbox.warehouse.users.values()
        }
    if sandbox.has_ip:
        with sandbox.ip.lock:
            doc["files"] = {a.account_id: counts(a) for a in accounts(sandbox)}
    return doc


def main_job(sandbox: Sandbox) -> Doc:
    """Return whether the demo's stock is known to IP and its order is closed."""
    if not sandbox.has_ip:
        return {"rows": 0, "order": MAIN_ORDER, "order_status": "", "done": False}
    with sandbox.ip.lock:
        account = sandbox.ip.accounts[DEMO]
        order = account.order(MAIN_ORDER)
        rows = account.stock_rows()
        closed = order["status"] == "CLOSED" and is_received(order)
        return {
            "rows": rows,
            "order": MAIN_ORDER,
            "order_status": order["status"],
            "received": order["total_received"],
            "done": rows >= MAIN_ROWS and closed,
        }


def counts(account: Account) -> Doc:
    """Return how many files were read and skipped, and how many rows dropped."""
    skipped = sum(1 for r in account.reports if r.outcome == "skipped")
    return {
        "read": len(account.reports) - skipped,
        "skipped": skipped,
        "rows_dropped": sum(r.dropped for r in account.reports),
    }


def accounts(sandbox: Sandbox) -> list[Account]:
    """Return IP's accounts, demo first."""
    return list(sandbox.ip.accounts.values())


def state(sandbox: Sandbox) -> Doc:
    """Return everything that a test may ask, without a secret."""
    doc: Doc = {"warehouse": {}, "ip": {}}
    with sandbox.warehouse.lock:
        for user in sandbox.warehouse.users.values():
            doc["warehouse"][user.name] = user_state(sandbox, user)
    if sandbox.has_ip:
        with sandbox.ip.lock:
            for account in accounts(sandbox):
                doc["ip"][account.account_id] = account_state(sandbox, account)
    return doc


def account_state(sandbox: Sandbox, account: Account) -> Doc:
    """Return one account: its drops, files, stock sizes and orders."""
    return {
        "name": account.name,
        "drops": [
            {
                "endpoint": drop.endpoint,
                "public_key": drop.public_key,
                "waiting": drop.files(),
                "log_ins": sandbox.journal.log_ins("ip", drop.endpoint),
            }
            for drop in account.drops
        ],
        "stock": {w: account.stock_rows(w) for w in sorted(account.warehouses)},
        "variants": len(account.variants),
        "syncs": account.syncs,
        "files": [
            {k: v for k, v in asdict(r).items() if k != "path"} for r in account.reports
        ],
        "orders": account.orders,
    }


def user_state(sandbox: Sandbox, user: User) -> Doc:
    """Return one warehouse user: folders, stock sizes, orders and log-ins."""
    return {
        "in": sorted(p.name for p in user.incoming.iterdir()),
        "out": sorted(p.name for p in user.outgoing.iterdir()),
        "skus": len(user.stock),
        "orders": [asdict(order) for order in user.orders],
        "doubled": [order.po_id for order in user.doubled()],
        "rejected": user.rejected,
        "log_ins": sandbox.journal.log_ins("warehouse", user.name),
    }
