"""One status line for a connection and for a channel: words, next action, owner."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime

from django.db.models import Count, QuerySet
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from connections import platforms
from connections.messages import (
    BREAKER_OPEN,
    LAST_TRY,
    NEXT_LOOK,
    NEXT_TRY,
    REPLAY,
    RUN_NOW,
    STAFF,
    Text,
    explain,
)
from connections.models import (
    Alert,
    Channel,
    Connection,
    PurchaseOrder,
    StockReport,
    SyncRun,
)
from connections.runs.jobs import JOBS
from connections.warehouses.platforms import WarehousePlatform, exchanges_files
from stores.models import Warehouse

State = SyncRun.State


@dataclass
class Status:
    """What components/status.html shows."""

    tone: str
    title: str
    next: str = ""
    owner: str = ""
    href: str = ""
    link: str = ""


@dataclass
class ChannelLine:
    """A channel, its status, and the newest run of each of its jobs."""

    channel: Channel
    status: Status
    runs: dict[str, SyncRun]


@dataclass
class Recent:
    """What statuses are made of, for a page of connections: a query each."""

    # The newest run of each channel and job that has something to tell.
    runs: dict[int, dict[str, SyncRun]] = field(default_factory=dict)
    may_manage: bool = True  # the person who looks
    busy: set[int] = field(default_factory=set)  # channels
    # What is wrong with a warehouse's newest report, a code of messages.py.
    report_troubles: dict[int, str] = field(default_factory=dict)
    refused_orders: Counter[int] = field(default_factory=Counter)  # by connection
    to_hand_out: Counter[int] = field(default_factory=Counter)  # by connection
    undecided: Counter[int] = field(default_factory=Counter)  # by connection
    # By store, of stores with orders that no connection takes.
    unrouted: Counter[int] = field(default_factory=Counter)
    alerts: Counter[int] = field(default_factory=Counter)  # open ones, by connection

    @classmethod
    def of(cls, connections: list[Connection], *, may_manage: bool = True) -> Recent:
        """Read the newest runs and reports, and count orders that need a person."""
        recent = cls(may_manage=may_manage)
        runs = SyncRun.objects.filter(connection__in=connections)
        # One that waits or runs for the first time does not hide why the last stopped.
        told = runs.exclude(state__in=SyncRun.UNFINISHED, error_code="")
        newest = told.order_by("channel_id", "job", "-pk").distinct("channel_id", "job")
        for run in newest:
            recent.runs.setdefault(run.channel_id, {})[run.job] = run
        recent.busy = set(runs.unfinished().values_list("channel_id", flat=True))
        newest_reports = (
            StockReport.objects.filter(
                warehouse__in={connection.warehouse_id for connection in connections},
                # Who uploads a file is told at once.
                warehouse__platform=WarehousePlatform.FILE_EXCHANGE,
            )
            .order_by("warehouse_id", "-pk")
            .distinct("warehouse_id")
        )
        for report in newest_reports:
            if report.state == StockReport.State.REFUSED:
                recent.report_troubles[report.warehouse_id] = "report_refused"
            elif report.is_late:
                recent.report_troubles[report.warehouse_id] = "report_late"
        alerts = Alert.objects.open().filter(connection__in=connections)
        recent.alerts = _count(alerts)
        orders = PurchaseOrder.objects.filter(connection__in=connections)
        recent.refused_orders = _count(
            orders.filter(status=PurchaseOrder.Status.ERROR).exclude(write_refused="")
        )
        recent.to_hand_out = _count(
            orders.filter(
                status=PurchaseOrder.Status.NEW,
                held="",
                connection__warehouse__platform=WarehousePlatform.MANUAL,
            )
        )
        recent._count_undecided(connections)
        return recent

    def _count_undecided(self, connections: list[Connection]) -> None:
        """Count held orders that ask a person.

        Where a store has some that no connection takes, those of the store together.
        """
        orders = PurchaseOrder.objects.filter(
            store__in={connection.store_id for connection in connections},
            status=PurchaseOrder.Status.NEW,
            held__in=PurchaseOrder.UNDECIDED,
        )
        counted = orders.order_by().values_list("store", "connection")
        by_store: Counter[int] = Counter()
        unrouted: set[int] = set()
        for store, connection, count in counted.annotate(Count("pk")):
            by_store[store] += count
            if connection is None:
                unrouted.add(store)
            else:
                self.undecided[connection] = count
        self.unrouted = Counter({store: by_store[store] for store in unrouted})


def _count(rows: QuerySet[PurchaseOrder] | QuerySet[Alert]) -> Counter[int]:
    counted = rows.order_by().values_list("connection").annotate(Count("pk"))
    return Counter({pk: count for pk, count in counted if pk is not None})


def lines(connection: Connection, recent: Recent) -> list[ChannelLine]:
    """A line for each channel of the connection; channels must be prefetched."""
    found = []
    for channel in connection.channels.all():
        runs = recent.runs.get(channel.pk, {})
        status = channel_status(connection, channel, runs, recent)
        found.append(ChannelLine(channel, status, runs))
    return found


def channel_status(
    connection: Connection,
    channel: Channel,
    runs: dict[str, SyncRun],
    recent: Recent,
) -> Status:
    """What a channel does, or what it waits for; the worst comes first."""
    if not channel.is_on:
        return Status("off", _("Off"), _("Turn it on to let it run."), str(STAFF))
    stopped = _stopped(runs)
    if stopped is not None:
        return _trouble(connection, channel, stopped, recent)
    missing = platforms.of_store(connection.store).missing(
        connection.store, channel.type
    )
    if missing:
        return explained(
            connection,
            missing,
            "wait",
            SyncRun.Side.STORE,
            may_manage=recent.may_manage,
        )
    return (
        _stock_trouble(connection, recent)
        if channel.type == Channel.Type.INVENTORY
        else _order_trouble(connection, recent)
    ) or _at_work(connection, channel, runs, recent)


def connection_status(connection: Connection, channels: list[ChannelLine]) -> Status:
    """The one line of a connection: the worst of its channels."""
    if not connection.is_on:
        waits = next((c.status for c in channels if c.status.tone == "wait"), None)
        if waits is not None and waits.href:
            title = _("Off. %(waits)s") % {"waits": waits.title}
            return Status("off", title, waits.next, waits.owner, waits.href, waits.link)
        return Status(
            "off",
            _("Off: nothing runs"),
            _("Turn it on when store and warehouse are tested."),
            str(STAFF),
        )
    for tone in ("bad", "warn", "wait", "busy"):
        for line in channels:
            if line.status.tone == tone:
                return line.status
    if all(line.status.tone == "off" for line in channels):
        return Status("off", _("All channels are off"))
    return Status("ok", _("Working"))


def further(
    connection: Connection, channels: list[ChannelLine], shown: Status
) -> list[Status]:
    """What else needs somebody, where one line is all that is shown of a connection."""
    if not connection.is_on:
        return []
    found = {
        line.status.title: line.status
        for line in channels
        if line.status.tone in ("bad", "warn", "wait") and line.status.href
    }
    found.pop(shown.title, None)
    return list(found.values())


def _stopped(runs: dict[str, SyncRun]) -> SyncRun | None:
    """The run whose error stands: of a job by hand only until another one went well."""
    for run in runs.values():
        by_hand = JOBS[run.job].every_minutes is None
        healed = by_hand and any(
            other.pk > run.pk and not other.error_code for other in runs.values()
        )
        if run.error_code and not healed:
            return run
    return None


def _trouble(
    connection: Connection, channel: Channel, run: SyncRun, recent: Recent
) -> Status:
    """An error that stands, and what follows by itself or by a click."""
    tone = "warn" if run.state == State.QUEUED else "bad"
    status = explained(
        connection,
        run.error_code,
        tone,
        run.error_side,
        may_manage=recent.may_manage,
    )
    follows: list[Text] = []
    if run.state == State.QUEUED:
        if channel.gate_until is not None:
            follows.append(BREAKER_OPEN)
        follows.append(NEXT_TRY % {"when": _when(run.due_at)})
    elif run.state == State.NEEDS_PERSON and channel.gate_until is not None:
        follows.append(NEXT_LOOK % {"when": _when(channel.gate_until)})
    if follows and recent.may_manage:
        follows.append(RUN_NOW)
    if run.state == State.FAILED:
        message = explain(run.error_code)
        status.title = f"{message.happened} {LAST_TRY}"
        if message.heals:
            status.next, status.owner = "", str(STAFF)
        if recent.may_manage:
            follows.append(REPLAY)
            store = connection.store.public_id
            status.href = f"{reverse('connections:failed_work')}?store={store}"
            status.link = _("Failed work")
    status.next = " ".join(str(text) for text in (status.next, *follows) if text)
    return status


def _when(at: datetime) -> str:
    """A time of the account's clock; one that is over is about to be met."""
    if at <= timezone.now():
        return _("in a moment")
    return date_format(timezone.localtime(at), "j M H:i")


def _at_work(
    connection: Connection,
    channel: Channel,
    runs: dict[str, SyncRun],
    recent: Recent,
) -> Status:
    # A channel that works goes on saying so while it runs: on a page that refreshes
    # itself two words that take turns read like trouble.
    if runs:
        return Status("ok", _("Working"))
    if channel.pk in recent.busy:
        return Status("busy", _("Running for the first time"))
    if connection.is_on:
        return Status(
            "wait", _("Has not run yet"), _("Its first run starts by itself.")
        )
    return Status("wait", _("Has not run yet"), _("It runs once the connection is on."))


def _stock_trouble(connection: Connection, recent: Recent) -> Status | None:
    warehouse = connection.warehouse
    if not (warehouse.change_number or exchanges_files(warehouse)):
        return _nothing_uploaded(warehouse, recent)
    trouble = recent.report_troubles.get(connection.warehouse_id)
    if trouble is None:
        return None
    return explained(
        connection,
        trouble,
        "warn",
        SyncRun.Side.WAREHOUSE,
        may_manage=recent.may_manage,
    )


def _nothing_uploaded(warehouse: Warehouse, recent: Recent) -> Status:
    """A warehouse that is served by hand waits for its first file."""
    title = _("No stock has been uploaded yet.")
    status = Status("wait", title, _("Upload the first stock file."), str(STAFF))
    if recent.may_manage:
        status.href = reverse("connections:stock_upload", args=[warehouse.public_id])
        status.link = _("Upload stock")
    return status


def _order_trouble(connection: Connection, recent: Recent) -> Status | None:
    refused = recent.refused_orders[connection.pk]
    if refused:
        title = ngettext(
            "%d purchase order could not be written back.",
            "%d purchase orders could not be written back.",
            refused,
        )
        return _orders(
            connection, "warn", title % refused, _("Open it to see why."), "error"
        )
    of_store = recent.unrouted[connection.store_id]
    undecided = of_store or recent.undecided[connection.pk]
    if undecided:
        title = ngettext(
            "%d purchase order waits for a decision.",
            "%d purchase orders wait for a decision.",
            undecided,
        )
        return _orders(
            connection,
            "wait",
            title % undecided,
            _("Open each one to see what it asks."),
            "undecided",
            of_store=bool(of_store),
        )
    waiting = recent.to_hand_out[connection.pk]
    if waiting:
        title = ngettext(
            "%d purchase order to hand to the warehouse.",
            "%d purchase orders to hand to the warehouse.",
            waiting,
        )
        return _orders(
            connection,
            "wait",
            title % waiting,
            _("Open each one and download its file."),
            "new",
        )
    return None


def _orders(
    connection: Connection,
    tone: str,
    title: str,
    action: str,
    status: str,
    *,
    of_store: bool = False,
) -> Status:
    """A line about orders in one status, the connection's or its store's, with their list."""
    orders = reverse("connections:order_list")
    narrowed = (
        f"store={connection.store.public_id}"
        if of_store
        else f"connection={connection.public_id}"
    )
    query = f"{narrowed}&status={status}"
    link = _("Purchase orders")
    return Status(tone, title, action, str(STAFF), f"{orders}?{query}", link)


def explained(
    connection: Connection, code: str, tone: str, side: str, *, may_manage: bool
) -> Status:
    """An error's words, with the page where its remedy is if the person may open it."""
    message = explain(code)
    href = link = ""
    if side == SyncRun.Side.WAREHOUSE:
        if may_manage:
            warehouse = connection.warehouse.public_id
            href = reverse("connections:warehouse", args=[warehouse])
            link = _("Warehouse")
    else:
        store = connection.store.public_id
        href, link = reverse("connections:store", args=[store]), _("Store")
    return Status(
        tone,
        f"{message.happened} {message.means}",
        str(message.do),
        str(message.owner),
        href,
        link,
    )
