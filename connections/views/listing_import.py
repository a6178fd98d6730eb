"""Import listings from a file: choose it, see what would change, apply."""

from __future__ import annotations

from io import BytesIO

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.template.defaultfilters import filesizeformat
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.csrf import csrf_exempt, csrf_protect
from django.views.decorators.http import require_http_methods

from connections.models import ListingsFile
from connections.stock import listing_files
from connections.stock.listing_files import LIMIT_BYTES, RefusedFileError
from connections.stock.listings import SHOWN_TURNS, Plan, RefusedListingsError
from connections.views.listings import get_store
from connections.views.one_file import ArrivingFile, OneFileHandler
from stores.access import Action, MemberRequest, get_or_404, may, member_required
from stores.models import Store

KINDS = {
    "added": ("ok", gettext_lazy("Added")),
    "changed": ("info", gettext_lazy("Changed")),
    "retired": ("warn", gettext_lazy("Ended")),
}


class HeldFile(ArrivingFile):
    """A file in memory."""

    def __init__(self, name: str) -> None:
        super().__init__(BytesIO(), name)

    def add(self, data: bytes) -> None:
        self.write(data)

    def end(self, size: int) -> None:
        super().end(size)
        self.seek(0)


class ImportForm(forms.Form):
    """A file of listings."""

    listings = forms.FileField(
        label=gettext_lazy("Listings file"),
        widget=forms.FileInput(attrs={"accept": ".csv,text/csv"}),
        error_messages={
            "required": gettext_lazy("Choose a CSV file."),
            "empty": gettext_lazy("The file is empty. Choose another one."),
        },
        help_text=gettext_lazy(
            "CSV with the column sku and, where they differ, channel_sku and variant_id; "
            "at most 20 MB. You see what would change before anything does."
        ),
    )


@csrf_exempt  # `_listing_import` checks, once it is known where the file goes
def listing_import(request: HttpRequest, store: str) -> HttpResponseBase:
    """Take a file of listings in."""

    def begin(file_name: str) -> HeldFile | None:
        user = request.user
        found = Store.objects.for_user(user).filter(public_id=store)
        if user.is_anonymous or not may(user, Action.MANAGE_CONNECTIONS):
            return None
        return HeldFile(file_name) if found.exists() else None

    handler = OneFileHandler(begin, limit_bytes=LIMIT_BYTES)
    request.upload_handlers = [handler]
    return _listing_import(request, store, handler)


@csrf_protect
@require_http_methods(["GET", "HEAD", "POST"])
@member_required
def _listing_import(
    request: MemberRequest, store: str, handler: OneFileHandler[HeldFile]
) -> HttpResponse:
    row = get_store(request, store)
    form = ImportForm()
    if request.method == "POST":
        form = ImportForm(request.POST, request.FILES)
        if handler.is_too_large:
            limit = filesizeformat(LIMIT_BYTES)
            form.add_error(
                "listings",
                _("The file is larger than %(limit)s. Split it.") % {"limit": limit},
            )
        elif form.is_valid():
            chosen = form.cleaned_data["listings"]
            file = listing_files.keep(
                row, chosen.read(), file_name=chosen.name or "", by=request.user
            )
            return redirect(
                "connections:listing_import_page", listings_file=file.public_id
            )
    context = {"nav": "stores", "store": row, "form": form}
    return render(request, "listings/import.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@member_required
def listing_import_page(request: MemberRequest, listings_file: str) -> HttpResponse:
    """What a file would change; POST applies or discards it."""
    file = get_or_404(
        ListingsFile.objects.select_related("store__merchant", "uploaded_by"),
        request.user,
        listings_file,
        Action.MANAGE_CONNECTIONS,
    )
    if request.method == "POST":
        return _decide(request, file)
    plan, refusal = Plan(), ""
    if file.applied_at is None:
        try:
            plan = listing_files.look(file)
        except RefusedFileError as refused:
            refusal = str(refused)
    context = {
        "nav": "stores",
        "file": file,
        "store": file.store,
        "plan": plan,
        "turns": [(turn, *KINDS[turn.kind]) for turn in plan.turns],
        "more_turns": plan.changes > SHOWN_TURNS,
        "more_problems": plan.bad_rows - len(plan.problems),
        "refusal": refusal,
        "may_apply": not refusal and not plan.bad_rows and plan.changes,
    }
    return render(request, "listings/import_page.html", context)


def _decide(request: MemberRequest, file: ListingsFile) -> HttpResponse:
    listing_list = redirect("connections:listing_list", store=file.store.public_id)
    if request.POST.get("go") == "discard":
        listing_files.discard(file, by=request.user)
        messages.info(request, _("The file was discarded. Nothing was changed."))
        return listing_list
    try:
        done = listing_files.apply(file, by=request.user)
    except (RefusedFileError, RefusedListingsError):
        # Something changed since the page was shown; it says what is wrong now.
        messages.error(request, _("Nothing was changed. Look at what is wrong."))
        return redirect("connections:listing_import_page", listings_file=file.public_id)
    if done is None:
        messages.info(request, _("This file was applied before."))
    else:
        messages.success(
            request,
            _("Added: %(added)s. Changed: %(changed)s. Ended: %(retired)s.")
            % {kind: done.counts.get(kind, 0) for kind in KINDS},
        )
    return listing_list
