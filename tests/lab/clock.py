"""A clock that is wrong: this process's own, which Django asks by `timezone.now`.

The database keeps its clock, as it would where one host's clock is off.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

from django.utils import timezone


@contextmanager
def shifted(by: timedelta) -> Iterator[None]:
    """Let this process's clock be off by so much."""
    real = timezone.now
    with _clock(lambda: real() + by):
        yield


@contextmanager
def stopped(at: datetime) -> Iterator[None]:
    """Let it stand still."""
    with _clock(lambda: at):
        yield


@contextmanager
def _clock(now: Callable[[], datetime]) -> Iterator[None]:
    real = timezone.now
    timezone.now = now
    try:
        yield
    finally:
        timezone.now = real
