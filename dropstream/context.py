"""What every page's shell shows."""

from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest


def shell(request: HttpRequest) -> dict[str, object]:
    """The sandbox's address and clock, set only where run.py started one."""
    url = settings.SANDBOX_URL
    return {
        "sandbox_url": url,
        # It may play the warehouse alone, beside the real Inventory Planner.
        "sandbox_plays_ip": bool(url)
        and settings.INVENTORY_PLANNER_API_URL.startswith(url),
        "demo_clock_speed": settings.DEMO_CLOCK_SPEED,
    }
