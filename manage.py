#!/usr/bin/env python3
"""Django's command line. Finds a running `python3 run.py` by its .state/env."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def load_state() -> None:
    """Take the variables of the local start when none are set (run.py writes them)."""
    state = Path(os.environ.get("DROPSTREAM_STATE", Path(__file__).parent / ".state"))
    if "DATABASE_URL" in os.environ or not (state / "env").is_file():
        return
    for line in (state / "env").read_text(encoding="utf-8").splitlines():
        name, _, value = line.partition("=")
        os.environ.setdefault(name, value)


if __name__ == "__main__":
    load_state()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "dropstream.settings")
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)
