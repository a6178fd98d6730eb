"""Names of files that we make: one name for life, never two alike (security.md F1)."""

from __future__ import annotations

import secrets

from django.utils import timezone


def new_name(prefix: str) -> str:
    """`<prefix>_<UTC yyyymmddThhmmssffffff>_<8 hex>.csv` (inventory-planner.md §4.6)."""
    at = timezone.now().strftime("%Y%m%dT%H%M%S%f")
    return f"{prefix}_{at}_{secrets.token_hex(4)}.csv"
