"""What every page's shell shows."""

from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest


def shell(request: HttpRequest) -> dict[str, object]:
    """The sandbox's address and clock, set only where run.py started one."""
    return {
        "sandbox_url": settings.SANDBOX_URL,
        "demo_clock_speed": settings.DEMO_CLOCK_SPEED,
    }
