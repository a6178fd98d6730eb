"""A SKU's page: what is reported of it, what stores sell of it, what was sent and why
not."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from django.db.models import Q
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from connections.models import (
    Channel,
    Connection,
    Delivery,
    FormerSource,
    Listing,
    StockLevel,
    StockReport,
)
from connections.stock import sent
from connections.views.inventory import STATES, lines_of
from connections.views.status import Recent, Status, connection_status, lines
from stores.access import Action, MemberRequest, get_or_404, may, member_required
from stores.models import Merchant, Store


@dataclass(frozen=True)
class Place:
    """A level of a variant id at one location, and where it stands."""

    level: sent.Level
    connection: Connection
    tone: str
    title: str
    note: str  # the file it is in, or what keeps it


@dataclass
class Id:
    """A variant id that the SKU counts for, or once did."""

    variant_id: str
    kind: str
    listing: Listing | None = None
    made_of: str = ""
    places: list[Place] = field(default_factory=list)


@dataclass
class Sale:
    """What a store sells of the SKU."""

    store: Store
    connections: list[Connection]
    ids: list[Id] = field(default_factory=list)
    troubles: list[Status] = field(default_factory=list)
    taken_by: Listing | None = None

    @property
    def state_of_nothing(self) -> str:
        """Why an id has no level."""
        return str(STATES[sent.nowhere(self.connections)][1])


@require_safe
@member_required
def inventory_sku(request: MemberRequest, merchant: str) -> HttpResponse:
    """All that is known of one SKU of a merchant."""
    row = get_or_404(Merchant.objects.all(), request.user, merchant, Action.VIEW)
    sku = request.GET.get("sku", "").replace("\0", "")[:256]
    if not sku:
        return redirect("connections:inventory_warehouse")
    may_manage = may(request.user, Action.MANAGE_CONNECTIONS)
    reported = list(
        StockLevel.objects.for_user(request.user)
        .filter(warehouse__merchant=row, sku=sku)
        .select_related("warehouse")
        .order_by("warehouse__name", "warehouse", "facility")
    )
    context = {
        "nav": "inventory",
        "merchant": row,
        "sku": sku,
        "reported": list(_with_reports(reported)),
        "sales": _sales(row, sku, reported, may_manage=may_manage),
        "may_manage": may_manage,
    }
    return render(request, "inventory/sku.html", context)


def _with_reports(
    levels: Sequence[StockLevel],
) -> Iterable[tuple[StockLevel, StockReport | None]]:
    """Each level with the report that last changed its figure, while it is kept."""
    reports = StockReport.objects.filter(
        warehouse__in={level.warehouse_id for level in levels},
        change_number__in={level.change_number for level in levels},
    )
    by_number = {(one.warehouse_id, one.change_number): one for one in reports}
    for level in levels:
        yield level, by_number.get((level.warehouse_id, level.change_number))


def _sales(
    merchant: Merchant, sku: str, reported: list[StockLevel], *, may_manage: bool
) -> list[Sale]:
    stores = list(merchant.stores.all())
    of_store = lines_of(store.pk for store in stores)
    sales = {store.pk: Sale(store, of_store.get(store.pk, [])) for store in stores}
    _add_ids(sales, sku, {level.warehouse_id for level in reported})
    wanted = {
        line: [one.variant_id for one in sale.ids]
        for sale in sales.values()
        for line in sale.connections
        if sale.ids
    }
    _add_places(sales, wanted, may_manage=may_manage)
    return [sale for sale in sales.values() if sale.ids or sale.taken_by]


def _add_ids(sales: dict[int, Sale], sku: str, reporting: set[int]) -> None:
    """Find under which ids each store sells the SKU, or did."""
    listed = Listing.objects.live().filter(store__in=sales)
    own = listed.filter(Q(sku=sku) | Q(variant_id=sku)).prefetch_related("components")
    parts = listed.filter(components__sku=sku).prefetch_related("components")
    found = {one.pk: one for one in (*own, *parts)}
    for one in sorted(found.values(), key=lambda one: one.variant_id):
        sale = sales[one.store_id]
        made_of = list(one.components.all())
        if one.sku != sku and all(part.sku != sku for part in made_of):
            sale.taken_by = one
            continue
        kind = _("Bundle") if made_of else _("Listing")
        words = ", ".join(str(part) for part in made_of)
        sale.ids.append(Id(one.variant_id, kind, one, words))
    for sale in sales.values():
        warehouses = {line.warehouse_id for line in sale.connections}
        if any(one.listing and one.listing.sku == sku for one in sale.ids):
            sale.taken_by = None  # it has an id of its own
            continue
        has_id = sale.taken_by or any(one.variant_id == sku for one in sale.ids)
        if warehouses & reporting and not has_id:
            sale.ids.insert(0, Id(sku, _("As reported")))
    for former in FormerSource.objects.filter(store__in=sales, sku=sku):
        sale = sales[former.store_id]
        if all(one.variant_id != former.variant_id for one in sale.ids):
            sale.ids.append(Id(former.variant_id, _("No longer sold: sent as zero")))


def _add_places(
    sales: dict[int, Sale], wanted: dict[Connection, list[str]], *, may_manage: bool
) -> None:
    """Compute the levels of each id, and why those not sent were not."""
    by_id = {line.pk: line for line in wanted}
    recent = Recent.of(list(wanted), may_manage=may_manage)
    on_their_way = {
        delivery.channel_id: delivery
        for delivery in Delivery.objects.unfinished()
        .filter(connection__in=by_id, entity=Delivery.Entity.STOCK)
        .order_by("part")  # the last one has the bound
    }
    unsent: set[int] = set()
    for level in sent.of_places(wanted):
        line = by_id[level.connection_id]
        state = level.state(sent.state_of(line))
        if not level.is_sent:
            unsent.add(line.pk)
        tone, title = STATES[state]
        channel = _stock_channel(line)
        note = _note(level, on_their_way.get(channel.pk) if channel else None)
        place = Place(level, line, tone, str(title), note)
        for one in sales[line.store_id].ids:
            if one.variant_id == level.variant_id:
                one.places.append(place)
    for pk in sorted(unsent):
        line = by_id[pk]
        status = _trouble(line, recent)
        if status is not None:
            sales[line.store_id].troubles.append(status)


def _note(level: sent.Level, on_its_way: Delivery | None) -> str:
    """What to know besides where a level stands."""
    if level.is_sent and level.refused is not None:
        return _("%(file)s leaves it out: %(reason)s.") % {
            "file": level.file,
            "reason": level.refused,
        }
    bound = on_its_way.upper_bound if on_its_way else 0
    if on_its_way and not level.is_sent and bound >= level.change_number:
        return _("%(file)s is on its way.") % {"file": on_its_way.name}
    if level.parts and level.parts > 1 and level.is_sent:
        return _("The last of %(parts)s files of one update; it may be in another.") % {
            "parts": level.parts
        }
    if level.may_be_left_out:
        return _("That file left out %(rows)s rows; this may be one of them.") % {
            "rows": level.left_out
        }
    return ""


def _stock_channel(line: Connection) -> Channel | None:
    of_stock = (c for c in line.channels.all() if c.type == Channel.Type.INVENTORY)
    return next(of_stock, None)


def _trouble(line: Connection, recent: Recent) -> Status | None:
    """What keeps a connection's levels, in full; None when nothing does."""
    stock = [one for one in lines(line, recent) if one.channel == _stock_channel(line)]
    status = connection_status(line, stock)
    return None if status.tone in ("ok", "busy") else status
