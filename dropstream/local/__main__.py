"""The verbs of run.py, inside .venv."""

from __future__ import annotations

import os
import sys


def _become(*command: str) -> int:
    os.execv(sys.executable, [sys.executable, *command])


def main(verb: str, arguments: list[str]) -> int:
    """Run one verb; return the exit code."""
    if verb == "run":
        from dropstream.local.supervisor import run_product

        return run_product()
    if verb == "demo":
        from dropstream.local.demo import run_once

        return run_once(arguments)
    if verb == "check":
        from dropstream.local.check import run_checks

        return run_checks(arguments)
    if verb == "test":
        return _become("-m", "pytest", *arguments)
    if verb == "bench":
        return _become("-m", "tests.bench", *arguments)
    if verb == "soak":
        return _become("-m", "tests.soak", *arguments)
    if verb == "manage":
        return _become("manage.py", *arguments)
    raise SystemExit(f"Unknown: {verb}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
