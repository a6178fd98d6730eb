"""Servers for one test run: fast, empty, gone afterwards."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from pathlib import Path

from dropstream.local.servers import Postgres, Valkey

_PREFIX = "ds-test-"


def remove_abandoned_folders() -> None:
    """Remove what killed runs left; a folder's name holds the pid of its run."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*-*"):
        pid = folder.name.removeprefix(_PREFIX).partition("-")[0]
        if not pid.isdigit():
            continue
        try:
            if folder.lstat().st_uid == os.geteuid():
                os.kill(int(pid), 0)
        except ProcessLookupError:
            shutil.rmtree(folder, ignore_errors=True)
        except (PermissionError, FileNotFoundError):
            continue  # somebody else's, or gone with its own run meanwhile


def start_throwaway_servers() -> None:
    """Set DATABASE_URL and REDIS_URL where unset, to servers that end with us.

    Child processes (xdist workers) inherit the variables and start nothing.
    """
    if "DATABASE_URL" in os.environ and "REDIS_URL" in os.environ:
        return
    remove_abandoned_folders()
    root = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-"))
    # As root PostgreSQL runs as nobody, who must be able to pass through.
    root.chmod(0o711 if os.geteuid() == 0 else 0o700)
    servers: list[Postgres | Valkey] = []
    starter = os.getpid()

    def stop() -> None:
        if os.getpid() != starter:
            return
        for server in reversed(servers):
            server.stop()
            server.remove()

    atexit.register(stop)
    if "DATABASE_URL" not in os.environ:
        postgres = Postgres(root, volatile=True)
        servers.append(postgres)
        os.environ["DATABASE_URL"] = postgres.start().owner
    if "REDIS_URL" not in os.environ:
        valkey = Valkey(root, volatile=True)
        servers.append(valkey)
        os.environ["REDIS_URL"] = valkey.start()
        os.environ["DROPSTREAM_TEST_VALKEY"] = os.environ["REDIS_URL"]
