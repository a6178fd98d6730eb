"""The product's Celery application with fail-points armed: `celery -A tests.lab.worker`."""

from __future__ import annotations

import os

from dropstream.celery import app
from tests.lab import failpoints

failpoints.arm(os.environ.get(failpoints.VARIABLE, ""))

__all__ = ["app"]
