"""Every component in every state, on one page; served where DEBUG is on."""

from __future__ import annotations

from datetime import UTC, datetime

from django import forms
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

TONES = ["ok", "wait", "warn", "bad", "busy", "off", "info"]
AT = datetime(2026, 5, 3, 14, 15, tzinfo=UTC)
KEY = "ssh-rsa " + "AAAAB3NzaC1yc2EAAAADAQABAAABgQC7" * 12 + " dropstream"


class SampleForm(forms.Form):
    """A field of each kind; sent empty, each shows its error."""

    examples = {"endpoint": "sftp.example.com:22"}
    when_blank = {"status": "blank imports every order"}

    endpoint = forms.CharField(
        label="SFTP endpoint",
        help_text="Where files go.",
        error_messages={"required": "Enter the SFTP endpoint."},
    )
    kind = forms.ChoiceField(
        label="Merchant",
        widget=forms.RadioSelect,
        choices=[("old", "Existing"), ("new", "New")],
        error_messages={"required": "Choose a merchant."},
    )
    status = forms.CharField(label="Status", required=False)
    platform = forms.ChoiceField(choices=[("a", "File exchange"), ("b", "Manual")])
    send = forms.BooleanField(label="Send master data first", required=False)


def styleguide(request: HttpRequest) -> HttpResponse:
    """Show the components; a POST shows the form with its errors."""
    context = {
        "form": SampleForm(request.POST if request.method == "POST" else None),
        "key": KEY,
        "tones": TONES,
        "steps": [
            {"title": "Basic Information", "state": "done", "href": "#steps"},
            {"title": "Merchant Information", "state": "current"},
            {"title": "Warehouse Setup", "state": "todo"},
            {"title": "Store Setup", "state": "blocked"},
        ],
        "checks": [
            {"name": "Server reached", "state": "passed"},
            {
                "name": "Server's key approved",
                "state": "failed",
                "cause": "The server shows another key than the approved one.",
                "next": "Ask the other side about it.",
                "owner": "your team",
                "detail": "host_key_changed",
            },
            {"name": "Logged in", "state": "running"},
            {"name": "Folders found", "state": "skipped"},
            {"name": "Filter", "state": "warning", "cause": "It matches no order."},
            {"name": "Sample file", "state": "waiting"},
        ],
        "events": [
            {"at": AT, "title": "20 rows uploaded", "who": "Kim", "tone": "ok"},
            {
                "at": AT,
                "title": "Import stopped",
                "text": "Inventory Planner refused the API key.",
                "tone": "bad",
            },
        ],
        "rows": [("1042", "Acme Textiles", "ok"), ("1043", "Café Łódź", "wait")],
    }
    return render(request, "styleguide.html", context)
