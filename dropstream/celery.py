"""The Celery application: the bell, never the queue (reliability.md P1)."""

from __future__ import annotations

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "dropstream.settings")

app = Celery("dropstream")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.set_default()
app.autodiscover_tasks(["connections"])
