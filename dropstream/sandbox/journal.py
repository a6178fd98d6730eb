"""The log of everything that happened at the far sides, for pages and for judges."""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass

LIMIT = 50_000


@dataclass(frozen=True)
class Event:
    """One log-in, file operation or API request."""

    at: float
    side: str
    who: str
    op: str
    path: str = ""
    size: int = 0


class Journal:
    """Events in order, the oldest dropped beyond ``LIMIT``."""

    def __init__(self) -> None:
        self.events: deque[Event] = deque(maxlen=LIMIT)
        self._log_ins: dict[tuple[str, str], int] = {}
        self._lock = threading.Lock()

    def add(self, side: str, who: str, op: str, path: str = "", size: int = 0) -> None:
        """Append one event."""
        event = Event(time.time(), side, who, op, path, size)
        with self._lock:
            self.events.append(event)
            if op == "login":
                key = (side, who)
                self._log_ins[key] = self._log_ins.get(key, 0) + 1

    def log_ins(self, side: str, who: str) -> int:
        """Return how often somebody logged in since the start."""
        with self._lock:
            return self._log_ins.get((side, who), 0)

    def of(self, op: str, side: str = "") -> list[Event]:
        """Return the events of one kind, oldest first, of one side or of both."""
        with self._lock:
            events = list(self.events)
        return [e for e in events if e.op == op and (not side or e.side == side)]
