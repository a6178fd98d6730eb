"""An order's status in words: what it is, what follows, and who acts."""

from __future__ import annotations

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from connections import platforms
from connections.messages import (
    HOLDS,
    NOBODY,
    STAFF,
    WAREHOUSE,
    Message,
    Text,
    explain,
)
from connections.models import PurchaseOrder
from connections.orders.actions import has_no_route
from connections.views.status import Status as Line
from connections.warehouses.platforms import exchanges_files

Status = PurchaseOrder.Status
TONES = {
    Status.NEW: "info",
    Status.OPEN: "info",
    Status.PARTIALLY_RECEIVED: "info",
    Status.RECEIVED: "ok",
    Status.DELAYED: "warn",
    Status.ERROR: "bad",
}
_WAITS = gettext_lazy("It waits for the warehouse's receipts.")
_BY_HAND = gettext_lazy("What has arrived is entered here by hand.")
# What a status means and what follows; New, Received and Error say more.
MEANS: dict[Status, tuple[Text, Text, Text]] = {
    Status.OPEN: (gettext_lazy("At the warehouse."), _WAITS, WAREHOUSE),
    Status.PARTIALLY_RECEIVED: (
        gettext_lazy("Received in part."),
        gettext_lazy("It waits for the rest."),
        WAREHOUSE,
    ),
    Status.DELAYED: (
        gettext_lazy("Past its due date, and not fully received."),
        gettext_lazy("Ask the vendor or the warehouse where it is."),
        STAFF,
    ),
    Status.CANCELED: (
        gettext_lazy("Cancelled in Inventory Planner."),
        gettext_lazy("Nothing more is done with it. Reprocess revives it."),
        "",
    ),
    Status.CLOSED: (
        gettext_lazy("Ended without being fully received."),
        gettext_lazy("Nothing more is done with it. Reprocess revives it."),
        "",
    ),
    Status.ARCHIVED: (
        gettext_lazy("Archived: neither sent nor imported again."),
        gettext_lazy("Reprocess revives it."),
        "",
    ),
}


def tone_of(order: PurchaseOrder) -> str:
    """The tone of its badge."""
    return "wait" if order.is_held else TONES.get(Status(order.status), "off")


def order_status(order: PurchaseOrder) -> Line:
    """The line at the top of its page."""
    tone, status = tone_of(order), Status(order.status)
    if order.write_refused:
        return _explained("bad", explain(order.write_refused), order.error)
    if has_no_route(order):
        return _explained("wait", HOLDS[PurchaseOrder.Held.NO_ROUTE])
    if order.is_held:
        return _explained("wait", HOLDS[order.held])
    if status == Status.ERROR:
        what = order.error or _("Something went wrong.")
        return Line(tone, what, _("Mend its cause, then Reprocess."), str(STAFF))
    if status == Status.NEW:
        return _new(order)
    if status == Status.RECEIVED:
        return _received(order)
    title, follows, owner = map(str, MEANS[status])
    if order.difference:
        return _differs(order, title)
    if owner == str(WAREHOUSE) and _is_served_by_hand(order):
        return Line(tone, title, str(_BY_HAND), str(STAFF))
    return Line(tone, title, follows, owner)


def _explained(tone: str, message: Message, detail: str = "") -> Line:
    title = f"{message.happened} {message.means}"
    if detail:
        title = f"{title} ({detail})"
    return Line(tone, title, str(message.do), str(message.owner))


def _differs(order: PurchaseOrder, title: str) -> Line:
    """What the warehouse was told is not what Inventory Planner says by now."""
    differs = _("It was changed in Inventory Planner after it was sent: %(what)s.")
    title = f"{title} {differs % {'what': '; '.join(order.difference)}}"
    return Line("warn", title, _("Tell the warehouse."), str(STAFF))


def _new(order: PurchaseOrder) -> Line:
    if _is_served_by_hand(order):
        title = _("Ready for the warehouse, which works without file exchange.")
        return Line("wait", title, _("Hand it over: download its file."), str(STAFF))
    title = _("Imported. It goes to the warehouse with the next import.")
    return Line("info", title, "", str(NOBODY))


def _is_served_by_hand(order: PurchaseOrder) -> bool:
    connection = order.connection
    return connection is not None and not exchanges_files(connection.warehouse)


def _received(order: PurchaseOrder) -> Line:
    if order.acknowledged_at is not None:
        title = _("Received in full, and %(status)s in Inventory Planner.")
        return Line("ok", title % {"status": order.acknowledgement})
    wanted = platforms.order_source(order.store).acknowledgement(order.store)
    if wanted.status:
        follows = _(
            "The next status update sets it to %(status)s in Inventory Planner."
        )
        return Line("ok", _("Received in full."), follows % {"status": wanted.status})
    follows = _(
        "No status is set in Inventory Planner: the store has no Acknowledgement Status."
    )
    return Line("ok", _("Received in full."), follows)
