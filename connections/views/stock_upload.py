"""Upload a manual warehouse's stock: streamed into the database, capped, never to disk."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django import forms
from django.conf import settings
from django.contrib import messages
from django.core.files.uploadedfile import UploadedFile
from django.core.files.uploadhandler import FileUploadHandler, SkipFile
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.template.defaultfilters import filesizeformat
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.csrf import csrf_exempt, csrf_protect
from django.views.decorators.http import require_http_methods

from connections.models import StockReport
from connections.stock import uploads
from connections.warehouses.platforms import exchanges_files
from stores.access import Action, MemberRequest, get_or_404, may, member_required
from stores.models import Warehouse


class KeptFile(UploadedFile):  # type: ignore[type-arg]  # generic in its stubs only
    """A file whose bytes are in the database already, under its report."""

    def __init__(self, report: StockReport, size: int) -> None:
        super().__init__(name=report.file_name, size=size)
        self.report = report

    def close(self) -> None:
        """Nothing is open."""


class KeepingHandler(FileUploadHandler):
    """Keep the one file of a form as it comes.

    `begin` is asked when the file begins: nothing is kept of who may not upload.
    """

    chunk_size = uploads.CHUNK_BYTES

    def __init__(self, begin: Callable[[str], StockReport | None]) -> None:
        super().__init__()
        self._begin = begin
        self.incoming: uploads.Incoming | None = None
        self.is_too_large = False

    def handle_raw_input(
        self, input_data: Any, META: Any, content_length: int, *args: Any, **more: Any
    ) -> None:
        """Keep nothing of what says beforehand that it is too much."""
        self.is_too_large = content_length > settings.STOCK_UPLOAD_BYTES

    def new_file(self, *args: Any, **more: Any) -> None:
        super().new_file(*args, **more)
        if self.is_too_large or self.incoming is not None:
            raise SkipFile
        report = self._begin(self.file_name or "")
        if report is None:
            raise SkipFile
        self.incoming = uploads.Incoming(report)

    def receive_data_chunk(self, raw_data: bytes, start: int) -> None:
        if self.incoming is not None:
            self.incoming.add(raw_data)

    def file_complete(self, file_size: int) -> KeptFile | None:
        if self.incoming is None:
            return None
        self.incoming.end()
        return KeptFile(self.incoming.report, file_size)


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
    """Take a manual warehouse's stock file in, and show what it would change.

    Whoever reads the body first decides where the file goes: here, before the CSRF check
    looks for its token in it.
    """

    def begin(file_name: str) -> StockReport | None:
        user = request.user
        found = Warehouse.objects.for_user(user).filter(public_id=warehouse).first()
        if user.is_anonymous or found is None or exchanges_files(found):
            return None
        if not may(user, Action.MANAGE_CONNECTIONS):
            return None
        return uploads.begin(found, file_name=file_name, by=user)

    handler = KeepingHandler(begin)
    request.upload_handlers = [handler]
    try:
        return _stock_upload(request, warehouse, handler)
    finally:
        if handler.incoming is not None:
            uploads.forget(handler.incoming.report)  # unless it was looked at


@csrf_protect
@require_http_methods(["GET", "HEAD", "POST"])
@member_required
def _stock_upload(
    request: MemberRequest, warehouse: str, handler: KeepingHandler
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
