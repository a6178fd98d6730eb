"""Inventory → Warehouse and Inventory → Channel (dropstream.md §5), and their files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from django.db.models import QuerySet
from django.http import HttpResponse, QueryDict, StreamingHttpResponse
from django.shortcuts import render
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_POST, require_safe

from connections.models import Connection
from connections.stock import locations, reported, sent, sold
from connections.stock.sent import State
from connections.views.connection_list import store_relations
from connections.views.downloads import csv_download
from connections.views.paging import (
    COUNTED,
    ROWS,
    SEARCH_LENGTH,
    count_text,
    page_by_place,
    place_after,
    search_in,
    uuid_of,
)
from stores.access import Action, MemberRequest, may, member_required
from stores.models import Merchant, Store, User, Warehouse

# What a row's state is called, and its tone.
STATES = {
    State.SENT: ("ok", gettext_lazy("Uploaded")),
    State.WAITS: ("wait", gettext_lazy("Goes with the next update")),
    State.ON_HOLD: (
        "wait",
        gettext_lazy("Waits for the store's set-up"),
    ),
    State.CHANNEL_OFF: ("off", gettext_lazy("The inventory channel is off")),
    State.CONNECTION_OFF: ("off", gettext_lazy("The connection is off")),
    State.UNREPORTED: ("off", gettext_lazy("No warehouse reports it")),
    State.NOT_CONNECTED: ("off", gettext_lazy("No warehouse is connected")),
    State.REFUSED: ("bad", gettext_lazy("Not sent: the platform would drop it")),
    State.NO_FILE: ("warn", gettext_lazy("No file with it is on record")),
    State.TAKEN: ("warn", gettext_lazy("Not sent: another listing has this id")),
}


@dataclass(frozen=True)
class Filters:
    """What a person searches for and narrows to, among what they may see."""

    search: str
    merchants: list[Merchant]  # to choose from
    merchant: Merchant | None

    @classmethod
    def of(cls, sent: QueryDict, user: User) -> Filters:
        merchants = list(Merchant.objects.for_user(user).order_by("name", "pk"))
        chosen = uuid_of(sent.get("merchant", ""))
        merchant = next((one for one in merchants if one.public_id == chosen), None)
        return cls(search_in(sent), merchants, merchant)


@require_safe
@member_required
def inventory_warehouse(request: MemberRequest) -> HttpResponse:
    """What warehouses report: a page of SKUs and facilities."""
    seen = _Warehouses.of(request.GET, request.user)
    after, place = place_after(request, str, UUID, str)
    found = reported.page(seen.choice, place, limit=ROWS + 1)
    page = page_by_place(found, after, lambda row: row.place)
    count = reported.count(seen.choice, limit=COUNTED + 1)
    context = {
        "nav": "inventory",
        "view": "warehouse",
        "seen": seen,
        "filters": seen.filters,
        "rows": [(row, seen.by_id[row.warehouse_id]) for row in page.rows],
        "page": page,
        "count": count,
        "count_text": count_text(count, COUNTED),
        "may_manage": may(request.user, Action.MANAGE_CONNECTIONS),
    }
    return render(request, "inventory/warehouse.html", context)


@require_POST
@member_required
def inventory_warehouse_file(request: MemberRequest) -> StreamingHttpResponse:
    """The same, whole, for a spreadsheet."""
    seen = _Warehouses.of(request.POST, request.user)
    header = (
        *("SKU", "Merchant", "Warehouse", "Facility", "Available", "On hand"),
        *("Committed", "Updated at (UTC)"),
    )

    def rows() -> Iterator[Sequence[str | None]]:
        for pk, (sku, *figures) in reported.rows(seen.choice):
            warehouse = seen.by_id[pk]
            yield sku, str(warehouse.merchant), str(warehouse), *figures

    return csv_download(
        request,
        "inventory.warehouse",
        header,
        rows(),
        of=request.membership.account,
        chosen=_chosen(request.POST, "q", "merchant", "warehouse", "facility"),
    )


@require_safe
@member_required
def inventory_channel(request: MemberRequest) -> HttpResponse:
    """What stores sell, and whether their platform was told."""
    seen = _Stores.of(request.GET, request.user)
    after, place = place_after(request, int, str, UUID, str)
    found = sold.page(seen.choice, place, limit=ROWS + 1)
    page = page_by_place(found, after, lambda row: row.place)
    count = sold.count(seen.choice, limit=COUNTED + 1)
    context = {
        "nav": "inventory",
        "view": "channel",
        "seen": seen,
        "filters": seen.filters,
        "rows": _channel_rows(page.rows, seen.by_id),
        "page": page,
        "count": count,
        "count_text": count_text(count, COUNTED),
        "may_manage": may(request.user, Action.MANAGE_CONNECTIONS),
    }
    return render(request, "inventory/channel.html", context)


@require_POST
@member_required
def inventory_channel_file(request: MemberRequest) -> StreamingHttpResponse:
    """The same, whole, for a spreadsheet."""
    seen = _Stores.of(request.POST, request.user)
    header = (
        *("SKU", "Title", "Listing SKU", "Variant id", "Merchant", "Store"),
        *("On hand", "Allocated", "Status", "Last exported (UTC)"),
    )
    lines = lines_of(seen.by_id)
    words = {str(state.value): str(text) for state, (_tone, text) in STATES.items()}

    def rows() -> Iterator[Sequence[str | None]]:
        for pk, row in sold.rows(seen.choice, lines):
            *names, on_hand, allocated, state, exported = row
            store = seen.by_id[pk]
            status = words[state or ""]
            yield (
                *(*names, str(store.merchant), str(store)),
                *(on_hand, allocated, status, exported),
            )

    return csv_download(
        request,
        "inventory.channel",
        header,
        rows(),
        of=request.membership.account,
        chosen=_chosen(request.POST, "q", "merchant", "store"),
    )


@dataclass(frozen=True)
class _Warehouses:
    """The warehouses that a person sees, and which levels of them were asked for."""

    filters: Filters
    warehouses: list[Warehouse]  # to choose from
    warehouse: Warehouse | None
    facilities: list[str]
    facility: str | None
    by_id: dict[int, Warehouse]

    @classmethod
    def of(cls, sent: QueryDict, user: User) -> _Warehouses:
        filters = Filters.of(sent, user)
        rows = Warehouse.objects.for_user(user).select_related("merchant")
        if filters.merchant:
            rows = rows.filter(merchant=filters.merchant)
        warehouses = list(rows.order_by("name", "pk"))
        chosen = uuid_of(sent.get("warehouse", ""))
        warehouse = next((one for one in warehouses if one.public_id == chosen), None)
        looked_at = [warehouse] if warehouse else warehouses
        by_id = {one.pk: one for one in looked_at}
        facilities = locations.facilities(by_id)
        facility = sent.get("facility") or None
        if facility not in facilities:
            facility = None
        return cls(filters, warehouses, warehouse, facilities, facility, by_id)

    @property
    def choice(self) -> reported.Choice:
        return reported.Choice(list(self.by_id), self.filters.search, self.facility)

    @property
    def is_narrowed(self) -> bool:
        filters = self.filters
        chosen = (filters.search, filters.merchant, self.warehouse, self.facility)
        return any(chosen)


@dataclass(frozen=True)
class _Stores:
    """The stores that a person sees, and which of what they sell was asked for."""

    filters: Filters
    stores: list[Store]  # to choose from
    store: Store | None
    by_id: dict[int, Store]

    @classmethod
    def of(cls, sent: QueryDict, user: User) -> _Stores:
        filters = Filters.of(sent, user)
        rows = Store.objects.for_user(user).select_related("merchant")
        if filters.merchant:
            rows = rows.filter(merchant=filters.merchant)
        stores = list(rows.order_by("name", "pk"))
        chosen = uuid_of(sent.get("store", ""))
        store = next((one for one in stores if one.public_id == chosen), None)
        looked_at = [store] if store else stores
        return cls(filters, stores, store, {one.pk: one for one in looked_at})

    @property
    def choice(self) -> sold.Choice:
        return sold.Choice(list(self.by_id), self.filters.search)

    @property
    def is_narrowed(self) -> bool:
        return any((self.filters.search, self.filters.merchant, self.store))


@dataclass
class _ChannelRow:
    """A row of the channel view."""

    sold: sold.Sold
    store: Store
    on_hand: Decimal | None
    allocated: Decimal | None
    tone: str
    status: str
    exported_at: datetime | None


def _channel_rows(
    found: list[sold.Sold], stores: dict[int, Store]
) -> list[_ChannelRow]:
    lines = lines_of({row.store_id for row in found})
    states = {line.pk: sent.state_of(line) for of in lines.values() for line in of}
    wanted = {
        line: [
            row.variant_id
            for row in found
            if row.store_id == store and not row.taken_by
        ]
        for store, of in lines.items()
        for line in of
    }
    levels = {
        (level.connection_id, level.variant_id): level
        for level in sent.of_variants(wanted)
    }
    allocated = sold.committed(found)
    rows = []
    for row in found:
        of = lines.get(row.store_id, ())
        mine = [levels.get((line.pk, row.variant_id)) for line in of]
        known = [level for level in mine if level and not row.taken_by]
        state = max(
            (level.state(states[level.connection_id]) for level in known),
            default=State.TAKEN if row.taken_by else sent.nowhere(of),
        )
        times = [level.sent_at for level in known if level.is_sent and level.sent_at]
        tone, status = STATES[state]
        rows.append(
            _ChannelRow(
                sold=row,
                store=stores[row.store_id],
                on_hand=sum((level.available for level in known), Decimal(0))
                if known
                else None,
                allocated=None
                if row.is_bundle
                else allocated.get((row.store_id, row.sku)),
                tone=tone,
                status=str(status),
                exported_at=max(times, default=None),
            )
        )
    return rows


def lines_of(stores: Iterable[int]) -> dict[int, list[Connection]]:
    """The connections of stores, with what `sent.state_of` reads."""
    found: dict[int, list[Connection]] = {}
    rows: QuerySet[Connection] = Connection.objects.filter(store__in=list(stores))
    joined = rows.select_related("warehouse", *store_relations())
    for line in joined.prefetch_related("channels"):
        found.setdefault(line.store_id, []).append(line)
    return found


def _chosen(sent: QueryDict, *names: str) -> dict[str, str]:
    """What a file was narrowed by, for the audit."""
    values = {name: sent.get(name, "")[:SEARCH_LENGTH] for name in names}
    return {name: value for name, value in values.items() if value}
