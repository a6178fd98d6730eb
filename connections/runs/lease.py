"""One worker at a time talks to a store's far side, and a late one is refused.

A lease row per store, not a Redis lock: it survives Redis, ends with its holder, and its
fence number proves at every state write who holds it (reliability.md Q12).
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Case, F, Q, QuerySet, When
from django.db.models.expressions import Combinable
from django.db.models.functions import Now

from connections.models import StoreLease, SyncRun

log = logging.getLogger(__name__)


class LeaseLostError(Exception):
    """Somebody else holds the store now; nothing more may be written."""


class Lease:
    """A store's lease as one run holds it."""

    def __init__(self, store_id: int, run_id: int, fence: int) -> None:
        self.store_id = store_id
        self.run_id = run_id
        self.fence = fence

    @contextmanager
    def fenced(self) -> Iterator[None]:
        """A transaction that only the holder can commit. Raises LeaseLostError.

        The lease is looked at last: a long transaction does not keep its renewal waiting.
        """
        with transaction.atomic():
            yield
            if not self._mine().select_for_update().exists():
                raise LeaseLostError

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Renew the lease from a thread for as long as the block runs."""
        stop = threading.Event()
        keeper = threading.Thread(
            target=self._keep, args=(stop,), name=f"lease-{self.store_id}", daemon=True
        )
        keeper.start()
        try:
            yield
        finally:
            stop.set()
            keeper.join()

    def release(self) -> None:
        """Give the store free; a later holder's lease is left alone."""
        self._mine().update(run=None, expires_at=None)

    def _keep(self, stop: threading.Event) -> None:
        try:
            while not stop.wait(settings.LEASE_SECONDS / 4):
                try:
                    if not self._mine().update(expires_at=_expiry()):
                        return
                except Exception:  # the database may be back at the next turn
                    log.warning("lease not renewed", exc_info=True)
                    connection.close()
        finally:
            connection.close()

    def _mine(self) -> QuerySet[StoreLease]:
        return StoreLease.objects.filter(
            store=self.store_id, fence=self.fence, run=self.run_id
        )


def take(run: SyncRun) -> Lease | None:
    """Take the store's lease for a run, or return None while another holds it."""
    StoreLease.objects.bulk_create(
        [StoreLease(store_id=run.store_id)], ignore_conflicts=True
    )
    free = Q(expires_at__isnull=True) | Q(expires_at__lt=Now())
    taken = StoreLease.objects.filter(free, store=run.store_id).update(
        fence=F("fence") + 1,
        steals=F("steals") + Case(When(expires_at__isnull=False, then=1), default=0),
        run=run,
        expires_at=_expiry(),
    )
    if not taken:
        return None
    fence = StoreLease.objects.values_list("fence", flat=True).get(store=run.store_id)
    return Lease(run.store_id, run.pk, fence)


def _expiry() -> Combinable:
    """By the database's clock: workers' own may differ (Q19)."""
    return Now() + timedelta(seconds=settings.LEASE_SECONDS)
