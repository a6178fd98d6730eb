"""Addresses for machines: health, readiness, metrics."""

from __future__ import annotations

import hmac

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.http import require_safe

from dropstream import health, metrics


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


@require_safe
def metrics_page(request: HttpRequest) -> HttpResponse:
    """Metrics for whoever shows METRICS_TOKEN; unset, there is no such page (A6)."""
    if not settings.METRICS_TOKEN:
        raise Http404
    shown = request.headers.get("Authorization", "").removeprefix("Bearer ")
    if not hmac.compare_digest(shown.encode(), settings.METRICS_TOKEN.encode()):
        return HttpResponse(status=401, headers={"WWW-Authenticate": "Bearer"})
    return HttpResponse(metrics.render(), content_type=metrics.CONTENT_TYPE)
