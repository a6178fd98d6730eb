"""Who is asking, from where, in which time zone; and headers that Django leaves out."""

from __future__ import annotations

from collections.abc import Callable

from allauth.account.adapter import get_adapter
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from stores import audit
from stores.models.people import zone_named
from stores.models.tenant import membership_of


def address_of(request: HttpRequest) -> str | None:
    """The address that log-ins are throttled by; None on a socket without one."""
    try:
        return str(get_adapter().get_client_ip(request))
    except PermissionDenied:
        return None


class PersonMiddleware:
    """Set the audit origin and the person's time zone for the request's time."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        request_id = audit.new_request_id()
        token = audit.origin.set(
            audit.Origin(ip=address_of(request), request_id=request_id)
        )
        try:
            membership = membership_of(request.user)
            zone = membership.account.time_zone if membership else "UTC"
            with timezone.override(zone_named(zone)):
                response = self.get_response(request)
        finally:
            audit.origin.reset(token)
        response.setdefault("X-Request-ID", request_id)
        response.setdefault(
            "Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=()"
        )
        if request.user.is_authenticated:
            response.setdefault("Cache-Control", "private, no-store")
        return response
