"""The ledger of files: what was sent, in which bytes, and what became of it."""

from __future__ import annotations

import secrets
from datetime import timedelta

from django.contrib import messages
from django.db import transaction
from django.http import Http404, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.timesince import timesince
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import (
    require_http_methods,
    require_POST,
    require_safe,
)

from connections import spreadsheet
from connections.deliveries import bytes as file_bytes
from connections.deliveries import resend
from connections.messages import NOBODY, Text, explain
from connections.models import Connection, Delivery, PurchaseOrder, SyncRun
from connections.runs import queue
from connections.runs.jobs import STOCK_CHANGES, STOCK_FULL, STOCK_PROOF
from connections.templatetags.words import file_tone
from connections.views.downloads import attachment
from connections.views.paging import page_newest_first
from connections.views.status import Recent, Status, lines
from connections.wire.sftp import join_path
from stores import audit
from stores.access import Action, MemberRequest, get_or_404, member_required

State = Delivery.State
RESENDS_SHOWN = 5

# The list's filter: what a person asks for, and the states that answer it.
STATES: dict[str, tuple[Text, tuple[State, ...]]] = {
    "uploaded": (gettext_lazy("Uploaded"), (State.DELIVERED,)),
    "under_way": (gettext_lazy("On its way"), (State.ASKED, *Delivery.UNFINISHED)),
    "unknown": (gettext_lazy("Cannot tell"), (State.UNKNOWN,)),
    "not_sent": (gettext_lazy("Not sent"), (State.SUPERSEDED, State.FOREIGN)),
}
# Nothing of these is still to come; what nobody can tell of is followed by another file.
OVER = (State.DELIVERED, State.SUPERSEDED, State.FOREIGN)
# What each state means and what follows; `unknown` has the words of its error.
MEANS: dict[State, tuple[Text, Text]] = {
    State.ASKED: (
        gettext_lazy("To be sent again."),
        gettext_lazy("The next run sends it, and then all that has changed since."),
    ),
    State.BUILT: (
        gettext_lazy("Ready to send."),
        gettext_lazy("The next run sends it, or newer values in its place."),
    ),
    State.SENDING: (
        gettext_lazy("Being sent."),
        gettext_lazy("If it breaks off, the next run looks what is there and goes on."),
    ),
    State.CLOSING: (
        gettext_lazy("Sent whole; not yet seen there."),
        gettext_lazy("The next run looks for it before anything is sent again."),
    ),
    State.RENAMING: (
        gettext_lazy("Sent whole; not yet seen there."),
        gettext_lazy("The next run looks for it before anything is sent again."),
    ),
    State.SUPERSEDED: (
        gettext_lazy("Not sent: newer values took its place."),
        "",
    ),
    State.FOREIGN: (
        gettext_lazy("Not sent: somebody else's file had its name."),
        gettext_lazy("That file was not touched."),
    ),
}
# Why nobody can tell whether a file was taken in; codes of failures have their words.
CANNOT_TELL: dict[str, Text] = {
    "overtaken": gettext_lazy("All its figures have changed since; see newer files."),
    "not_shown": gettext_lazy("The API shows no stock of these variants."),
}
QUICK = timedelta(seconds=0.1)


@require_safe
@member_required
def delivery_list(request: MemberRequest, connection: str) -> HttpResponse:
    """A connection's files, the newest first; of a kind, in a state."""
    row = get_or_404(
        Connection.objects.all(), request.user, connection, Action.MANAGE_CONNECTIONS
    )
    kind, state = request.GET.get("kind", ""), request.GET.get("state", "")
    files = Delivery.objects.for_user(request.user).filter(connection=row)
    if kind in Delivery.Entity:
        files = files.filter(entity=kind)
    if state in STATES:
        files = files.filter(state__in=STATES[state][1])
    page = page_newest_first(files, request.GET.get("after", ""))
    context = {
        "nav": "connections",
        "connection": row,
        "files": page.rows,
        "page": page,
        "kind": kind if kind in Delivery.Entity else "",
        "kinds": Delivery.Entity.choices,
        "state": state if state in STATES else "",
        "states": [(slug, label) for slug, (label, _states) in STATES.items()],
    }
    return render(request, "deliveries/list.html", context)


@require_safe
@member_required
def delivery_page(request: MemberRequest, delivery: str) -> HttpResponse:
    """One file: what became of it and what follows; refreshed while that changes."""
    row = _get(request, delivery)
    status = file_status(row)
    is_looked_up = _is_looked_up(row)
    context = {
        "nav": "connections",
        "file": row,
        "status": status,
        "holds_up": None if status.href or row.state in OVER else _holds_up(row),
        "order": _order(row),
        "path": join_path(row.folder, row.name) if row.attempts else "",
        "took": _took(row),
        "failure": explain(row.error_code) if row.error_code else None,
        "is_kept": file_bytes.are_kept(row),
        "proof_job": STOCK_PROOF,
        "is_looked_up": is_looked_up,
        "is_moving": is_looked_up or row.state in STATES["under_way"][1],
        "cannot_tell": _cannot_tell(row),
        "may_send": row.entity == Delivery.Entity.STOCK
        and row.state not in STATES["under_way"][1],
        "resends": list(row.resends.all()[:RESENDS_SHOWN]),
    }
    part = "deliveries/_live.html" if request.headers.get("HX-Request") else None
    return render(request, part or "deliveries/page.html", context)


@require_POST
@member_required
def delivery_file(request: MemberRequest, delivery: str) -> HttpResponseBase:
    """Hand out the very bytes that were sent, or (`as=spreadsheet`) a safe variant."""
    row = _get(request, delivery)
    if not file_bytes.are_kept(row):
        messages.info(request, _("The content of this file is not kept any more."))
        return redirect("connections:delivery", delivery=row.public_id)
    safe = request.POST.get("as") == "spreadsheet"
    with transaction.atomic():
        form = {"form": "spreadsheet" if safe else "exact"}
        audit.record("delivery.exported", row, by=request.user, after=form)
    if safe:
        name = f"{row.name.removesuffix('.csv')}-spreadsheet.csv"
        return attachment(spreadsheet.variant(file_bytes.read(row)), name)
    response = attachment(file_bytes.read(row), row.name)
    response.headers["Content-Length"] = str(row.size)
    return response


@require_http_methods(["GET", "HEAD", "POST"])
@member_required
def delivery_send(request: MemberRequest, delivery: str) -> HttpResponse:
    """Offer the current stock instead of an old file; POST sends the very file (R6)."""
    row = _get(request, delivery)
    if row.entity != Delivery.Entity.STOCK:
        raise Http404  # an order is sent again from its own page, if at all
    if request.method == "POST":
        shown = _ask(request, row) or row
        return redirect("connections:delivery", delivery=shown.public_id)
    context = {
        "nav": "connections",
        "file": row,
        "is_on": row.channel.is_on and row.connection.is_on,
        "may_be": resend.may_be(row),
        "age": _age(row),
        "job": STOCK_FULL.slug,
        "token": secrets.token_hex(16),
    }
    return render(request, "deliveries/send.html", context)


def _ask(request: MemberRequest, file: Delivery) -> Delivery | None:
    """Ask for the very file once more; None, and a message, when it cannot be."""
    if not (file.channel.is_on and file.connection.is_on):
        messages.warning(request, _("Nothing runs while it is off. Turn it on first."))
        return None
    token = request.POST.get("token", "")
    try:
        again, is_new = resend.ask(file, token=token, by=request.user)
    except ValueError:
        messages.warning(request, _("This very file cannot be sent again."))
        return None
    if is_new:
        queue.enqueue(
            file.channel, STOCK_CHANGES, SyncRun.Trigger.PERSON, by=request.user
        )
        messages.success(request, _("This file is sent in a moment, the newest after."))
    else:
        messages.info(request, _("It was asked for already: this is the file."))
    return again


def _age(file: Delivery) -> Status:
    """Whether a stock file still tells what is so; of a part without a bound nobody knows."""
    older = _("Whoever reads it there sees old figures until the next file is read.")
    if not file.upper_bound:
        return Status("warn", _("It may hold older stock."), older)
    if file.upper_bound < file.connection.warehouse.change_number:
        return Status("warn", _("It holds older stock."), older)
    return Status("ok", _("Nothing has changed since this file was made."))


def file_status(file: Delivery) -> Status:
    """A file's state in words, with what follows and who acts."""
    state = State(file.state)
    tone = file_tone(file)
    if state == State.DELIVERED:
        return _uploaded(file)
    if state == State.UNKNOWN:
        is_order = file.entity == Delivery.Entity.PURCHASE_ORDER
        message = explain("order_in_doubt" if is_order else "delivery_unknown")
        title = f"{message.happened} {message.means}"
        status = Status(tone, title, str(message.do), str(message.owner))
    else:
        title, follows = map(str, MEANS[state])
        owner = str(NOBODY) if state in STATES["under_way"][1] else ""
        status = Status(tone, title, follows, owner)
    after = _sent_instead(file)
    if after is not None:
        status.next, status.owner = "", ""  # it is over
        status.href = reverse("connections:delivery", args=[after.public_id])
        status.link = _("The file that was sent instead")
    return status


def _uploaded(file: Delivery) -> Status:
    """Uploaded is not taken in: that is said only once it was looked up (D18)."""
    if not file.attempts:
        return Status("ok", _("Downloaded by hand."))
    if file.proof == Delivery.Proof.NOT_CONFIRMED:
        return _not_confirmed(file)
    if file.proof == Delivery.Proof.CONFIRMED:
        return Status("ok", _("Uploaded, and confirmed by what is shown there."))
    return Status("ok", _("Uploaded."))


def _not_confirmed(file: Delivery) -> Status:
    """Which variants differ stands on the page; those not known there need more."""
    message = explain("not_confirmed")
    title, owner = f"{message.happened} {message.means}", str(message.owner)
    if all(shown is not None for *_row, shown in file.proof_facts.get("differ", ())):
        follows = _(
            "The variants that differ stand below. Run a full inventory update; it is "
            "looked up again after the next sync."
        )
        return Status("bad", title, follows, owner)
    store = reverse("connections:store", args=[file.connection.store.public_id])
    follows = _(
        "The variants that differ stand below. What is not known there must be added "
        "there first, or sent with “Send master data” on the store's page."
    )
    return Status("bad", title, follows, owner, store, str(file.connection.store))


def _get(request: MemberRequest, delivery: str) -> Delivery:
    rows = Delivery.objects.select_related(
        "channel", "resend_of", "connection__store", "connection__warehouse"
    )
    return get_or_404(rows, request.user, delivery, Action.MANAGE_CONNECTIONS)


def _sent_instead(file: Delivery) -> Delivery | None:
    """The first later file that reaches as far as one that is not known to be there."""
    ended = file.state in (State.SUPERSEDED, State.FOREIGN, State.UNKNOWN)
    if not (ended and file.upper_bound):
        return None  # an order's, or a part that reaches nothing by itself
    later = Delivery.objects.filter(
        channel=file.channel_id,
        entity=Delivery.Entity.STOCK,
        state=State.DELIVERED,
        upper_bound__gte=file.upper_bound,
        pk__gt=file.pk,
    )
    return later.order_by("upper_bound", "pk").first()


def _holds_up(file: Delivery) -> Status | None:
    """What its channel waits for, when that is not just its turn."""
    recent = Recent.of([file.connection])
    status = next(
        line.status
        for line in lines(file.connection, recent)
        if line.channel.pk == file.channel_id
    )
    return None if status.tone in ("ok", "busy") else status


def _order(file: Delivery) -> PurchaseOrder | None:
    """The purchase order that the file hands over, while there is one."""
    if file.entity != Delivery.Entity.PURCHASE_ORDER:
        return None
    orders = PurchaseOrder.objects.filter(account=file.account_id)
    return orders.filter(public_id=file.subject).first()


def _is_looked_up(file: Delivery) -> bool:
    """Whether the platform is being asked just now what it has taken in."""
    looks = SyncRun.objects.unfinished().filter(channel=file.channel_id)
    return file.proof_due_at is not None and looks.filter(job=STOCK_PROOF.slug).exists()


def _cannot_tell(file: Delivery) -> Text:
    """Why a look at the platform told nothing, in words."""
    why = file.proof_facts.get("why", "")
    return CANNOT_TELL.get(why) or (explain(why).happened if why else "")


def _took(file: Delivery) -> str:
    """How long it took from the first attempt to the end of the upload."""
    if file.first_attempt_at is None or file.delivered_at is None:
        return ""
    took = file.delivered_at - file.first_attempt_at
    if took < QUICK:
        return _("less than 0.1 s")
    if took < timedelta(minutes=2):
        return _("%(n).1f s") % {"n": took.total_seconds()}
    return timesince(file.first_attempt_at, file.delivered_at)
