"""The product's Celery application with fail-points armed: `celery -A tests.lab.worker`."""

from __future__ import annotations

import os

from dropstream.celery import app
from tests.lab import failpoints

if "VISIBILITY_TIMEOUT" in os.environ:
    # Lower than a task lasts, as a careless setting would be (Q1).
    app.conf.broker_transport_options |= {
        "visibility_timeout": float(os.environ["VISIBILITY_TIMEOUT"]),
        "unacked_restore_interval": 1,
    }
failpoints.arm(os.environ.get(failpoints.VARIABLE, ""))

__all__ = ["app"]
