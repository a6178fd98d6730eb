"""Child processes that never outlive us."""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

_PR_SET_PDEATHSIG = 1


def dies_with_parent(sig: int = signal.SIGTERM) -> Callable[[], None]:
    """Return a preexec_fn: the child gets `sig` when the thread that spawned it ends.

    Linux only; elsewhere the leftover check of the next start does the work. Spawn
    from the main thread, or the child ends with its thread.
    """
    parent = os.getpid()
    libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None

    def in_child() -> None:
        if libc is None:
            return
        libc.prctl(_PR_SET_PDEATHSIG, sig, 0, 0, 0)
        if os.getppid() != parent:  # it died before prctl could watch it
            os._exit(1)

    return in_child


def command_line(pid: int) -> str:
    """Return the arguments of a process, "" when it is gone or a zombie."""
    proc = Path(f"/proc/{pid}/cmdline")
    if proc.parent.parent.joinpath("self").exists():
        try:
            return proc.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            return ""
    if not shutil.which("ps"):
        return ""
    shown = subprocess.run(
        ["ps", "-o", "args=", "-p", str(pid)],
        capture_output=True,
        text=True,
        check=False,
    )
    return shown.stdout.strip()
