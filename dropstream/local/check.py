"""The one list of all that CI checks. Laptop and CI run the same."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

_TOOLS = Path(sys.executable).parent
# What became of each test, for the check that names tests.
_REPORT = ".state/tests.xml"

# Enough of a production for Django's deployment checks; nothing is dialled.
_PRODUCTION = {
    "DJANGO_SETTINGS_MODULE": "dropstream.settings",
    "SECRET_KEY": secrets.token_urlsafe(64),
    "SEALING_KEYS": "k1:MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=",
    "PUBLIC_URL": "https://dropstream.example",
    "ALLOWED_HOSTS": "dropstream.example",
    "DATABASE_URL": "postgresql://nobody@/nothing",
    "REDIS_URL": "redis://127.0.0.1:1/0",
}
# What a laptop may have set and a production must not.
_NOT_IN_PRODUCTION = (
    *("DEBUG", "OUTBOUND_HOSTS", "SANDBOX_URL", "DEMO_CLOCK_SPEED"),
    *("INVENTORY_PLANNER_API_URL", "ADMIN_SECOND_FACTOR"),
)
# Short, and the same every time; longer ones with other seeds are for people to start.
_SOAK = ("--stores", "8", "--minutes", "1.5", "--seed", "7")


@dataclass(frozen=True)
class Check:
    """One command; loud ones print while they run, the others only when they fail.

    One that mostly waits runs beside those after it.
    """

    name: str
    command: list[str]
    in_production: bool = False
    loud: bool = False
    waits: bool = False
    environment: dict[str, str] = field(default_factory=dict)


def _tool(name: str, *arguments: str) -> list[str]:
    return [str(_TOOLS / name), *arguments]


def _python(*arguments: str) -> list[str]:
    return [sys.executable, *arguments]


def _templates() -> list[str]:
    return sorted(str(path) for path in Path("templates").rglob("*.html"))


def all_checks() -> list[Check]:
    """Return the list, fast ones first."""
    deploy = ("check", "--deploy", "--fail-level", "WARNING")
    compose = ("--builtin-schema", "vendor.compose-spec", "docker-compose.yml")
    checks = [
        Check("ruff", _tool("ruff", "check", ".")),
        Check("format", _tool("ruff", "format", "--check", "--quiet", ".")),
        Check("types", _tool("mypy")),
        Check("layers", _tool("lint-imports")),
        Check("compose", _tool("check-jsonschema", *compose)),
        Check(
            "migrations",
            _python("-W", "ignore", "manage.py", "makemigrations", "--check"),
            in_production=True,
        ),
        Check("deploy", _python("manage.py", *deploy), in_production=True),
    ]
    if templates := _templates():
        djade = ("--check", "--target-version", "5.2", *templates)
        checks += [
            Check("djlint", _tool("djlint", "--lint", "--quiet", "templates")),
            Check("djade", _tool("djade", *djade)),
        ]
    return [
        *checks,
        Check("demo", _python("run.py", "demo", "--once"), waits=True),
        Check(
            "test",
            _python("run.py", "test"),
            loud=True,
            environment={"PYTEST_ADDOPTS": f"--junitxml={_REPORT}"},
        ),
        Check("reliability", _python("-m", "tests.reliability", "--report", _REPORT)),
        Check("soak", _python("run.py", "soak", *_SOAK), loud=True),
    ]


def _environment(check: Check) -> dict[str, str]:
    env = dict(os.environ)
    if check.in_production:
        env = {k: v for k, v in env.items() if k not in _NOT_IN_PRODUCTION}
        env |= _PRODUCTION
    # Each command tells its own time.
    env.pop("DROPSTREAM_STARTED_AT", None)
    return env | check.environment


def _run(check: Check) -> bool:
    done = subprocess.run(
        check.command,
        env=_environment(check),
        stdin=subprocess.DEVNULL,
        stdout=None if check.loud else subprocess.PIPE,
        stderr=None if check.loud else subprocess.STDOUT,
        check=False,
    )
    if done.returncode and done.stdout:
        print(done.stdout.decode(errors="replace"), flush=True)
    return done.returncode == 0


def _judge(check: Check, run: Callable[[Check], bool]) -> bool:
    """Run it and print its line."""
    before = time.monotonic()
    if check.loud:
        print(f"       {check.name} …", flush=True)
    passed = run(check)
    word = "ok    " if passed else "FAILED"
    print(f"{word} {check.name} ({time.monotonic() - before:.1f} s)", flush=True)
    return passed


def run_checks(names: list[str], run: Callable[[Check], bool] = _run) -> int:
    """Run all checks, or those named; print a line each. Exit code 1 if any failed."""
    checks = all_checks()
    known = [check.name for check in checks]
    if unknown := sorted(set(names) - set(known)):
        print(f"unknown: {' '.join(unknown)}; known: {' '.join(known)}")
        return 2
    wanted = [check for check in checks if not names or check.name in names]
    started = time.monotonic()
    with ThreadPoolExecutor() as beside:
        waiting = {
            check.name: beside.submit(_judge, check, run)
            for check in wanted
            if check.waits
        }
        passed = {
            check.name: _judge(check, run) for check in wanted if not check.waits
        } | {name: judged.result() for name, judged in waiting.items()}
    failed = [check.name for check in wanted if not passed[check.name]]
    verdict = f"failed: {' '.join(failed)}" if failed else "all checks passed"
    print(f"\n{verdict} ({time.monotonic() - started:.0f} s)", flush=True)
    return 1 if failed else 0
