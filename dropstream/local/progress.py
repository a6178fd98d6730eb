"""A line a step, with the time since the command was typed."""

from __future__ import annotations

import os
import time

_STARTED = "DROPSTREAM_STARTED_AT"


def elapsed_s() -> float:
    """Return the seconds since the first call, across the step into .venv."""
    now = time.time()
    return now - float(os.environ.setdefault(_STARTED, str(now)))


def say(text: str) -> None:
    """Print one step."""
    print(f"[{elapsed_s():5.1f} s] {text}", flush=True)
