"""Deployment checks: settings that only a laptop may have (security.md A7)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, register


@register(Tags.security, deploy=True)
def check_deployment(
    app_configs: Sequence[Any] | None, **kwargs: Any
) -> list[CheckMessage]:
    """Refuse what the demo needs and production must not have."""
    refusals = [
        (
            bool(settings.OUTBOUND_HOSTS),
            "OUTBOUND_HOSTS lets the product dial mapped addresses unguarded.",
            "dropstream.E001",
        ),
        (
            urlsplit(settings.INVENTORY_PLANNER_API_URL).scheme != "https",
            "INVENTORY_PLANNER_API_URL must be https.",
            "dropstream.E002",
        ),
        (
            not settings.SECURE,
            "PUBLIC_URL must be https.",
            "dropstream.E003",
        ),
        (
            settings.DEMO_CLOCK_SPEED != 1,
            "DEMO_CLOCK_SPEED must be 1: schedules would run faster than they say.",
            "dropstream.E004",
        ),
        (
            bool(settings.SANDBOX_URL),
            "SANDBOX_URL is set: the sandbox is for demos.",
            "dropstream.E005",
        ),
        (
            not settings.ADMIN_SECOND_FACTOR,
            "ADMIN_SECOND_FACTOR must be on: the admin sees every account.",
            "dropstream.E006",
        ),
    ]
    return [Error(text, id=code) for refused, text, code in refusals if refused]
