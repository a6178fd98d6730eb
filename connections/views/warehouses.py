"""A warehouse's page: its connection string and its test."""

from __future__ import annotations

from typing import Any

from django import forms
from django.conf import settings
from django.contrib import messages
from django.db import transaction
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods, require_POST

from connections.models import CheckRun
from connections.runs import queue
from connections.stock import ingest
from connections.stock.reports import RefusedReportError
from connections.views.stores import start_check
from connections.warehouses import file_exchange
from connections.warehouses.platforms import exchanges_files
from stores import audit
from stores.access import Action, MemberRequest, get_or_404, may, member_required
from stores.models import Warehouse


class ConnectionStringForm(forms.Form):
    """A new connection string; the stored one is never shown."""

    connection_string = forms.CharField(
        label=gettext_lazy("SFTP connection string"),
        max_length=1000,
        widget=forms.PasswordInput(
            attrs={"autocomplete": "off", "spellcheck": "false"}, render_value=False
        ),
        help_text=gettext_lazy(
            "Replaces the stored one. In user name and password, write @ as %40, "
            ": as %3A, / as %2F."
        ),
    )
    examples = {"connection_string": file_exchange.EXAMPLE}

    def clean_connection_string(self) -> file_exchange.ConnectionString:
        try:
            return file_exchange.parse(self.cleaned_data["connection_string"])
        except ValueError as error:
            raise forms.ValidationError(str(error)) from None


class StockUploadForm(forms.Form):
    """A stock file of a manual warehouse."""

    stock = forms.FileField(
        label=gettext_lazy("Stock file"),
        error_messages={"required": gettext_lazy("Choose a CSV file.")},
        help_text=gettext_lazy(
            "CSV with the columns sku, available and, where there are several, "
            "facility; at most 20 MB. Only figures that differ are changed."
        ),
    )


@require_http_methods(["GET", "HEAD", "POST"])
@member_required
def warehouse_page(request: MemberRequest, warehouse: str) -> HttpResponse:
    """Show a warehouse; replace its connection string, or upload its stock."""
    row = get_or_404(
        Warehouse.objects.select_related("merchant", "file_exchange"),
        request.user,
        warehouse,
        Action.MANAGE_CONNECTIONS,
    )
    if exchanges_files(row):
        form: forms.Form = ConnectionStringForm(request.POST or None)
        saved = (
            request.method == "POST" and form.is_valid() and _save(request, row, form)
        )
    else:
        form = StockUploadForm(
            request.POST if request.method == "POST" else None, request.FILES or None
        )
        saved = request.method == "POST" and _upload(request, row, form)
    if saved:
        return redirect("connections:warehouse", warehouse=row.public_id)
    context: dict[str, Any] = {
        "nav": "connections",
        "warehouse": row,
        "form": form,
        "exchanges_files": exchanges_files(row),
        "check": row.checks.filter(requested_by=request.user).first(),
        "reports": row.stock_reports.all()[:10],
        "connections": list(row.connections.all()),
        "may_approve": may(request.user, Action.APPROVE_HOST_KEY),
    }
    return render(request, "warehouses/page.html", context)


def _save(request: MemberRequest, warehouse: Warehouse, form: forms.Form) -> bool:
    with transaction.atomic():
        string = form.cleaned_data["connection_string"]
        file_exchange.save(warehouse, string, by=request.user)
        _go_on(warehouse)
    messages.success(request, _("“%(name)s” was saved.") % {"name": warehouse})
    shared = file_exchange.shared_log_in(string, warehouse.merchant, request.user)
    for warning in shared:
        messages.warning(request, warning)
    return True


def _upload(request: MemberRequest, warehouse: Warehouse, form: forms.Form) -> bool:
    """Apply an uploaded stock file; what is wrong with it stands at the field."""
    if (
        int(request.META.get("CONTENT_LENGTH") or 0)
        > settings.FILE_UPLOAD_MAX_MEMORY_SIZE
    ):
        form.add_error("stock", _("The file is larger than 20 MB. Split it."))
        return False
    if not form.is_valid():
        return False
    try:
        with transaction.atomic():
            done = ingest.upload(warehouse, form.cleaned_data["stock"].read())
            audit.record("warehouse.stock_uploaded", warehouse, by=request.user)
            _go_on(warehouse)
    except RefusedReportError as refusal:
        form.add_error(
            "stock",
            _("Nothing was changed: %(reason)s.") % {"reason": refusal},
        )
        return False
    messages.success(
        request,
        _("Rows read: %(rows)s. Levels changed: %(changed)s. Left out: %(bad)s.")
        % {"rows": done.rows, "changed": done.changed, "bad": done.bad_rows},
    )
    return True


def _go_on(warehouse: Warehouse) -> None:
    for connection in warehouse.connections.select_related("store"):
        queue.enqueue_for_store(connection.store)


@require_POST
@member_required
def warehouse_test(request: MemberRequest, warehouse: str) -> HttpResponse:
    """Test the stored connection string; runs in a worker."""
    row = get_or_404(
        Warehouse.objects.all(), request.user, warehouse, Action.MANAGE_CONNECTIONS
    )
    start_check(
        request,
        CheckRun(account_id=row.account_id, requested_by=request.user, warehouse=row),
    )
    return redirect("connections:warehouse", warehouse=row.public_id)
