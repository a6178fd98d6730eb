"""Transactions that are done again when the database asks for it (Q13, Q14)."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TypeVar

from django.db import InterfaceError, OperationalError, connection, transaction

T = TypeVar("T")

log = logging.getLogger(__name__)

TRIES = 3
PAUSE_S = 0.5
# What the database undid for no fault of ours: serialization failure, deadlock, a lock
# that was not to be had in time.
UNDONE = {"40001", "40P01", "55P03"}


def retried(change: Callable[[], T], *, patience_s: float = 0.0) -> T:
    """Do a change in a transaction; the whole of it up to three times if it is undone.

    `patience_s`: for so long a database that is away is waited for as well. A commit
    whose answer got lost is done twice then, so `change` must bear that. Inside an outer
    transaction nothing is tried again: it is not ours.
    """
    if connection.in_atomic_block:
        return change()
    end = time.monotonic() + patience_s
    tries = 1
    while True:
        try:
            with transaction.atomic():
                return change()
        except (OperationalError, InterfaceError) as error:
            connection.close_if_unusable_or_obsolete()
            if is_undone(error):
                if tries == TRIES:
                    raise
                tries += 1
            elif connection.connection is not None or time.monotonic() > end:
                raise
            else:
                time.sleep(PAUSE_S)
            log.warning("transaction done again", exc_info=True)


def is_undone(error: Exception) -> bool:
    """Whether the database rolled a transaction back that may well succeed next time."""
    return getattr(error.__cause__, "sqlstate", None) in UNDONE
