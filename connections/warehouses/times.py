"""The times that a warehouse's files hold."""

from __future__ import annotations

from datetime import UTC, datetime

# Before it a clock was never set; no zone can show the year 1.
FIRST_YEAR = 2000


def time_of(name: str, text: str, read_at: datetime) -> datetime:
    """Read ISO 8601; without a zone it is UTC. Raises ValueError with the reason.

    A time still to come counts as that of the reading: nothing is true later.
    """
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{name} is not a time: {text[:40]!r}") from None
    if at.year < FIRST_YEAR:
        raise ValueError(f"{name} is before {FIRST_YEAR}: {text[:40]!r}")
    return min(at if at.tzinfo else at.replace(tzinfo=UTC), read_at)
