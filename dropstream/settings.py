"""Every setting, from the environment. `.env.example` is the table of names."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import environ
from django.core.exceptions import ImproperlyConfigured

from dropstream.env import (
    env_bool,
    env_list,
    env_number,
    env_number_if_set,
    env_numbers,
    env_secret,
    env_str,
)

BASE_DIR = Path(__file__).resolve().parent.parent

# --- The deployment
DEBUG = env_bool("DEBUG")
SECRET_KEY = env_secret("SECRET_KEY")
PUBLIC_URL = env_str("PUBLIC_URL", "http://127.0.0.1:8000").rstrip("/")
_public = urlsplit(PUBLIC_URL)
LOOPBACK_NAMES = {"127.0.0.1", "localhost", "::1"}
if _public.scheme != "https" and _public.hostname not in LOOPBACK_NAMES:
    raise ImproperlyConfigured("PUBLIC_URL must be https; http is for loopback only.")
SECURE = _public.scheme == "https"
ALLOWED_HOSTS = env_list("ALLOWED_HOSTS", _public.hostname or "")
CSRF_TRUSTED_ORIGINS = [PUBLIC_URL]

# --- Keys that seal secrets at rest: "id:base64,…", the first one seals. Never SECRET_KEY.
SEALING_KEYS = env_secret("SEALING_KEYS")

# --- The far sides. The guard (connections/wire/outbound.py) is given these as a policy.
INVENTORY_PLANNER_API_URL = env_str(
    "INVENTORY_PLANNER_API_URL", "https://app.inventory-planner.com/"
)
OUTBOUND_HOSTS = env_str("OUTBOUND_HOSTS", "")
OUTBOUND_PORTS = frozenset(int(port) for port in env_list("OUTBOUND_PORTS", "22,2222"))
SSH_KEY_TYPE = env_str("SSH_KEY_TYPE", "rsa")
# IP publishes no limit; clients throttle themselves to this (inventory-planner.md §2.7).
INVENTORY_PLANNER_REQUESTS_PER_S = env_number("INVENTORY_PLANNER_REQUESTS_PER_S", 1)
# A stock file is cut here; the limits of IP are not known (inventory-planner.md §4.4).
STOCK_FILE_ROWS = int(env_number("STOCK_FILE_ROWS", 500_000))
STOCK_FILE_BYTES = int(env_number("STOCK_FILE_BYTES", 50_000_000))
# Only run.py sets this, to link the stand-ins it started from the pages.
SANDBOX_URL = env_str("SANDBOX_URL", "")

# --- The clock of the engine
TICK_SECONDS = env_number("TICK_SECONDS", 15)
# A lease outlives a missed renewal or two and ends soon after its worker.
LEASE_SECONDS = env_number("LEASE_SECONDS", 60)
# A queued run whose bell got lost (Redis flushed) is rung again after this.
# With a tick it stays below the minute in which work goes on after Redis was restarted.
RING_AGAIN_SECONDS = env_number("RING_AGAIN_SECONDS", 30)
# Each worker writes a sign of life this often, while its consumer turns.
WORKER_HEARTBEAT_SECONDS = env_number("WORKER_HEARTBEAT_SECONDS", 15)
# Monitors and load balancers that ask /readyz every second cost one look in five.
READINESS_CACHED_SECONDS = 5
# A live channel whose job had no success for so many of its intervals raises an alert;
# looked for every so many seconds.
SILENT_INTERVALS = env_number("SILENT_INTERVALS", 3)
SILENCE_CHECK_SECONDS = env_number("SILENCE_CHECK_SECONDS", 180)
# Metrics are served to whoever shows it; unset: not at all.
METRICS_TOKEN = env_secret("METRICS_TOKEN", "")
# Runs rung for and not yet begun; as many as all workers begin within a second or two.
# Short, so that who comes later need not wait behind one who came with thousands.
BELL_WINDOW = env_number("BELL_WINDOW", 100)
# Tries after transient failures (reliability.md R2): 30 s doubling to an hour, ten times.
RETRY_BASE_SECONDS = env_number("RETRY_BASE_SECONDS", 30)
RETRY_CAP_SECONDS = env_number("RETRY_CAP_SECONDS", 3600)
RETRY_TRIES = env_number("RETRY_TRIES", 10)
# While the breaker is open (R3); and, one after another, while a person must act (D15).
BREAKER_PROBE_SECONDS = env_number("BREAKER_PROBE_SECONDS", 300)
REFUSED_PROBE_SECONDS = env_numbers("REFUSED_PROBE_SECONDS", "900,3600,21600")
# The demo lets the minutes of schedules pass faster; refused by check --deploy.
DEMO_CLOCK_SPEED = env_number("DEMO_CLOCK_SPEED", 1)

# --- Purchase orders
# One that is at the warehouse, and to which nothing happened for so many days past its
# due date, is Closed. Unset: none is; how long to wait is not known (dropstream.md §8.10).
CLOSE_ORDERS_AFTER_DAYS = env_number_if_set("CLOSE_ORDERS_AFTER_DAYS")

# --- How long rows are kept that are over (connections/retention.py)
KEEP_FILE_BYTES_DAYS = env_number("KEEP_FILE_BYTES_DAYS", 30)
KEEP_RUNS_DAYS = env_number("KEEP_RUNS_DAYS", 90)
KEEP_ACTIVITY_DAYS = env_number("KEEP_ACTIVITY_DAYS", 365)
KEEP_CHECKS_DAYS = env_number("KEEP_CHECKS_DAYS", 30)
KEEP_ALERTS_DAYS = env_number("KEEP_ALERTS_DAYS", 90)

INSTALLED_APPS = [
    "inventory_planner",
    "connections",
    "stores",
    "dropstream.apps.DropstreamConfig",
    "dropstream.apps.AdminConfig",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "formtools",
    "django_htmx",
    "csp",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.humanize",
    "django.forms",
    "django.contrib.staticfiles",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "stores.middleware.PersonMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
]

ROOT_URLCONF = "dropstream.urls"
WSGI_APPLICATION = "dropstream.wsgi.application"
FORM_RENDERER = "dropstream.forms.Renderer"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "dropstream.context.shell",
            ],
        },
    }
]

# --- Database: PostgreSQL only. The application connects with a plain role; migrations
# run with the owner's URL in DATABASE_URL (docs/operations.md).
_env = environ.Env()
DATABASES = {
    "default": {
        **_env.db_url_config(env_secret("DATABASE_URL")),
        "CONN_MAX_AGE": 60,
        "CONN_HEALTH_CHECKS": True,
        "ATOMIC_REQUESTS": False,
    }
}
_options = DATABASES["default"].setdefault("OPTIONS", {})
# A host that swallows packets must not hold a request, or a probe, for minutes.
_options.setdefault("connect_timeout", 5)
# A statement ends, a lock is given up, a worker that sleeps in a transaction loses its
# locks (reliability.md Q14). Streams of files set themselves free (COPY).
_timeouts = {
    "statement_timeout": env_number("DATABASE_STATEMENT_SECONDS", 300),
    "lock_timeout": env_number("DATABASE_LOCK_SECONDS", 15),
    "idle_in_transaction_session_timeout": env_number("DATABASE_IDLE_SECONDS", 60),
}
_options["options"] = " ".join(
    [
        *(f"-c {name}={seconds * 1000:.0f}" for name, seconds in _timeouts.items()),
        _options.get("options", ""),
    ]
).strip()
if DATABASES["default"]["ENGINE"] != "django.db.backends.postgresql":
    raise ImproperlyConfigured("DATABASE_URL must be a postgresql:// URL.")
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# --- Redis: the bell and the cache; nothing that may not be lost.
REDIS_URL = env_secret("REDIS_URL")
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": REDIS_URL,
    }
}


def _broker_url(url: str) -> str:
    """Celery spells a Redis socket differently from redis-py (stack.md §3)."""
    if url.startswith("unix://"):
        path, _, query = url.removeprefix("unix://").partition("?")
        return f"redis+socket://{path}?virtual_host={query.removeprefix('db=') or 0}"
    return url


# reliability.md §9, with the visibility of design.md §3: recovery is the lease's work.
CELERY_BROKER_URL = _broker_url(REDIS_URL)
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = False
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_TASK_TIME_LIMIT = 600
CELERY_TASK_SOFT_TIME_LIMIT = 540
CELERY_WORKER_SOFT_SHUTDOWN_TIMEOUT = 30
CELERY_WORKER_ENABLE_SOFT_SHUTDOWN_ON_IDLE = True
CELERY_WORKER_CANCEL_LONG_RUNNING_TASKS_ON_CONNECTION_LOSS = True
CELERY_WORKER_MAX_TASKS_PER_CHILD = 200
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "visibility_timeout": 7200,
    "unacked_restore_interval": 5,
    "unacked_restore_throttle": 1,
    "socket_timeout": 30,
    "socket_connect_timeout": 5,
    "socket_keepalive": True,
    "health_check_interval": 25,
}
CELERY_TASK_DEFAULT_QUEUE = "runs"
# Beside the runs, which may all be long uploads: people wait for checks, and everything
# waits for the tick. A worker of its own for the two keeps its threads free (Q17).
CELERY_TASK_ROUTES = {
    "connections.tasks.execute_check": {"queue": "checks"},
    "connections.tasks.tick": {"queue": "ticks"},
    "connections.tasks.prune": {"queue": "ticks"},
}
CELERY_BEAT_SCHEDULE = {
    # The one tick: finds due rows and rings the bell. A lost tick delays by one interval.
    "tick": {"task": "connections.tasks.tick", "schedule": TICK_SECONDS},
}
CELERY_TIMEZONE = "UTC"

# --- People
AUTH_USER_MODEL = "stores.User"
AUTHENTICATION_BACKENDS = [
    "django.contrib.auth.backends.ModelBackend",
    "allauth.account.auth_backends.AuthenticationBackend",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "/"
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*"]
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_LOGOUT_ON_PASSWORD_CHANGE = True
ACCOUNT_ADAPTER = "stores.adapters.AccountAdapter"
MFA_ADAPTER = "stores.adapters.MFAAdapter"
MFA_SUPPORTED_TYPES = ["totp", "recovery_codes"]
MFA_TRUST_ENABLED = True
MFA_TRUST_COOKIE_AGE = timedelta(days=30)
EMAIL_BACKEND = env_str(
    "EMAIL_BACKEND", "django.core.mail.backends.console.EmailBackend"
)
DEFAULT_FROM_EMAIL = env_str("DEFAULT_FROM_EMAIL", "DropStream <no-reply@localhost>")

# --- Browser
SESSION_COOKIE_NAME = "__Host-session" if SECURE else "session"
CSRF_COOKIE_NAME = "__Host-csrf" if SECURE else "csrf"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE
SESSION_COOKIE_AGE = 12 * 3600
SECURE_SSL_REDIRECT = SECURE
# Machines ask on the inside, before TLS.
SECURE_REDIRECT_EXEMPT = ["^healthz$", "^readyz$", "^metrics$"]
SECURE_HSTS_SECONDS = 31_536_000 if SECURE else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = SECURE
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
if env_bool("BEHIND_TLS_PROXY"):
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    # Who asks is the last of X-Forwarded-For, which the proxy adds. By its own address
    # everybody would be throttled as one person, and audited as one.
    ALLAUTH_TRUSTED_PROXY_COUNT = 1
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'none'"],
        "script-src": ["'self'"],
        "style-src": ["'self'"],
        "img-src": ["'self'", "data:"],
        "font-src": ["'self'"],
        "connect-src": ["'self'"],
        "form-action": ["'self'"],
        "frame-ancestors": ["'none'"],
        "base-uri": ["'none'"],
        "object-src": ["'none'"],
    }
}
# The largest form is an order that is edited: three or four fields a line, 5,000 lines.
DATA_UPLOAD_MAX_MEMORY_SIZE = 4 * 1024 * 1024
DATA_UPLOAD_MAX_NUMBER_FIELDS = 20_100
# No form takes a file, except those with a handler of their own: one streams it into the
# database (security.md B8; connections/views/stock_upload.py), one holds a small one in
# memory (listing_import.py).
FILE_UPLOAD_HANDLERS = ["django.core.files.uploadhandler.MemoryFileUploadHandler"]
FILE_UPLOAD_MAX_MEMORY_SIZE = 0
STOCK_UPLOAD_BYTES = 100 * 1024 * 1024
ADMIN_PATH = env_str("ADMIN_PATH", "admin").strip("/")
# The demo's log-ins are printed, and nobody there has an authenticator app at hand;
# refused by check --deploy.
ADMIN_SECOND_FACTOR = env_bool("ADMIN_SECOND_FACTOR", default=True)

# --- Language, time, files
LANGUAGE_CODE = "en"
USE_I18N = USE_TZ = True
TIME_ZONE = "UTC"
STATIC_URL = "/static/"
STATIC_ROOT = Path(env_str("STATIC_ROOT", str(BASE_DIR / ".state" / "static")))
STATICFILES_DIRS = [BASE_DIR / "static"]
STORAGES = {
    "staticfiles": {
        "BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"
    },
}

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "json": {"()": "dropstream.logs.JsonFormatter"},
    },
    "handlers": {
        "console": {"class": "logging.StreamHandler", "formatter": "json"},
    },
    "root": {"handlers": ["console"], "level": "INFO"},
    "loggers": {
        # Their DEBUG output carries payloads and handshakes (security.md M4).
        "paramiko": {"level": "WARNING"},
        "urllib3": {"level": "WARNING"},
        "requests": {"level": "WARNING"},
    },
}
