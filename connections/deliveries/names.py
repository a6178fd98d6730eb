"""Names of files that we make: one name for life, never two alike (security.md F1)."""

from __future__ import annotations

import secrets

from django.utils import timezone


def new_name(prefix: str) -> str:
    """`<prefix>_<UTC yyyymmddThhmmssffffff>_<8 hex>.csv` (inventory-planner.md §4.6)."""
    at = timezone.now().strftime("%Y%m%dT%H%M%S%f")
    return f"{prefix}_{at}_{secrets.token_hex(4)}.csv"


def another_name(name: str) -> str:
    """A new name for a file of the same kind as one of ours."""
    prefix, _at, _random = name.rsplit("_", 2)
    return new_name(prefix)
