"""Do something with rows of a list: one from its page, many by their boxes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.http import HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from connections.messages import REFUSALS, Text
from connections.orders.actions import Outcome
from connections.views.paging import uuid_of
from stores.access import Action, MemberRequest, check, may
from stores.models import User
from stores.models.tenant import TenantQuerySet

# More than a page holds; nobody chooses so many by clicks.
MOST = 100


@dataclass(frozen=True)
class Offer:
    """An action as pages offer it.

    `do` acts on rows for somebody. `asks`: what to know before it is confirmed.
    """

    slug: str
    label: Text
    do: Callable[[Any, User], Outcome]
    asks: Text = ""
    needs: Action = Action.MANAGE_CONNECTIONS

    def may(self, user: User) -> bool:
        """Whether the person's role has it."""
        return may(user, self.needs)


@dataclass(frozen=True)
class Kind:
    """What is acted on. `name` is that of its pages: order, order_list, order_act.

    `why_not`: the offers that a row bars, each with the code of the reason.
    """

    name: str
    offers: Mapping[str, Offer]
    rows: Callable[[], TenantQuerySet[Any]]
    why_not: Callable[[Any], Mapping[str, str]]


def act(request: MemberRequest, kind: Kind) -> HttpResponse:
    """Do `go` with each `row`, after a question where it cannot be undone.

    Rows out of sight are left out like missing ones.
    """
    check(request.user, Action.MANAGE_CONNECTIONS)
    back = _back(kind, request.POST)
    offer = kind.offers.get(request.POST.get("go", ""))
    chosen = [uuid_of(text) for text in request.POST.getlist("row")[:MOST]]
    scope = kind.rows().for_user(request.user).filter(public_id__in=chosen)
    rows = list(scope.order_by("-pk"))
    if offer is None or not rows:
        messages.info(request, _("Choose at least one, and what to do with it."))
        return redirect(back)
    check(request.user, offer.needs)
    if offer.asks and "confirmed" not in request.POST:
        # Nobody is asked about a single one that cannot be; of many, each says why then.
        if len(rows) == 1 and (why := kind.why_not(rows[0]).get(offer.slug)):
            say(request, offer.label, Outcome(refused=Counter([why])))
            return redirect(back)
        context = {
            "nav": "orders",
            "offer": offer,
            "rows": [
                (row, reverse(f"connections:{kind.name}", args=[row.public_id]))
                for row in rows
            ],
            "act_url": reverse(f"connections:{kind.name}_act"),
            "back": back,
            "sent": request.POST,
        }
        return render(request, "orders/confirm.html", context)
    say(request, offer.label, offer.do(rows, request.user))
    if not scope.exists():
        back = reverse(f"connections:{kind.name}_list")  # the page is gone
    return redirect(back)


def say(request: MemberRequest, label: Text, outcome: Outcome) -> None:
    """One message for what was done, one for each reason why the rest was not."""
    if outcome.changed:
        text = ngettext("%(do)s: %(n)d done.", "%(do)s: %(n)d done.", outcome.changed)
        messages.success(request, text % {"do": label, "n": outcome.changed})
    if outcome.unchanged:
        text = ngettext(
            "%(do)s: nothing to do for %(n)d.",
            "%(do)s: nothing to do for %(n)d.",
            outcome.unchanged,
        )
        messages.info(request, text % {"do": label, "n": outcome.unchanged})
    for code, count in outcome.refused.items():
        text = ngettext(
            "%(do)s: %(n)d not done. %(why)s",
            "%(do)s: %(n)d not done. %(why)s",
            count,
        )
        facts = {"do": label, "n": count, "why": REFUSALS[code]}
        messages.warning(request, text % facts)


def _back(kind: Kind, sent: QueryDict) -> str:
    """The page that was left: a row's own, or the list as it was narrowed."""
    if "page" in sent:
        return reverse(f"connections:{kind.name}", args=[uuid_of(sent.get("page", ""))])
    narrowed = QueryDict(sent.get("narrowed", "")[:1000]).urlencode()
    return reverse(f"connections:{kind.name}_list") + (narrowed and f"?{narrowed}")
