"""A store's listings: the list, one at a time, and all of them as a file."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.contrib import messages
from django.http import HttpResponse, StreamingHttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import (
    require_http_methods,
    require_POST,
    require_safe,
)

from connections.models import Listing
from connections.stock import listed, listings
from connections.stock.listing_files import HEADER
from connections.stock.listings import IdTakenError, Plan, RefusedListingsError, Row
from connections.views.downloads import csv_download
from connections.views.listing_forms import (
    Components,
    ListingForm,
    rows_of,
    typed_of,
)
from connections.views.paging import (
    COUNTED,
    ROWS,
    count_text,
    page_by_place,
    place_after,
    search_of,
)
from stores.access import Action, MemberRequest, get_or_404, member_required
from stores.models import Store


def get_store(request: MemberRequest, store: str) -> Store:
    """A store whose listings the person may change, or 404 and 403."""
    stores = Store.objects.select_related("merchant")
    return get_or_404(stores, request.user, store, Action.MANAGE_CONNECTIONS)


@require_safe
@member_required
def listing_list(request: MemberRequest, store: str) -> HttpResponse:
    """A page of the store's listings; searched by how any of their ids begins."""
    row = get_store(request, store)
    search = search_of(request)
    after, place = place_after(request, int, str, str)
    found = listed.page(row, search, place, limit=ROWS + 1)
    page = page_by_place(found, after, lambda one: one[1])
    count = listed.count(row, search, limit=COUNTED + 1)
    context = {
        "nav": "stores",
        "store": row,
        "rows": [listing for listing, _place in page.rows],
        "search": search,
        "page": page,
        "count": count,
        "count_text": count_text(count, COUNTED),
    }
    return render(request, "listings/list.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@member_required
def listing_add(request: MemberRequest, store: str) -> HttpResponse:
    """Add one listing."""
    row = get_store(request, store)
    return _edit(request, row, None)


@require_http_methods(["GET", "HEAD", "POST"])
@member_required
def listing_page(request: MemberRequest, listing: str) -> HttpResponse:
    """Change one listing."""
    row = _listing(request, listing)
    return _edit(request, row.store, row)


@require_POST
@member_required
def listing_end(request: MemberRequest, listing: str) -> HttpResponse:
    """End a listing: its id is sent as zero where it was sent before."""
    row = _listing(request, listing)
    if row.is_live:
        ended = [Row(1, row.variant_id, retired=True)]
        try:
            listings.change(row.store, ended, by=request.user)
        except RefusedListingsError as refusal:
            messages.error(request, _in_words(refusal.plan))
            return redirect("connections:listing", listing=row.public_id)
    messages.success(request, _("The listing %(sku)s has ended.") % {"sku": row})
    return redirect("connections:listing_list", store=row.store.public_id)


@require_POST
@member_required
def listing_file(request: MemberRequest, store: str) -> StreamingHttpResponse:
    """All listings as a file that can be imported again."""
    row = get_store(request, store)
    return csv_download(
        request, "listings", HEADER, listed.rows(row), of=row, chosen={}
    )


def _listing(request: MemberRequest, listing: str) -> Listing:
    rows = Listing.objects.select_related("store__merchant")
    return get_or_404(rows, request.user, listing, Action.MANAGE_CONNECTIONS)


def _edit(
    request: MemberRequest, store: Store, listing: Listing | None
) -> HttpResponse:
    """Show and take the form of a listing; what was typed stays until it is saved."""
    if listing is not None and not listing.is_live:
        messages.info(request, _("This listing has ended."))
        return redirect("connections:listing_list", store=store.public_id)
    shown: tuple[dict[str, Any], list[dict[str, Any]]] = (
        typed_of(listing) if listing else ({"sku": request.GET.get("sku", "")}, [])
    )
    sent = request.POST if request.method == "POST" else None
    if sent is not None and "more" in sent:
        form, components = _with_more_lines(sent)
    else:
        form = ListingForm(sent, initial=shown[0])
        components = Components(sent, initial=shown[1], prefix="component")
        if sent is not None and _save(request, store, listing, form, components):
            return redirect("connections:listing_list", store=store.public_id)
    errors = _errors(components)
    context = {
        "nav": "stores",
        "store": store,
        "listing": listing,
        "form": form,
        "components": components,
        "errors": errors,
        "has_errors": bool(errors),
    }
    return render(request, "listings/edit.html", context)


def _save(
    request: MemberRequest,
    store: Store,
    listing: Listing | None,
    form: ListingForm,
    components: Any,
) -> bool:
    # Both are looked at: all that is wrong is said at once.
    if not all([form.is_valid(), components.is_valid()]):
        return False
    rows = rows_of(form.cleaned_data, components)
    variant_id = form.cleaned_data["variant_id"]
    is_new = listing is None or listing.variant_id != variant_id
    if is_new and listing is not None:
        rows = [Row(0, listing.variant_id, retired=True), *rows]
    try:
        done = listings.change(
            store, rows, by=request.user, new_id=variant_id if is_new else ""
        )
    except IdTakenError as taken:
        form.add_error(
            "variant_id",
            _("The listing of SKU %(sku)s has the id %(id)s already.")
            % {"sku": taken.sku, "id": variant_id},
        )
        return False
    except RefusedListingsError as refusal:
        for _line, reason in refusal.plan.problems:
            form.add_error(None, _sentence(reason))
        return False
    if done.changes:
        messages.success(
            request,
            _("“%(sku)s” was saved. Its level goes out with the next inventory update.")
            % {"sku": form.cleaned_data["channel_sku"]},
        )
    else:
        messages.info(request, _("Nothing was changed."))
    return True


def _with_more_lines(sent: Any) -> tuple[ListingForm, Any]:
    """The same page with more blank components; nothing is judged yet."""
    form = ListingForm(
        initial={name: sent.get(name, "") for name in ListingForm.base_fields}
    )
    lines = [
        {"sku": one["sku"].value(), "quantity": one["quantity"].value()}
        for one in Components(sent, prefix="component").forms
    ]
    filled = [line for line in lines if any(line.values())]
    return form, Components(initial=filled, prefix="component")


def _errors(components: Any) -> list[dict[str, str]]:
    """What is wrong with components, for the summary at the top."""
    if not components.is_bound:
        return []
    return [
        {"text": str(error), "href": f"#{bound.id_for_label}"}
        for form in components.forms
        for bound in form
        for error in bound.errors
    ]


def _sentence(reason: str) -> str:
    return f"{reason[:1].upper()}{reason[1:]}."


def _in_words(plan: Plan) -> str:
    reasons: Iterable[str] = (reason for _line, reason in plan.problems)
    return " ".join(_sentence(reason) for reason in reasons)
