"""Signs of life: of the tick, of each worker, of chores that are done now and then."""

from __future__ import annotations

import logging
import threading
import time

from django.conf import settings
from django.db import connection as database

from connections.models import Heartbeat

log = logging.getLogger(__name__)

# A worker is taken for dead after this many beats that did not come.
BEATS_MISSED = 4
# Celery's consumer tells every 2 s that its loop turns.
TURN_SECONDS = 6.0


def beat(kind: Heartbeat.Kind, name: str = "") -> None:
    """Note a sign of life at the database's time."""
    _upsert(kind, name)


def take_turn(chore: str, every_s: float) -> bool:
    """Say whether a chore is due, and count it as begun; one caller gets True (Q10)."""
    return _upsert(Heartbeat.Kind.CHORE, chore, unless_within_s=every_s)


def _upsert(kind: str, name: str, *, unless_within_s: float = 0) -> bool:
    with database.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO connections_heartbeat AS h (kind, name, at)
            VALUES (%s, %s, statement_timestamp())
            ON CONFLICT (kind, name) DO UPDATE SET at = excluded.at
            WHERE h.at <= excluded.at - %s * interval '1 second'
            """,
            [kind, name, unless_within_s],
        )
        return bool(cursor.rowcount)


class Pulse:
    """A worker's heartbeat, from a thread of its own: a slow database stops no work.

    It beats only while the worker's consumer turns, so a worker that is up but takes no
    messages any more goes stale like a dead one (Q6).
    """

    def __init__(self, worker: str) -> None:
        self._worker = worker
        self._turned_at = time.monotonic()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="pulse", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def turned(self) -> None:
        """Note that the consumer's loop came round."""
        self._turned_at = time.monotonic()

    def stop(self) -> None:
        """End with a goodbye: a worker that was stopped on purpose is not missing."""
        self._stop.set()
        self._thread.join()
        self._write(last=True)

    def _run(self) -> None:
        self._write()
        while not self._stop.wait(settings.WORKER_HEARTBEAT_SECONDS):
            if time.monotonic() - self._turned_at < TURN_SECONDS:
                self._write()

    def _write(self, *, last: bool = False) -> None:
        try:
            if last:
                Heartbeat.objects.filter(
                    kind=Heartbeat.Kind.WORKER, name=self._worker
                ).delete()
            else:
                beat(Heartbeat.Kind.WORKER, self._worker)
        except Exception:  # the database may be back at the next turn
            log.warning("heartbeat not written", exc_info=True)
        finally:
            # Not kept: a child that the pool forks would say goodbye on our socket.
            database.close()


def worker_is_alive(name: str) -> bool:
    """Say whether a worker's consumer has turned lately."""
    longest = BEATS_MISSED * settings.WORKER_HEARTBEAT_SECONDS
    workers = Heartbeat.objects.filter(kind=Heartbeat.Kind.WORKER, name=name)
    return workers.within(longest).exists()


def forget_missing() -> None:
    """Drop workers that nobody has heard of for a day; `doctor` named them until now."""
    a_day = Heartbeat.objects.within(24 * 3600)
    Heartbeat.objects.filter(kind=Heartbeat.Kind.WORKER).exclude(
        pk__in=a_day.values("pk")
    ).delete()


def tick_is_alive() -> bool:
    """Say whether the tick came round within two of its intervals (O1)."""
    ticks = Heartbeat.objects.filter(kind=Heartbeat.Kind.TICK)
    return ticks.within(2 * settings.TICK_SECONDS).exists()
