"""The Celery application of workers that have a bug planted (SOAK_PLANT names it)."""

from __future__ import annotations

import os

import django

from dropstream.celery import app

django.setup()

from tests.soak import plants  # noqa: E402  models: not before Django is set up

plants.PLANTS[os.environ["SOAK_PLANT"]]()

__all__ = ["app"]
