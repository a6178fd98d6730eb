"""The warehouse's page of one user: log-in, stock, orders and receipts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dropstream.sandbox.http_server import Response
from dropstream.sandbox.ip import NAMES
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
from dropstream.sandbox.seed import MERCHANTS

if TYPE_CHECKING:
    from dropstream.sandbox.server import Sandbox
    from dropstream.sandbox.warehouse import User
    from dropstream.sandbox.warehouse_orders import Order

ORDERS_SHOWN = 50
FILES_SHOWN = 15


def show(sandbox: Sandbox, user: User) -> Response:
    """Return one user's page."""
    tabs = [
        link(f"/warehouse/?user={name}", _whose(name), here=name == user.name)
        for name in sandbox.warehouse.users
    ]
    return page(
        f"Warehouse: {_whose(user.name)}",
        tag("nav", *tabs, aria_label="Users"),
        _log_in(sandbox, user),
        _stock(sandbox, user),
        _orders(user),
        _sent(user),
        path="/warehouse/",
    )


def _whose(user: str) -> str:
    """Return the name that Inventory Planner's page has for the same merchant."""
    return NAMES.get(MERCHANTS.get(user, ""), user)


def _log_in(sandbox: Sandbox, user: User) -> Html:
    return tag(
        "section",
        tag("h2", "SFTP log-in"),
        copy_field("connection_string", "Connection string", user.connection_string()),
        tag("p", "Orders go into /in, stock and receipts are read from /out."),
        host_key(sandbox.warehouse.ssh),
    )


def _stock(sandbox: Sandbox, user: User) -> Html:
    pace = sandbox.warehouse.stock_interval_s
    said = f" Every {pace:g} s some change by themselves." if pace else ""
    return tag(
        "section",
        tag("h2", "Stock"),
        tag(
            "p",
            tag("strong", f"{len(user.stock):,} SKUs"),
            f" in two facilities.{said}",
        ),
        button("/warehouse/stock", "Change 20 SKUs now", user=user.name),
        button("/warehouse/full", "Send a full report", user=user.name),
    )


def _orders(user: User) -> Html:
    rows = [_order_row(user, o) for o in user.orders[: -ORDERS_SHOWN - 1 : -1]]
    way = "in two parts" if user.in_parts else "in full"
    other = "Receive new orders in full" if user.in_parts else "Receive in two parts"
    rejected = [list(row) for row in user.rejected[: -FILES_SHOWN - 1 : -1]]
    parts: list[Content] = [
        tag("h2", "Orders"),
        tag("p", f"New orders are received {way}, a few seconds after they came."),
        button(
            "/warehouse/parts", other, user=user.name, on="" if user.in_parts else "yes"
        ),
        table(
            ["Taken at", "Order", "Vendor", "#Expected", "#Received", "Do"],
            rows,
            "No order came yet.",
        ),
    ]
    if rejected:
        parts += [tag("h3", "Not orders"), table(["File", "Why"], rejected, "")]
    return tag("section", *parts)


def _order_row(user: User, order: Order) -> list[Content]:
    notes: list[Content] = [order.po_number]
    if order.copies > 1:
        notes.append(tag("strong", f" came {order.copies} times!", class_="bad"))
    todo: list[Content] = []
    if not order.receipts:
        todo.append(_receive(user, order, "Receive part now", part="yes"))
    if not order.is_received():
        label = "Receive the rest" if order.receipts else "Receive all now"
        todo.append(_receive(user, order, label, part=""))
    return [
        moment(order.taken_at),
        join(notes),
        order.vendor,
        f"{order.expected():f}",
        f"{order.received():f}",
        join(todo),
    ]


def _receive(user: User, order: Order, label: str, part: str) -> Html:
    return button(
        "/warehouse/receive", label, user=user.name, po_id=order.po_id, part=part
    )


def _sent(user: User) -> Html:
    receipts = [name for order in user.orders for name in order.receipts]
    files = sorted(path.name for path in user.outgoing.glob("inv_*.csv"))
    return tag(
        "section",
        tag("h2", "Sent"),
        table(
            ["Receipts, newest first"],
            [[name] for name in receipts[: -FILES_SHOWN - 1 : -1]],
            "No receipt yet.",
        ),
        table(
            ["Stock files, newest first"],
            [[name] for name in files[: -FILES_SHOWN - 1 : -1]],
            "No stock file yet.",
        ),
    )
