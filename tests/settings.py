"""The real settings on throw-away servers (pytest-django loads this first)."""

# ruff: noqa: E402, F403, F405  the environment must be set before the import
from __future__ import annotations

import os

from dropstream.local.throwaway import start_throwaway_servers

start_throwaway_servers()
_worker = os.environ.get("PYTEST_XDIST_WORKER", "")
if _worker and "DROPSTREAM_TEST_VALKEY" in os.environ:
    # One database a worker: nobody takes another's messages or cache.
    _number = int(_worker.removeprefix("gw")) % 15 + 1
    os.environ["REDIS_URL"] = os.environ["DROPSTREAM_TEST_VALKEY"].replace(
        "?db=0", f"?db={_number}"
    )
os.environ.update(
    SECRET_KEY="for-tests-only",
    SEALING_KEYS="k1:MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=",
    PUBLIC_URL="http://127.0.0.1:8000",
    DEBUG="off",
)

from dropstream.settings import *

ALLOWED_HOSTS = ["127.0.0.1", "localhost", "testserver"]
DATABASES["default"].update(
    ENGINE="tests.postgresql_backend",
    # A live server's thread would keep the test database busy after the test.
    CONN_MAX_AGE=0,
    CONN_HEALTH_CHECKS=False,
)
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
STORAGES = {
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
