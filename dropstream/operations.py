"""Addresses for machines: health, readiness, metrics."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.http import require_safe

from dropstream import health


@require_safe
def healthz(request: HttpRequest) -> HttpResponse:
    """This process answers; nothing else is asked."""
    return HttpResponse("ok", content_type="text/plain")


@require_safe
def readyz(request: HttpRequest) -> HttpResponse:
    """200 while pages can be served, degraded or not; 503 when they cannot (O1)."""
    found = health.readiness()
    failing = found.state == health.State.FAILING
    answer = {"status": found.state, "checks": found.checks}
    response = JsonResponse(answer, status=503 if failing else 200)
    response.headers["Cache-Control"] = "no-store"
    return response
