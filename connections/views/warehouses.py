"""A warehouse's page: its connection string and its test."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.db import transaction
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods, require_POST

from connections.models import CheckRun
from connections.runs import queue
from connections.views.stock_upload import StockUploadForm
from connections.views.stores import start_check
from connections.warehouses import file_exchange
from connections.warehouses.platforms import exchanges_files
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


@require_http_methods(["GET", "HEAD", "POST"])
@member_required
def warehouse_page(request: MemberRequest, warehouse: str) -> HttpResponse:
    """Show a warehouse; replace its connection string."""
    row = get_or_404(
        Warehouse.objects.select_related("merchant", "file_exchange"),
        request.user,
        warehouse,
        Action.MANAGE_CONNECTIONS,
    )
    by_files = exchanges_files(row)
    # A manual warehouse's file is sent to a page of its own.
    form = ConnectionStringForm(request.POST or None) if by_files else StockUploadForm()
    if request.method == "POST" and by_files and form.is_valid():
        _save(request, row, form)
        return redirect("connections:warehouse", warehouse=row.public_id)
    context: dict[str, Any] = {
        "nav": "connections",
        "warehouse": row,
        "form": form,
        "exchanges_files": by_files,
        "check": row.checks.filter(requested_by=request.user).first(),
        "reports": row.stock_reports.arrived()[:10],
        "connections": list(row.connections.all()),
        "may_approve": may(request.user, Action.APPROVE_HOST_KEY),
    }
    return render(request, "warehouses/page.html", context)


def _save(request: MemberRequest, warehouse: Warehouse, form: forms.Form) -> None:
    with transaction.atomic():
        string = form.cleaned_data["connection_string"]
        # First, because channels are locked before the audit.
        for connection in warehouse.connections.select_related("store"):
            queue.enqueue_for_store(connection.store)
        file_exchange.save(warehouse, string, by=request.user)
    messages.success(request, _("“%(name)s” was saved.") % {"name": warehouse})
    shared = file_exchange.shared_log_in(string, warehouse.merchant, request.user)
    for warning in shared:
        messages.warning(request, warning)


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
