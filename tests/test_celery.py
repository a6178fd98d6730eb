"""The worker's process, as Celery's own signals set it up."""

from __future__ import annotations

import subprocess
import sys

from dropstream.celery import OBJECTS_BETWEEN_SEARCHES

AS_A_WORKER = """
import gc
from celery.signals import worker_init
from dropstream.celery import app
worker_init.send(sender=app)
print(gc.get_threshold()[0])
"""


def test_a_worker_searches_for_cycles_seldom() -> None:
    done = subprocess.run(
        [sys.executable, "-c", AS_A_WORKER], check=True, capture_output=True, text=True
    )
    assert int(done.stdout) == OBJECTS_BETWEEN_SEARCHES
