"""The log of everything that happened at the far sides, for pages and for judges."""

from __future__ import annotations

import json
import threading
import time
from collections import deque
from dataclasses import asdict, dataclass
from pathlib import Path

LIMIT = 50_000


@dataclass(frozen=True)
class Event:
    """One log-in, file operation or API request.

    ``digest`` is the SHA-256 of the bytes that it was about: of a file as it became
    visible or was taken, or of the body of an API write.
    """

    at: float
    side: str
    who: str
    op: str
    path: str = ""
    size: int = 0
    digest: str = ""


class Journal:
    """Events in order, the oldest dropped beyond ``LIMIT``; the file has them all."""

    def __init__(self, file: Path | None = None) -> None:
        self.events: deque[Event] = deque(maxlen=LIMIT)
        self._log_ins: dict[tuple[str, str], int] = {}
        self._lock = threading.Lock()
        # A line at a time: a judge reads along.
        self._file = file.open("a", buffering=1, encoding="utf-8") if file else None

    def add(
        self,
        side: str,
        who: str,
        op: str,
        path: str = "",
        size: int = 0,
        digest: str = "",
    ) -> None:
        """Append one event."""
        with self._lock:
            event = Event(time.time(), side, who, op, path, size, digest)
            self.events.append(event)
            if self._file is not None:
                self._file.write(json.dumps(asdict(event)) + "\n")
            if op == "login":
                key = (side, who)
                self._log_ins[key] = self._log_ins.get(key, 0) + 1

    def close(self) -> None:
        """Close the file; later events are kept in memory only."""
        with self._lock:
            if self._file is not None:
                self._file.close()
                self._file = None

    def log_ins(self, side: str, who: str) -> int:
        """Return how often somebody logged in since the start."""
        with self._lock:
            return self._log_ins.get((side, who), 0)

    def of(self, op: str, side: str = "") -> list[Event]:
        """Return the events of one kind, oldest first, of one side or of both."""
        with self._lock:
            events = list(self.events)
        return [e for e in events if e.op == op and (not side or e.side == side)]
