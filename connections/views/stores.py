"""Stores: the list, and the page where staff and merchants edit one."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.db import transaction
from django.db.models import Max, QuerySet
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import (
    require_http_methods,
    require_POST,
    require_safe,
)

from connections import platforms
from connections.checks import execute as checks
from connections.messages import explain
from connections.models import Alert, Channel, CheckRun, Delivery, SyncRun
from connections.problems import Problem
from connections.runs import queue
from connections.runs.jobs import STOCK_MASTER_DATA
from connections.views import alerts
from connections.views.connection_list import store_relations
from connections.views.paging import page_by_name, search_of
from stores import audit, ssh_keys
from stores.access import Action, MemberRequest, get_or_404, may, member_required
from stores.models import Store


class NameForm(forms.Form):
    """What every store has, whatever its platform."""

    name = forms.CharField(label=gettext_lazy("Name"), max_length=200)


@require_safe
@member_required
def store_list(request: MemberRequest) -> HttpResponse:
    """The person's stores with what they wait for."""
    relations = [name for name in store_relations() if name != "store"]
    joins = [name.removeprefix("store__") for name in relations]
    rows = Store.objects.for_user(request.user).select_related("merchant", *joins)
    search = search_of(request)
    if search:
        rows = rows.filter(name__icontains=search)
    page = page_by_name(rows, request.GET.get("after", ""))
    stores = [
        {
            "store": store,
            "platform": platforms.of_store(store).label,
            "missing": _missing(store),
        }
        for store in page.rows
    ]
    context = {"nav": "stores", "stores": stores, "search": search, "page": page}
    return render(request, "stores/list.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@member_required
def store_page(request: MemberRequest, store: str) -> HttpResponse:
    """Show and edit a store: name, credentials, purchase-order settings."""
    row = get_or_404(
        Store.objects.select_related("merchant", "account"),
        request.user,
        store,
        Action.EDIT_STORE,
    )
    platform = platforms.of_store(row)
    initial = platform.load(row) | {"name": row.name}
    form = _store_form(platform)(request.POST or None, initial=initial, store=row)
    if request.method == "POST" and form.is_valid():
        with transaction.atomic():
            # What waited for the endpoint, the key or another filter goes on at once.
            # First, because channels are locked before the audit.
            queue.enqueue_for_store(row)
            _rename(row, form.cleaned_data["name"], request)
            platform.save(row, form.cleaned_data, by=request.user)
        for notice in getattr(form, "notices", []):
            messages.info(request, notice)
        for warning in getattr(form, "warnings", []):
            messages.warning(request, warning)
        messages.success(request, _("“%(name)s” was saved.") % {"name": row})
        return redirect("connections:store", store=row.public_id)
    sections = [
        (title, [form[name] for name in names])
        for part in ("sections", "store_sections")
        for title, names in getattr(form, part, ())
    ]
    may_manage = may(request.user, Action.MANAGE_CONNECTIONS)
    context = {
        "nav": "stores",
        "store": row,
        "form": form,
        "sections": sections,
        "platform": platform,
        "key": ssh_keys.current_key(row),
        "kept": platform.secret_hints(row),
        "missing": _missing(row),
        "master_data": _master_data(row),
        "check": row.checks.filter(requested_by=request.user).first(),
        "connections": list(row.connections.all()),
        "alerts": alerts.lines(_alerts(row), may_manage=may_manage),
        "may_manage": may_manage,
        "may_approve": may(request.user, Action.APPROVE_HOST_KEY),
    }
    return render(request, "stores/page.html", context)


@require_POST
@member_required
def store_master_data(request: MemberRequest, store: str) -> HttpResponse:
    """Send warehouses, vendors and variants over each of the store's connections."""
    row = get_or_404(
        Store.objects.all(), request.user, store, Action.MANAGE_CONNECTIONS
    )
    channels = Channel.objects.live().filter(
        connection__store=row, type=Channel.Type.INVENTORY
    )
    begun = [
        queue.enqueue(
            channel, STOCK_MASTER_DATA, SyncRun.Trigger.PERSON, by=request.user
        )
        for channel in channels.select_related("connection")
    ]
    if not begun:
        messages.warning(request, _("Nothing runs while it is off. Turn it on first."))
    elif any(begun):
        messages.success(request, _("Master data: queued. It starts in a moment."))
    else:
        messages.info(request, _("Master data: already on its way."))
    return redirect("connections:store", store=row.public_id)


@require_POST
@member_required
def store_test(request: MemberRequest, store: str) -> HttpResponse:
    """Test the saved settings; runs in a worker."""
    row = get_or_404(Store.objects.all(), request.user, store, Action.TEST_STORE)
    start_check(
        request,
        CheckRun(account_id=row.account_id, requested_by=request.user, store=row),
    )
    return redirect("connections:store", store=row.public_id)


def start_check(request: MemberRequest, run: CheckRun) -> None:
    """Start a check, or say that a minute allows no more (security.md E10)."""
    try:
        checks.start(run)
    except checks.TooManyChecksError:
        messages.warning(
            request, _("That was the tenth test in a minute. Wait a moment.")
        )


def _store_form(platform: platforms.FlowPlatform) -> type[Any]:
    """Name and the platform's fields in one form."""
    return type(
        "StorePageForm",
        (platform.form_class, NameForm),
        {"field_order": ("name",)},
    )


def _rename(store: Store, name: str, request: MemberRequest) -> None:
    if store.name == name:
        return
    before, store.name = store.name, name
    store.save(update_fields=["name"])
    audit.record(
        "store.renamed",
        store,
        by=request.user,
        before={"name": before},
        after={"name": name},
    )


def _alerts(store: Store) -> QuerySet[Alert]:
    """What is wrong on the store's side of its connections."""
    rows = Alert.objects.open().filter(connection__store=store, side=SyncRun.Side.STORE)
    return rows.select_related(*alerts.RELATIONS)


def _master_data(store: Store) -> dict[str, Any] | None:
    """Whether master data can be sent, and what that waits for; None: never."""
    target = platforms.of_store(store).stock
    if target is None:
        return None
    try:
        target.master_data(store)
    except Problem as problem:
        return {"waits_for": explain(problem.code)}
    vendors = Delivery.objects.filter(
        store=store, entity=Delivery.Entity.VENDOR, state=Delivery.State.DELIVERED
    )
    return {"sent_at": vendors.aggregate(at=Max("delivered_at"))["at"]}


def _missing(store: Store) -> list[str]:
    """Codes of what the store's channels wait for, each once."""
    platform = platforms.of_store(store)
    found = [platform.missing(store, channel) for channel in platform.channels()]
    return list(dict.fromkeys(code for code in found if code))
