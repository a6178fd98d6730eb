"""Never mix the data of two accounts in one store (I16).

A key, or an account id, of another account gives answers that look quite in order. But
the orders that we know are not among them.
"""

from __future__ import annotations

from collections.abc import Iterator

from connections.models import PurchaseOrder
from connections.platforms import OrderPage, OrderSession
from connections.problems import Problem
from stores.models import Store

A_FEW = 2
# One that a person archived is no witness: it may be gone there, and they know.
WITNESSES = tuple(
    status for status in PurchaseOrder.Status if status != PurchaseOrder.Status.ARCHIVED
)


def check_page(store: Store, session: OrderSession, page: OrderPage) -> None:
    """Doubt a page without any order that we know, and ask for some that we do.

    Raises Problem("other_account"), WireError.
    """
    known = PurchaseOrder.objects.filter(store=store, external_id__in=page.documents)
    if page.documents and not known.exists():
        check(store, session)


def check(store: Store, session: OrderSession, *, gone: str = "") -> None:
    """Ask for orders that we know, but one; none of them is there: another account.

    A store without such orders has nothing to be mixed. Raises Problem, WireError.
    """
    known = list(dict.fromkeys(_witnesses(store, gone)))
    if known and all(session.read(external_id) is None for external_id in known):
        raise Problem("other_account", ", ".join(known))


def _witnesses(store: Store, gone: str) -> Iterator[str]:
    """A few orders of each status, the newest and the oldest, the newest ones first.

    People delete drafts and mistakes, many at once: not what has been received, nor what
    is years old. An index gives each of them.
    """
    orders = PurchaseOrder.objects.filter(store=store).exclude(external_id=gone)
    orders = orders.exclude(held=PurchaseOrder.Held.UNREADABLE)
    for end in (("-imported_at", "-pk"), ("imported_at", "pk")):
        one_each = [
            orders.filter(status=status)
            .order_by(*end)
            .values_list("external_id")[:A_FEW]
            for status in WITNESSES
        ]
        for (external_id,) in one_each[0].union(*one_each[1:], all=True):
            yield external_id
