"""The ground's store platforms, extended with what flows through a connection."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, ClassVar, NamedTuple, Protocol, cast
from zoneinfo import ZoneInfo

from connections.checks.findings import Finding
from connections.deliveries.preflight import Sheet
from connections.models import Channel, Delivery
from connections.wire.sftp import Sftp
from connections.wire.ssh import Deadline
from stores import platforms
from stores.models import Account, SSHKey, Store


@dataclass(frozen=True)
class StockFile:
    """The stock file of a platform: its rules, and SQL for the columns that we send.

    `select` has SQL expressions over `variant_id`, `sku` (the store's), `location_id`,
    `available` and `changed_at`, by column; sorted by id and location. `variant` is the
    column that holds the id.
    """

    sheet: Sheet
    select: Mapping[str, str]
    variant: str


@dataclass(frozen=True)
class Intake:
    """When a platform takes in what was uploaded, on the clock of schedules, UTC.

    `upload_by`: the last moment for it; `shown_at`: when the figures can be looked up
    there. `zone`: the one in which its people read these times.
    """

    upload_by: datetime
    at: datetime
    shown_at: datetime
    zone: ZoneInfo


@dataclass(frozen=True)
class Sold:
    """A variant as the store knows it, and its stock in all its locations."""

    variant_id: str
    sku: str
    available: Decimal


class Repeat(StrEnum):
    """Which figures are told again though they have not changed."""

    EACH = "each"  # one that stood still for seven days, and then every seven days
    ALL = "all"  # every one, once in seven days
    NEVER = "never"


@dataclass(frozen=True)
class MasterFile:
    """A file of what stock refers to: its rules, and SQL for the columns that we send.

    Over `location_id` and `name` of a warehouse; nothing of the one vendor; `variant_id`,
    `sku` (the store's), `title` and `changed_at` of a variant. Sorted by the id.
    """

    sheet: Sheet
    select: Mapping[str, str]


class StockTarget(Protocol):
    """Where a platform takes stock files."""

    file: StockFile

    def missing(self, store: Store) -> str | None:
        """Return the code of what is not configured yet, or None."""

    def peer(self, store: Store) -> str:
        """Whose drop that is, as `Sftp.peer` names it: another one knows nothing yet."""

    def open(self, store: Store, deadline: Deadline) -> AbstractContextManager[Sftp]:
        """Log in to the drop. Raises WireError, Problem."""

    def repeat(self, store: Store) -> Repeat:
        """The store's setting for figures that stand still."""

    def sends_master_data_first(self, store: Store) -> bool:
        """Say whether what stock refers to goes before the first stock file."""

    def master_data(self, store: Store) -> Mapping[Delivery.Entity, MasterFile]:
        """The files of what stock refers to, by Delivery.MASTER_DATA. Raises Problem."""

    def folder(self, store: Store, sftp: Sftp, entity: Delivery.Entity) -> str:
        """Find the folder for a kind of files; never make one. Raises Problem."""

    def intake(self, store: Store, at: datetime) -> Intake:
        """The first intake that reads what is uploaded at `at`."""

    def proves(self, store: Store) -> bool:
        """Say whether it can be asked what it has taken in."""

    def look_up(
        self, store: Store, variants: Sequence[Sold], deadline: Deadline
    ) -> Iterator[tuple[Sold, Decimal | None]]:
        """Yield what it shows of each variant; None: it does not know the variant.

        One of which it cannot tell is left out. Raises WireError, Problem.
        """


class RemoteLine(NamedTuple):
    """A line of a platform's order. `received` is cumulative.

    `line_id` is the line's own within its order, `external_id` what writes name.
    """

    external_id: str
    line_id: str
    sku: str
    title: str
    quantity: Decimal
    received: Decimal


@dataclass(frozen=True)
class RemoteOrder:
    """A platform's purchase order, typed; its texts have at most 256 characters.

    `wanted`: the store's filter takes it; another one matters where it is known.
    `sendable`: its status lets it go to a warehouse. `canceled`: the source gave it up.
    """

    external_id: str
    wanted: bool
    reference: str
    vendor: str
    status: str
    warehouse: str
    readonly: bool
    sendable: bool
    canceled: bool
    created_at: datetime | None
    modified_at: datetime | None
    expected_on: date | None
    lines: tuple[RemoteLine, ...]


@dataclass(frozen=True)
class UnreadableOrder:
    """A document that could not be understood; the rest of its page is imported (I14).

    `wanted`: nothing in it says that the store's filter would leave it out.
    """

    external_id: str
    wanted: bool
    reference: str
    warehouse: str
    reason: str


class OrderDocument(Protocol):
    """What a platform sent as an order: told apart by what it is, typed when asked.

    Most of what is read has been read before, and its digest says so.
    """

    @property
    def content(self) -> Any:
        """It as it came, parsed; nothing in it is too deep or unknown to PostgreSQL."""

    @property
    def external_id(self) -> str:
        """The platform's id, or one made from the document when it has none."""

    @property
    def text(self) -> str:
        """It as JSON, its names in order."""

    @property
    def digest(self) -> str:
        """The hash of its text."""

    def order(self) -> RemoteOrder | UnreadableOrder:
        """Type it."""


@dataclass(frozen=True)
class OrderPage:
    """A page of a platform's orders, by their external ids.

    `is_of_changes`: what is not known here does not matter.
    `next_page`: where reading goes on; None after the last.
    """

    documents: Mapping[str, OrderDocument]
    next_page: int | None
    is_of_changes: bool = False


class OrderSession(Protocol):
    """A conversation with a store's order system; one run, one session."""

    @property
    def scope(self) -> str:
        """What its pages are made from; with another scope reading begins anew."""

    def orders(
        self, *, since: datetime | None = None, first_page: int = 0
    ) -> Iterator[OrderPage]:
        """Yield pages of the orders that may match the store's filter.

        `since`: what did not change after it may be left out, where the platform lets
        one tell.
        """

    def changes(self, since: datetime, *, first_page: int = 0) -> Iterator[OrderPage]:
        """Yield pages of what changed, among it what is in none of `orders`: it left the
        filter."""

    def read(self, external_id: str) -> RemoteOrder | None:
        """Read one order; None when it is gone."""

    def set_received(self, external_id: str, received: Mapping[str, Decimal]) -> None:
        """Set absolute received quantities by the lines' external ids."""

    def set_status(self, external_id: str, status: str) -> None:
        """Set the order's status, verbatim."""

    def close(self) -> None:
        """End the conversation."""


@dataclass(frozen=True)
class Acknowledgement:
    """What is written back, and when (inventory-planner.md §3.6)."""

    status: str
    on_import: bool
    send_quantities: bool


class OrderSource(Protocol):
    """Where a platform's purchase orders come from."""

    def missing(self, store: Store) -> str | None:
        """Return the code of what is not configured yet, or None."""

    def open(self, store: Store, deadline: Deadline) -> OrderSession:
        """Start a session. Raises WireError, Problem."""

    def parse(self, store: Store, document: Any) -> RemoteOrder | UnreadableOrder:
        """Type a document that is kept here, as if it came just now."""

    def acknowledgement(self, store: Store) -> Acknowledgement:
        """The store's settings for the write-back."""

    def same_status(self, one: str, other: str) -> bool:
        """Compare two statuses as the platform's people mean them."""


class FlowPlatform(platforms.StorePlatform):
    """A store platform with its channels; None: the channel is not supported."""

    # Relations of the store that `missing` reads, for lists to join.
    relations: ClassVar[tuple[str, ...]] = ()
    stock: ClassVar[StockTarget | None] = None
    orders: ClassVar[OrderSource | None] = None

    def channels(self) -> list[str]:
        """The channel types that the platform supports."""
        supported = [
            (Channel.Type.INVENTORY, self.stock),
            (Channel.Type.PURCHASE_ORDERS, self.orders),
        ]
        return [channel.value for channel, part in supported if part is not None]

    def missing(self, store: Store, channel_type: str) -> str | None:
        """Return the code of what a channel waits for, or None."""
        part = self.stock if channel_type == Channel.Type.INVENTORY else self.orders
        return part.missing(store) if part else None

    def secret_hints(self, store: Store) -> dict[str, str]:
        """Return what may be shown of stored secrets, by field (security.md K8)."""
        return {}

    def findings(self, store: Store, deadline: Deadline) -> Iterator[Finding]:
        """Run the named checks of a saved store, yielding each as it ends."""
        raise NotImplementedError  # each platform names its own checks

    def draft_findings(
        self,
        account: Account,
        answers: Mapping[str, Any],
        key: SSHKey,
        deadline: Deadline,
    ) -> Iterator[Finding]:
        """The same for answers that are not saved yet."""
        raise NotImplementedError  # each platform names its own checks


def of_slug(slug: str) -> FlowPlatform:
    """Return a platform with its channels. Raises KeyError when not installed."""
    return cast(FlowPlatform, platforms.get(slug))


def of_store(store: Store) -> FlowPlatform:
    """Return the store's platform with its channels."""
    return of_slug(store.platform)


def stock_target(store: Store) -> StockTarget:
    """Return where the store's stock goes; its channel exists, so it is supported."""
    return cast(StockTarget, of_store(store).stock)


def order_source(store: Store) -> OrderSource:
    """Return where the store's orders come from; its channel exists."""
    return cast(OrderSource, of_store(store).orders)
