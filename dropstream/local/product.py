"""What the local start sets for the product, and the commands it runs."""

from __future__ import annotations

import json
import os
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from dropstream.local.state import State

# Values that a demo wants; the environment's own win.
DEMO_DEFAULTS = {
    "ADMIN_SECOND_FACTOR": "off",
    "TICK_SECONDS": "2",
    "DEMO_CLOCK_SPEED": "240",
    "RETRY_BASE_SECONDS": "2",
    "RETRY_CAP_SECONDS": "15",
    "BREAKER_PROBE_SECONDS": "10",
    "REFUSED_PROBE_SECONDS": "10,20,60",
}
# What manage.py in another terminal needs, in this order.
ENV_NAMES = (
    "DATABASE_URL",
    "REDIS_URL",
    "SECRET_KEY",
    "SEALING_KEYS",
    "PUBLIC_URL",
    "ALLOWED_HOSTS",
    "INVENTORY_PLANNER_API_URL",
    "OUTBOUND_HOSTS",
    "SANDBOX_URL",
    "STATIC_ROOT",
    "ADMIN_SECOND_FACTOR",
    "TICK_SECONDS",
    "DEMO_CLOCK_SPEED",
    "RETRY_BASE_SECONDS",
    "RETRY_CAP_SECONDS",
    "BREAKER_PROBE_SECONDS",
    "REFUSED_PROBE_SECONDS",
)


class StartFailed(Exception):
    """The product cannot be started; the text says why and where to look."""


def has_own_planner() -> bool:
    """Tell whether an outside Inventory Planner is to be used: no sandbox of it."""
    return bool(os.environ.get("INVENTORY_PLANNER_API_URL", "").strip())


def merge_hosts(sandbox: str, own: str) -> str:
    """Join two `name=address:port,…` maps; `own` names win."""
    entries: dict[str, str] = {}
    for entry in f"{sandbox},{own}".split(","):
        name, found, address = entry.strip().partition("=")
        if found:
            entries[name.strip().lower()] = address.strip()
    return ",".join(f"{name}={address}" for name, address in entries.items())


def product_environment(
    state: State,
    *,
    servers: Mapping[str, str],
    facts: Mapping[str, Any],
    port: int,
) -> dict[str, str]:
    """Return all variables of the product's processes."""
    address = f"http://127.0.0.1:{port}"
    env = DEMO_DEFAULTS | {"PUBLIC_URL": address} | state.secrets() | dict(os.environ)
    env |= servers
    env["DJANGO_SETTINGS_MODULE"] = "dropstream.settings"
    env["PYTHONUNBUFFERED"] = "1"
    own_names = os.environ.get("ALLOWED_HOSTS", "")
    env["ALLOWED_HOSTS"] = f"127.0.0.1,localhost,{own_names}".strip(",")
    env["STATIC_ROOT"] = str(state.folder / "static")
    env["SANDBOX_URL"] = str(facts.get("url", ""))
    if not has_own_planner():
        env["INVENTORY_PLANNER_API_URL"] = str(facts.get("api_url", ""))
    env["OUTBOUND_HOSTS"] = merge_hosts(
        str(facts.get("outbound_hosts", "")), os.environ.get("OUTBOUND_HOSTS", "")
    )
    return env


def sandbox_command(state: State, port: int) -> list[str]:
    """Return the command of the far sides' stand-ins."""
    command = [
        *(sys.executable, "-m", "dropstream.sandbox"),
        *("--state", str(state.folder / "sandbox"), "--http-port", str(port)),
    ]
    return [*command, "--no-ip"] if has_own_planner() else command


def web_command(port: int) -> list[str]:
    """One process, eight threads: a laptop's worth."""
    return [
        *(sys.executable, "-m", "gunicorn", "dropstream.wsgi"),
        *("--bind", f"127.0.0.1:{port}", "--worker-class", "gthread"),
        *("--workers", "1", "--threads", "8", "--graceful-timeout", "5"),
        *("--no-control-socket",),
    ]


def worker_command() -> list[str]:
    """Threads: far sides are waited for, not computed (design §3)."""
    return [
        *(sys.executable, "-m", "celery", "-A", "dropstream", "worker"),
        *("-Q", "runs,checks,ticks", "-P", "threads", "-c", "8", "-l", "INFO"),
        *("--without-gossip", "--without-mingle"),
    ]


def beat_command(state: State) -> list[str]:
    """The one tick; its schedule file stays out of the project."""
    return [
        *(sys.executable, "-m", "celery", "-A", "dropstream", "beat"),
        *("--schedule", str(state.folder / "beat-schedule")),
    ]


def wait_for(what: str, ready: Callable[[], bool], *, timeout_s: float) -> None:
    """Poll until `ready`; raises StartFailed after the timeout."""
    end = time.monotonic() + timeout_s
    while not ready():
        if time.monotonic() > end:
            raise StartFailed(f"{what} was not ready after {timeout_s:.0f} s.")
        time.sleep(0.05)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        return None


# Loopback addresses: an HTTP_PROXY of the environment must not be asked.
_loopback = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirect())


def answers(url: str) -> bool:
    """Tell whether a page is served; a redirect is an answer, an error page is not."""
    try:
        with _loopback.open(url, timeout=5):
            return True
    except urllib.error.HTTPError as error:
        return error.code < 500
    except OSError:
        return False


def read_json(url: str) -> dict[str, Any]:
    """Fetch a small JSON object, {} when it is not there yet."""
    try:
        with _loopback.open(url, timeout=2) as answer:
            found = json.load(answer)
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def tail(log: Path, lines: int = 20) -> str:
    """Return a log's end, to be shown to the person at the terminal."""
    if not log.is_file():
        return ""
    with log.open("rb") as source:
        source.seek(max(0, log.stat().st_size - 20_000))
        text = source.read().decode(errors="replace")
    return "\n".join(text.splitlines()[-lines:])
