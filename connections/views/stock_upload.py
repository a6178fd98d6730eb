"""Upload a manual warehouse's stock: streamed into the database, capped, never to disk."""

from __future__ import annotations

from typing import Any

from django import forms
from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.template.defaultfilters import filesizeformat
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.csrf import csrf_exempt, csrf_protect
from django.views.decorators.http import require_http_methods

from connections.models import StockReport
from connections.stock import uploads
from connections.views.one_file import ArrivingFile, OneFileHandler
from connections.warehouses.platforms import exchanges_files
from stores.access import Action, MemberRequest, get_or_404, may, member_required
from stores.models import Warehouse


class KeptFile(ArrivingFile):
    """A file whose bytes go into the database, under its report."""

    def __init__(self, report: StockReport) -> None:
        super().__init__(name=report.file_name)
        self.report = report
        self._incoming = uploads.Incoming(report)

    def add(self, data: bytes) -> None:
        self._incoming.add(data)

    def end(self, size: int) -> None:
        super().end(size)
        self._incoming.end()

    def close(self) -> None:
        """Nothing is open."""


class StockUploadForm(forms.Form):
    """A stock file of a manual warehouse."""

    stock = forms.FileField(
        label=gettext_lazy("Stock file"),
        widget=forms.FileInput(attrs={"accept": ".csv,text/csv"}),
        error_messages={
            "required": gettext_lazy("Choose a CSV file."),
            "empty": gettext_lazy("The file is empty. Choose another one."),
        },
        help_text=gettext_lazy(
            "CSV with the columns sku, available and, where there are several, "
            "facility; at most 100 MB. You see what would change before anything does."
        ),
    )
    # Comes after the file: without it the upload broke off.
    end = forms.CharField(initial="1", widget=forms.HiddenInput, required=False)

    def clean(self) -> dict[str, Any]:
        if "stock" in self.cleaned_data and not self.cleaned_data["end"]:
            self.add_error("stock", _("The upload broke off. Choose the file again."))
        return self.cleaned_data


@csrf_exempt  # `_stock_upload` checks, once the file has somewhere to go
def stock_upload(request: HttpRequest, warehouse: str) -> HttpResponseBase:
    """Take a manual warehouse's stock file in, and show what it would change."""

    def begin(file_name: str) -> KeptFile | None:
        user = request.user
        found = Warehouse.objects.for_user(user).filter(public_id=warehouse).first()
        if user.is_anonymous or found is None or exchanges_files(found):
            return None
        if not may(user, Action.MANAGE_CONNECTIONS):
            return None
        return KeptFile(uploads.begin(found, file_name=file_name, by=user))

    handler = OneFileHandler(begin, limit_bytes=settings.STOCK_UPLOAD_BYTES)
    request.upload_handlers = [handler]
    try:
        return _stock_upload(request, warehouse, handler)
    finally:
        if handler.arriving is not None:
            uploads.forget(handler.arriving.report)  # unless it was looked at


@csrf_protect
@require_http_methods(["GET", "HEAD", "POST"])
@member_required
def _stock_upload(
    request: MemberRequest, warehouse: str, handler: OneFileHandler[KeptFile]
) -> HttpResponse:
    row = get_or_404(
        Warehouse.objects.select_related("merchant"),
        request.user,
        warehouse,
        Action.MANAGE_CONNECTIONS,
    )
    if exchanges_files(row):
        messages.info(request, _("This warehouse sends its stock files itself."))
        return redirect("connections:warehouse", warehouse=row.public_id)
    form = StockUploadForm()
    if request.method == "POST":
        form = StockUploadForm(request.POST, request.FILES)
        if handler.is_too_large:
            limit = filesizeformat(settings.STOCK_UPLOAD_BYTES)
            form.add_error(
                "stock", _("The file is larger than %(limit)s.") % {"limit": limit}
            )
        elif form.is_valid():
            file: KeptFile = form.cleaned_data["stock"]
            uploads.look(file.report, file.size or 0)
            return redirect("connections:report", report=file.report.public_id)
    context = {"nav": "connections", "warehouse": row, "form": form}
    return render(request, "warehouses/upload.html", context)
