"""Make .venv and install a lock file into it. Standard library only."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from dropstream.local.progress import elapsed_s, say

VENV = Path(".venv")
# A lock file and those that hold all of it too.
_CONTAINED_IN = {
    "requirements-local.txt": ("requirements-local.txt", "requirements-dev.txt"),
    "requirements-dev.txt": ("requirements-dev.txt",),
}

NO_PIP = """\
This Python can make no environment: it has neither ensurepip nor pip.
On Debian or Ubuntu: apt-get install -y python3-venv"""
PIP_FAILED = """\
Packages could not be installed; the last lines of pip are above (all: {log}).
They come from pypi.org: check the network, or set HTTPS_PROXY, or name a mirror
with PIP_INDEX_URL. Then run the same command again: nothing is left half-done."""


class InstallFailed(Exception):
    """The environment could not be made; the text says what to do."""


def ensure_environment(lock: str) -> str:
    """Return the Python of a .venv that holds `lock`. Raises InstallFailed.

    Warm starts only compare a checksum.
    """
    elapsed_s()
    with _one_at_a_time():
        python = VENV / "bin" / "python"
        fresh = not _works(python)
        if fresh:
            say("making .venv")
            _make_venv()
        if fresh or not _is_installed(lock):
            say(f"installing {lock} (once; a few seconds to a minute)")
            _install(python, lock)
            say("packages installed")
    return str(python.absolute())


@contextlib.contextmanager
def _one_at_a_time() -> Iterator[None]:
    """Two commands typed at once install one after the other."""
    folder = os.open(".", os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def _works(python: Path) -> bool:
    """Tell whether .venv's Python starts and is of this version."""
    if not python.exists():
        return False
    version = "import sys; print(*sys.version_info[:2])"
    try:
        found = subprocess.run(
            [str(python), "-c", version], capture_output=True, text=True, check=False
        )
    except OSError:
        return False
    return found.stdout.split() == [str(part) for part in sys.version_info[:2]]


def _make_venv() -> None:
    with_pip = importlib.util.find_spec("ensurepip") is not None
    if not with_pip and importlib.util.find_spec("pip") is None:
        raise InstallFailed(NO_PIP)
    command = [sys.executable, "-m", "venv", "--clear", str(VENV)]
    if not with_pip:
        command.insert(3, "--without-pip")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise InstallFailed(f"{done.stdout}{done.stderr}\n{NO_PIP}")


def _pip(python: Path) -> list[str]:
    """Return the venv's own pip, or the outer one pointed at the venv."""
    if any(VENV.glob("lib/python*/site-packages/pip/__main__.py")):
        return [str(python), "-m", "pip"]
    if importlib.util.find_spec("pip") is None:
        raise InstallFailed(NO_PIP)
    return [sys.executable, "-m", "pip", "--python", str(python)]


def _install(python: Path, lock: str) -> None:
    for stamp in VENV.glob("stamp-*"):
        stamp.unlink()
    command = [
        *_pip(python),
        *("install", "--disable-pip-version-check", "--no-input", "--quiet"),
        *("--require-hashes", "-r", lock),
    ]
    log = VENV / "pip.log"
    with log.open("wb") as out:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            check=False,
        )
    if done.returncode:
        lines = log.read_text(errors="replace").splitlines()
        print("\n".join(lines[-15:]), file=sys.stderr)
        raise InstallFailed(PIP_FAILED.format(log=log))
    _stamp(lock).write_text(_checksum(lock))


def _stamp(lock: str) -> Path:
    return VENV / f"stamp-{lock}"


def _checksum(lock: str) -> str:
    return hashlib.sha256(Path(lock).read_bytes()).hexdigest()


def _is_installed(lock: str) -> bool:
    for name in _CONTAINED_IN[lock]:
        with contextlib.suppress(OSError):
            if _stamp(name).read_text() == _checksum(name):
                return True
    return False
