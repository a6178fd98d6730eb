"""The times that a warehouse's files hold."""

from __future__ import annotations

from datetime import UTC, datetime

# Before it a clock was never set; no zone can show the year 1.
FIRST_YEAR = 2000


def time_of(
    name: str, text: str, read_at: datetime, otherwise: datetime | None = None
) -> datetime:
    """Read ISO 8601; without a zone it is UTC. Raises ValueError with the reason.

    Nothing is true later than it was read: a time still to come is wrong. It counts as
    `otherwise`, or else as that of the reading.
    """
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{name} is not a time: {text[:40]!r}") from None
    if at.year < FIRST_YEAR:
        raise ValueError(f"{name} is before {FIRST_YEAR}: {text[:40]!r}")
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return at if at <= read_at else otherwise or read_at
