"""The folder of one local start: lock, secrets, logs, and what manage.py needs."""

from __future__ import annotations

import base64
import fcntl
import os
import secrets
from collections.abc import Mapping
from pathlib import Path

LOG_LIMIT_BYTES = 5_000_000


class AlreadyRunning(Exception):
    """Another start holds the folder; the text is its address, if it is up."""


def state_folder() -> Path:
    """Return $DROPSTREAM_STATE or .state in the project."""
    return Path(os.environ.get("DROPSTREAM_STATE") or ".state").resolve()


def parse_lines(text: str) -> dict[str, str]:
    """Read NAME=value lines."""
    pairs = (line.partition("=") for line in text.splitlines() if "=" in line)
    return {name: value for name, _, value in pairs}


def write_private(path: Path, text: str) -> None:
    """Replace a file at once, readable by us alone."""
    new = path.with_name(f"{path.name}.new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as f:
        f.write(text)
    new.replace(path)


class State:
    """One state folder, held by one start at a time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.logs = folder / "logs"
        self.env_file = folder / "env"
        self.pids_file = folder / "pids"
        self._lock = -1

    def open(self) -> None:
        """Make the folder and take its lock. Raises AlreadyRunning."""
        self.folder.mkdir(parents=True, exist_ok=True)
        # As root, PostgreSQL runs as nobody: it may pass through, not look around.
        self.folder.chmod(0o711 if os.geteuid() == 0 else 0o700)
        self._lock = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            address = os.read(self._lock, 1000).decode()
            os.close(self._lock)
            raise AlreadyRunning(address) from None
        os.ftruncate(self._lock, 0)
        self.logs.mkdir(mode=0o700, exist_ok=True)

    def announce(self, address: str) -> None:
        """Tell a second start where the first one answers."""
        os.pwrite(self._lock, address.encode(), 0)

    def close(self) -> None:
        """Let the next start in."""
        os.close(self._lock)

    def secrets(self) -> dict[str, str]:
        """Return this folder's keys; made once, because stored secrets need them."""
        path = self.folder / "secrets.env"
        if not path.is_file():
            key = base64.b64encode(secrets.token_bytes(32)).decode()
            lines = f"SECRET_KEY={secrets.token_urlsafe(50)}\nSEALING_KEYS=k1:{key}\n"
            write_private(path, lines)
        return parse_lines(path.read_text())

    def write_env(self, values: Mapping[str, str]) -> None:
        """Let manage.py in another terminal find the running servers."""
        lines = (f"{name}={value}\n" for name, value in values.items())
        write_private(self.env_file, "".join(lines))

    def log(self, name: str) -> Path:
        """Return a log's path; a big one of earlier starts moves aside."""
        path = self.logs / f"{name}.log"
        if path.is_file() and path.stat().st_size > LOG_LIMIT_BYTES:
            path.replace(path.with_suffix(".log.1"))
        return path
