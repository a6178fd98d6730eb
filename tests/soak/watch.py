"""Looks at the database every moment: how much is due, and what lasts too long."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

import psycopg
from psycopg.rows import class_row

QUERY = """
SELECT extract(epoch FROM now())::float AS at,
    (SELECT count(*) FROM connections_syncrun
     WHERE state = 'queued' AND due_at <= now()) AS due,
    (SELECT coalesce(extract(epoch FROM now() - min(due_at)), 0)::float
     FROM connections_syncrun WHERE state = 'queued' AND due_at <= now()) AS oldest_s,
    (SELECT count(*) FROM connections_syncrun WHERE state = 'running') AS running,
    (SELECT count(*) FROM connections_delivery
     WHERE state IN ('built', 'sending', 'renaming')) AS unfinished,
    (SELECT coalesce(max(extract(epoch FROM now() - xact_start)), 0)::float
     FROM pg_stat_activity WHERE application_name LIKE 'worker-%' OR
        application_name = 'prefork') AS transaction_s
"""


@dataclass(frozen=True)
class Sample:
    """One look: numbers of rows, ages in seconds."""

    at: float
    due: int
    oldest_s: float
    running: int
    unfinished: int
    transaction_s: float


class Watch:
    """A thread that samples until stopped; a database that is down is no sample."""

    def __init__(self, owner_url: str, interval_s: float) -> None:
        self.samples: list[Sample] = []
        self._url = owner_url
        self._interval_s = interval_s
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look, name="watch", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._ended.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._ended.is_set():
            try:
                with psycopg.connect(self._url, autocommit=True) as connection:
                    cursor = connection.cursor(row_factory=class_row(Sample))
                    while not self._ended.wait(self._interval_s):
                        [sample] = cursor.execute(QUERY)
                        self.samples.append(sample)
            except psycopg.OperationalError:
                time.sleep(self._interval_s)
