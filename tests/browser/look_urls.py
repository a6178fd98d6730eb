"""One page that shows every component, for tests of the look only."""

from __future__ import annotations

from datetime import UTC, datetime

from django import forms
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.template import engines
from django.urls import path

from dropstream import urls

KEY = "ssh-rsa " + "AAAAB3NzaC1yc2EAAAADAQABAAABgQC7" * 12 + " dropstream"


class SampleForm(forms.Form):
    examples = {"endpoint": "sftp.example.com:22"}

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
    platform = forms.ChoiceField(choices=[("a", "File exchange"), ("b", "Manual")])
    send = forms.BooleanField(label="Send master data first", required=False)


PAGE = """
{% extends "base.html" %}{% block title %}Sample{% endblock %}
{% block page_title %}Sample{% endblock %}
{% block content %}
{% include "components/error_summary.html" %}
{% include "components/steps.html" with steps=steps only %}
{% for tone in tones %}{% include "components/status.html" with tone=tone title="State" next="Do this." owner="Your team" href="/x/" link="Add it" only %}
{% include "components/badge.html" with tone=tone text="Word" only %}
{% include "components/message.html" with tone=tone text="Said." only %}{% endfor %}
<form method="post" novalidate>{% csrf_token %}{{ form }}<button class="btn btn-primary" name="go" value="1">Continue</button></form>
{% include "components/copy_box.html" with id="key" label="Public key" text=key only %}
{% include "components/checks.html" with checks=checks only %}
{% include "components/timeline.html" with events=events only %}
{% include "components/confirm.html" with id="remove" label="Remove key" title="Remove this key?" text="Files stop." action="/sample/" tone="danger" icon="trash3" form=None %}
{% include "components/empty.html" with title="No connections yet" text="Add one." href="#" action="Add" only %}
{% endblock %}
"""  # noqa: E501

posts: list[dict[str, str]] = []


def sample(request: HttpRequest) -> HttpResponse:
    form = SampleForm()
    if request.method == "POST":
        posts.append({key: str(value) for key, value in request.POST.items()})
        form = SampleForm(request.POST)
    at = datetime(2026, 5, 3, 14, 15, tzinfo=UTC)
    context = {
        "form": form,
        "key": KEY,
        "tones": ["ok", "wait", "warn", "bad", "busy", "off", "info"],
        "steps": [
            {"title": "Merchant", "state": "done", "href": "#1"},
            {"title": "Warehouse", "state": "current"},
            {"title": "Store", "state": "todo"},
        ],
        "checks": [
            {"name": "Reach", "state": "passed"},
            {
                "name": "Host key",
                "state": "failed",
                "cause": "Not the approved one.",
                "next": "Compare it.",
                "owner": "Your team",
                "detail": "host_key_changed",
            },
            {"name": "Log in", "state": "running"},
            {"name": "Folders", "state": "skipped"},
        ],
        "events": [{"at": at, "title": "Uploaded", "who": "Kim", "tone": "ok"}],
    }
    template = engines["django"].from_string(PAGE)
    return HttpResponse(template.render(context, request))


def old_form(request: HttpRequest) -> HttpResponse:
    return render(request, "403_csrf.html")


urlpatterns = [
    path("", sample),
    path("sample/", sample),
    path("old-form/", old_form),
    *urls.urlpatterns,
]
