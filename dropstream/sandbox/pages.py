"""The sandbox's own pages and documents: what the far sides know, shown and changed."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from dropstream.sandbox import documents, ip_page, warehouse_page
from dropstream.sandbox.http_server import Request, Response, json_response, redirect
from dropstream.sandbox.ip import TRY, Account, KeyRefused
from dropstream.sandbox.markup import Html, link, page, tag
from dropstream.sandbox.state import Doc

if TYPE_CHECKING:
    from dropstream.sandbox.server import Sandbox
    from dropstream.sandbox.warehouse import User


def answer(sandbox: Sandbox, request: Request) -> Response:
    """Answer a page, a form or a document."""
    routes = READS if request.method in {"GET", "HEAD"} else {}
    if request.method == "POST":
        routes = FORMS
    view = routes.get(request.path)
    if view is None or (request.path.startswith("/ip/") and not sandbox.has_ip):
        return page("No such page", tag("p", link("/", "Overview")), status=404)
    return view(sandbox, request)


def healthz(sandbox: Sandbox, request: Request) -> Response:
    """Say that we serve."""
    return Response(200, b"ok\n", "text/plain")


def report(sandbox: Sandbox, request: Request) -> Response:
    """Return how far the main job is."""
    return json_response(documents.report(sandbox))


def state(sandbox: Sandbox, request: Request) -> Response:
    """Return the whole state."""
    return json_response(documents.state(sandbox))


def overview(sandbox: Sandbox, request: Request) -> Response:
    """Show what is here and how far the main job is."""
    job = documents.main_job(sandbox)
    planner = tag(
        "li",
        link("/ip/", "Inventory Planner"),
        ": connections, stock, purchase orders, what became of each file",
    )
    return page(
        "The far sides",
        tag("p", "Stand-ins for the two systems that DropStream connects."),
        _start(sandbox),
        tag("h2", "All that is here"),
        tag(
            "ul",
            tag("li", link("/warehouse/", "Warehouse"), ": stock, orders and receipts"),
            planner if sandbox.has_ip else "",
            tag("li", link("/report.json", "report.json"), ": the main job's progress"),
            tag("li", link("/state.json", "state.json"), ": everything, for machines"),
        ),
        _main_job(job) if sandbox.has_ip else "",
        path="/",
    )


def _start(sandbox: Sandbox) -> Html:
    """Lead a newcomer to the merchant that nobody has connected yet."""
    warehouse = link("/warehouse/?user=try", "Your merchant's warehouse")
    account = link(f"/ip/?account={TRY}", "Your merchant in Inventory Planner")
    at_ip = tag(
        "li",
        account,
        ": for step 4, its account id and API key. It takes the public key that step 4"
        " shows, and gives the SFTP endpoint for it",
    )
    return tag(
        "section",
        tag("h2", "Connect your merchant"),
        tag(
            "p",
            "One of the merchants here is yours to connect: choose Add Connection in"
            " DropStream and keep these two pages open beside it.",
        ),
        tag(
            "ol",
            tag("li", warehouse, ": for step 3, the connection string of its log-in"),
            at_ip if sandbox.has_ip else "",
        ),
        class_="box",
    )


def _main_job(job: Doc) -> Html:
    words = "done" if job["done"] else "not done yet"
    return tag(
        "section",
        tag("h2", "The demo merchant, which works already"),
        tag(
            "p",
            f"{job['rows']:,} stock rows known to Inventory Planner, order"
            f" {job['order']} is {job['order_status']}: ",
            tag("strong", words, class_="good" if job["done"] else "dim"),
        ),
        class_="box",
    )


def show_account(sandbox: Sandbox, request: Request) -> Response:
    """Show one account of Inventory Planner."""
    query = dict(request.query)
    account = _account(sandbox, query)
    with sandbox.ip.lock:
        return ip_page.show(sandbox, account, query.get("q", ""))


def show_user(sandbox: Sandbox, request: Request) -> Response:
    """Show one user of the warehouse."""
    with sandbox.warehouse.lock:
        return warehouse_page.show(sandbox, _user(sandbox, dict(request.query)))


def connect(sandbox: Sandbox, request: Request) -> Response:
    """Make an Advanced CSV connection; answers JSON to those who ask for it."""
    form = request.form()
    account = _account(sandbox, form)
    key = form.get("public_key", "")
    wants_json = "application/json" in request.headers.get("accept", "")
    try:
        if form.get("account") not in sandbox.ip.accounts:
            raise KeyRefused("Unknown account.")
        drop = sandbox.ip.connect(account.account_id, key)
    except KeyRefused as error:
        if wants_json:
            return json_response({"error": str(error)}, 400)
        with sandbox.ip.lock:
            return ip_page.show(sandbox, account, wrong=str(error), key=key)
    if wants_json:
        return json_response({"endpoint": drop.endpoint})
    return ip_page.connected(account, drop)


def sync(sandbox: Sandbox, request: Request) -> Response:
    """Run the nightly sync of one account."""
    account = _account(sandbox, request.form())
    sandbox.ip.sync_now(account.account_id)
    return redirect(f"/ip/?account={account.account_id}")


def order(sandbox: Sandbox, request: Request) -> Response:
    """Let the merchant make a purchase order."""
    account = _account(sandbox, request.form())
    sandbox.ip.make_order(account.account_id)
    return redirect(f"/ip/?account={account.account_id}")


def change_host_key(sandbox: Sandbox, request: Request) -> Response:
    """Show another host key from now on, as a renewed or a false server would."""
    side = request.form().get("side", "")
    if side == "ip" and sandbox.has_ip:
        sandbox.rotate_host_key("ip")
        return redirect("/ip/")
    sandbox.rotate_host_key("warehouse")
    return redirect("/warehouse/")


def change_stock(sandbox: Sandbox, request: Request) -> Response:
    """Change the stock of some SKUs."""
    user = _user(sandbox, request.form())
    sandbox.warehouse.change_stock(user)
    return _back(user)


def report_full(sandbox: Sandbox, request: Request) -> Response:
    """Send a full stock report."""
    user = _user(sandbox, request.form())
    sandbox.warehouse.report_full_stock(user)
    return _back(user)


def choose_parts(sandbox: Sandbox, request: Request) -> Response:
    """Choose how new orders are received."""
    form = request.form()
    user = _user(sandbox, form)
    sandbox.warehouse.set_in_parts(user, bool(form.get("on")))
    return _back(user)


def receive(sandbox: Sandbox, request: Request) -> Response:
    """Receive an order, or a part of it."""
    form = request.form()
    user = _user(sandbox, form)
    try:
        sandbox.warehouse.receive(
            user, form.get("po_id", ""), in_parts=bool(form.get("part"))
        )
    except (KeyError, ValueError):
        return _back(user)  # somebody was faster; the page shows how it is now
    return _back(user)


def _account(sandbox: Sandbox, fields: dict[str, str]) -> Account:
    accounts = sandbox.ip.accounts
    return accounts.get(fields.get("account", TRY), accounts[TRY])


def _user(sandbox: Sandbox, fields: dict[str, str]) -> User:
    users = sandbox.warehouse.users
    return users.get(fields.get("user", "try"), users["try"])


def _back(user: User) -> Response:
    return redirect(f"/warehouse/?user={user.name}")


View = Callable[["Sandbox", Request], Response]

READS: dict[str, View] = {
    "/": overview,
    "/healthz": healthz,
    "/report.json": report,
    "/state.json": state,
    "/ip/": show_account,
    "/warehouse/": show_user,
}
FORMS: dict[str, View] = {
    "/ip/connections": connect,
    "/ip/sync": sync,
    "/ip/order": order,
    "/host-key": change_host_key,
    "/warehouse/stock": change_stock,
    "/warehouse/full": report_full,
    "/warehouse/parts": choose_parts,
    "/warehouse/receive": receive,
}
