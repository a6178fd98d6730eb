#!/usr/bin/env python3
"""Everything on one machine: the product, its tests, its checks. See --help.

Standard library only: it makes .venv, installs into it and goes on in there.
"""

from __future__ import annotations

import os
import sys

# Old Pythons must be able to read this file as far as the sentence that refuses them:
# nothing newer than 3.7 here.

USAGE = """\
python3 run.py                 the product with demo data and sandbox; Ctrl-C stops it
python3 run.py test [ARGS]     the tests (ARGS go to pytest)
python3 run.py check [NAMES]   all that CI checks, or some of it
python3 run.py bench [NAMES]   the measures; --json for one object a line
python3 run.py soak            everything is broken at random, then judged; see --help
python3 run.py demo --once     the main job once, without a browser; exits 0 or 1
python3 run.py manage ARGS     Django's manage.py
"""
# verb -> the lock file with what it needs
LOCKS = {
    "run": "requirements-local.txt",
    "demo": "requirements-local.txt",
    "manage": "requirements-local.txt",
    "test": "requirements-dev.txt",
    "check": "requirements-dev.txt",
    "bench": "requirements-dev.txt",
    "soak": "requirements-dev.txt",
}


def refuse_machine() -> str | None:
    """Say in one sentence why this machine cannot run it, or return None."""
    if os.name != "posix":
        return "Linux or macOS is needed; on Windows use WSL or docker compose."
    if not (3, 11) <= sys.version_info[:2] <= (3, 13):
        return f"Python 3.11, 3.12 or 3.13 is needed; this is {sys.version.split()[0]}."
    return None


def main(arguments: list[str]) -> int:
    """Install what the verb needs, then become the verb."""
    reason = refuse_machine()
    if reason:
        print(reason, file=sys.stderr)
        return 2
    verb, rest = (arguments[0], arguments[1:]) if arguments else ("run", [])
    if verb in ("-h", "--help", "help"):
        print(USAGE, end="")
        return 0
    if verb not in LOCKS:
        print(f"Unknown: {verb}\n\n{USAGE}", end="", file=sys.stderr)
        return 2
    os.chdir(os.path.dirname(os.path.abspath(__file__)))

    from dropstream.local.install import InstallFailed, ensure_environment

    try:
        python = ensure_environment(LOCKS[verb])
    except InstallFailed as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    os.execv(python, [python, "-m", "dropstream.local", verb, *rest])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
