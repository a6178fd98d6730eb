"""What mypy's Django plugin loads: the settings without any server."""

# ruff: noqa: F403  the environment must be set before the import
from __future__ import annotations

import os

os.environ.update(
    SECRET_KEY="for-types-only",
    SEALING_KEYS="k1:MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=",
    PUBLIC_URL="http://127.0.0.1:8000",
    DATABASE_URL="postgresql://nobody@/nothing",
    REDIS_URL="redis://127.0.0.1:1/0",
)

from dropstream.settings import *
