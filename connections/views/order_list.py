"""Purchase Orders → Purchases: search, filters, one page at a time (dropstream.md §6)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import TypeVar
from uuid import UUID

from django.db.models import Sum
from django.http import HttpResponse, QueryDict
from django.shortcuts import render
from django.utils import timezone
from django.utils.dateparse import parse_date
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_safe

from connections.messages import Text, explain
from connections.models import Connection, PurchaseOrder, PurchaseOrderLine
from connections.orders import search
from connections.views.order_actions import more_actions
from connections.views.order_status import tone_of
from connections.views.paging import (
    COUNTED,
    MATCHES_COUNTED,
    ROWS,
    count_text,
    page_by_place,
    place_after,
    search_in,
    uuid_of,
)
from stores.access import Action, MemberRequest, may, member_required
from stores.models import Store, User

T = TypeVar("T", Store, Connection)

Status = PurchaseOrder.Status
# Filters beside the nine: New ones that something holds, by what holds them.
UNDECIDED = "undecided"
HOLDS: dict[str, tuple[Text, Sequence[str]]] = {
    "held": (gettext_lazy("On hold"), tuple(PurchaseOrder.Held)),
    UNDECIDED: (gettext_lazy("Needs a decision"), PurchaseOrder.UNDECIDED),
}


@dataclass(frozen=True)
class Filters:
    """What a person searches for and narrows to, among what they may see."""

    typed: str  # what a PO number, vendor or SKU begins with
    stores: list[Store]  # to choose from
    store: Store | None
    connections: list[Connection]  # to choose from
    connection: Connection | None
    status: str
    since: date | None
    until: date | None
    sees_all: bool  # of their account

    @classmethod
    def of(cls, sent: QueryDict, user: User) -> Filters:
        stores = list(Store.objects.for_user(user).order_by("name", "pk"))
        store = _chosen(stores, sent.get("store", ""))
        connections = list(Connection.objects.for_user(user).order_by("name", "pk"))
        status = sent.get("status", "")
        return cls(
            typed=search_in(sent),
            stores=stores,
            store=store,
            connections=connections,
            connection=_chosen(connections, sent.get("connection", "")),
            status=status if status in (*Status, *HOLDS) else "",
            since=_date(sent.get("since", "")),
            until=_date(sent.get("until", "")),
            sees_all=user.membership.visible_merchants() is None,
        )

    @property
    def is_narrowed(self) -> bool:
        chosen = (self.typed, self.store, self.connection, self.status)
        return any((*chosen, self.since, self.until))

    def choice(self, account: int) -> search.Choice:
        """The orders that were asked for, of these stores and connections alone."""
        stores = {one.pk for one in self.stores}
        if self.store:
            stores &= {self.store.pk}
        if self.connection:
            stores &= {self.connection.store_id}
        every = self.sees_all and not (self.store or self.connection)
        _label, held = HOLDS.get(self.status, ("", ()))
        status = Status.NEW if held else self.status
        return search.Choice(
            stores=sorted(stores),
            account=account if every else None,
            connection=self.connection.pk if self.connection and stores else None,
            statuses=(status,) if status else tuple(Status),
            held=held,
            since=_midnight(self.since) if self.since else None,
            before=_midnight(self.until + timedelta(days=1)) if self.until else None,
            prefix=self.typed,
        )


@dataclass(frozen=True)
class Row:
    """An order as lists show it."""

    order: PurchaseOrder
    tone: str
    received: Decimal
    ordered: Decimal

    @property
    def why(self) -> Text:
        """Why it waits or stopped; blank: it goes on."""
        order = self.order
        if order.is_held:
            return order.get_held_display()
        if order.write_refused:
            return explain(order.write_refused).happened
        return order.error if order.status == Status.ERROR else ""


@require_safe
@member_required
def order_list(request: MemberRequest) -> HttpResponse:
    """A page of purchase orders, the newest first; of a search, by what matched."""
    filters = Filters.of(request.GET, request.user)
    choice = filters.choice(request.membership.account_id)
    after, place = place_after(request, int, str, UUID)
    found = search.page(choice, place, limit=ROWS + 1)
    rows = rows_of([one.pk for one in found])
    keys = {one.pk: (one.field, one.key) for one in found}
    page = page_by_place(
        rows, after, lambda row: (*keys[row.order.pk], row.order.public_id)
    )
    most = MATCHES_COUNTED if filters.typed else COUNTED
    count = search.count(choice, limit=most + 1)
    context = {
        "nav": "orders",
        "view": "purchases",
        "filters": filters,
        "statuses": [
            *Status.choices,
            *((value, label) for value, (label, _held) in HOLDS.items()),
        ],
        "rows": page.rows,
        "page": page,
        "count": count,
        "count_text": count_text(count, most),
        "may_manage": may(request.user, Action.MANAGE_CONNECTIONS),
        "more_actions": more_actions(request.user),
    }
    return render(request, "orders/list.html", context)


def latest(connection: Connection, limit: int) -> list[Row]:
    """The newest orders of a connection that the person may see."""
    choice = search.Choice(stores=(connection.store_id,), connection=connection.pk)
    return rows_of([one.pk for one in search.page(choice, (), limit=limit)])


def rows_of(orders: Sequence[int]) -> list[Row]:
    """The rows of these orders, in their order."""
    # A document may be large, and no list shows it.
    rows = PurchaseOrder.objects.defer("document").select_related("store", "connection")
    known = rows.in_bulk(orders)
    lines = PurchaseOrderLine.objects.filter(order__in=orders).order_by()
    sums = {
        pk: (received, ordered)
        for pk, received, ordered in lines.values_list("order").annotate(
            Sum("received"), Sum("quantity")
        )
    }
    return [
        Row(
            known[pk],
            tone_of(known[pk]),
            *sums.get(pk, (Decimal(0), Decimal(0))),
        )
        for pk in orders
        if pk in known  # deleted meanwhile
    ]


def _chosen(rows: Iterable[T], public_id: str) -> T | None:
    wanted = uuid_of(public_id)
    return next((row for row in rows if row.public_id == wanted), None)


def _date(text: str) -> date | None:
    """A day as a date field sends it; anything else, or a day without a next, is none."""
    try:
        found = parse_date(text)
    except ValueError:
        return None
    return found if found and found < date.max else None


def _midnight(day: date) -> datetime:
    """When the day begins, on the account's clock."""
    return timezone.make_aware(datetime.combine(day, time.min))
