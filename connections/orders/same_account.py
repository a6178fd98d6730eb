"""Never mix the data of two accounts in one store (I16).

A key, or an account id, of another account gives answers that look quite in order. But
the orders that we know are not among them.
"""

from __future__ import annotations

from connections.models import PurchaseOrder
from connections.platforms import OrderPage, OrderSession
from connections.problems import Problem
from stores.models import Store

ASKED_FOR = 3


def check_page(store: Store, session: OrderSession, page: OrderPage) -> None:
    """Doubt a page without any order that we know, and ask for some that we do.

    Raises Problem("other_account"), WireError.
    """
    ids = [order.external_id for order in (*page.orders, *page.others)]
    known = PurchaseOrder.objects.filter(store=store, external_id__in=ids)
    if ids and not known.exists():
        check(store, session)


def check(store: Store, session: OrderSession, *, gone: str = "") -> None:
    """Ask for orders that we know, but one; none of them is there: another account.

    A store without such orders has nothing to be mixed. Raises Problem, WireError.
    """
    orders = PurchaseOrder.objects.filter(store=store).exclude(external_id=gone)
    orders = orders.exclude(status=PurchaseOrder.Status.ARCHIVED)
    orders = orders.exclude(held=PurchaseOrder.Held.UNREADABLE).order_by("-pk")
    known = list(orders.values_list("external_id", flat=True)[:ASKED_FOR])
    if known and all(session.read(external_id) is None for external_id in known):
        raise Problem("other_account", ", ".join(known))
