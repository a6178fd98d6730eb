"""What both SFTP servers share: log, scripted faults, orderly sessions, a listener."""

from __future__ import annotations

import asyncio
import hashlib
import inspect
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import asyncssh
from asyncssh.sftp import SFTPServerHandler
from asyncssh.stream import SSHReader, SSHServerStreamSession, SSHWriter

from dropstream.sandbox.journal import Journal
from dropstream.sandbox.state import Secrets, StateFolder

Fault = Callable[[str, str], Awaitable[None] | None]
"""Called with (operation, path) before each step. It may raise: an ``OSError`` or an
``asyncssh.SFTPError`` is answered as such, ``DropConnection`` cuts the line. The
operations ``wrote``, ``closed`` and ``renamed`` come after the step took effect."""

SFTP_VERSION = 3
LOGIN_TIMEOUT_S = 60


class DropConnection(Exception):
    """Raised by a fault to cut the connection without a reply."""


class Files(asyncssh.SFTPServer):
    """A chrooted folder whose every step is logged and can be made to fail.

    Steps of one session run one after the other, so that a slow fault keeps the order.
    """

    def __init__(
        self, chan: Any, folder: Path, who: str, side: SshSide, cut_off: bool = False
    ) -> None:
        super().__init__(chan, chroot=str(folder).encode())
        self.who = who
        self.side = side
        self.cut_off = cut_off
        self.turn = asyncio.Lock()

    async def step(self, op: str, path: bytes | str, size: int = 0) -> None:
        """Log one step and let the scripted faults have their say.

        What was on its way when the line was cut is not done any more.
        """
        if self.cut_off:
            raise asyncssh.SFTPConnectionLost("connection dropped")
        shown = path.decode("utf-8", "replace") if isinstance(path, bytes) else path
        self.side.journal.add(self.side.name, self.who, op, shown, size)
        for fault in list(self.side.faults):
            try:
                waiting = fault(op, shown)
                if inspect.isawaitable(waiting):
                    await waiting
            except DropConnection:
                self.cut_off = True
                self.connection.abort()
                raise asyncssh.SFTPConnectionLost("connection dropped") from None

    def appeared(self, path: bytes, file: Path) -> None:
        """Log that a file can be seen under a name from now on, and its content."""
        with file.open("rb") as content:
            digest = hashlib.file_digest(content, "sha256").hexdigest()
        shown = path.decode("utf-8", "replace")
        size = file.stat().st_size
        self.side.journal.add(self.side.name, self.who, "appeared", shown, size, digest)

    def shown_path(self, file: object) -> bytes:
        """Return the path of an open file as its client knows it."""
        return self.reverse_map_path(bytes(getattr(file, "name", b"")))

    async def open(self, path: bytes, pflags: int, attrs: asyncssh.SFTPAttrs) -> object:
        async with self.turn:
            writing = pflags & (asyncssh.FXF_WRITE | asyncssh.FXF_APPEND)
            await self.step("open_write" if writing else "open_read", path)
            return super().open(path, pflags, attrs)

    async def read(self, file_obj: object, offset: int, size: int) -> bytes:
        async with self.turn:
            await self.step("read", self.shown_path(file_obj), size)
            data = super().read(file_obj, offset, size)
            return await data if inspect.isawaitable(data) else data

    async def write(self, file_obj: object, offset: int, data: bytes) -> int:
        async with self.turn:
            path = self.shown_path(file_obj)
            await self.step("write", path, len(data))
            count = super().write(file_obj, offset, data)
            await self.step("wrote", path, len(data))
            return await count if inspect.isawaitable(count) else count

    async def close(self, file_obj: object) -> None:
        async with self.turn:
            path = self.shown_path(file_obj)
            if not self.cut_off:
                await self.step("close", path)
            super().close(file_obj)
            if not self.cut_off:
                await self.step("closed", path)

    async def stat(self, path: bytes) -> Any:
        await self.step("stat", path)
        return super().stat(path)

    async def lstat(self, path: bytes) -> Any:
        await self.step("stat", path)
        return super().lstat(path)

    async def scandir(self, path: bytes) -> AsyncIterator[asyncssh.SFTPName]:
        await self.step("list", path)
        async for name in super().scandir(path):
            yield name

    async def remove(self, path: bytes) -> None:
        async with self.turn:
            await self.step("remove", path)
            super().remove(path)

    async def rename(self, oldpath: bytes, newpath: bytes) -> None:
        async with self.turn:
            await self.step("rename", newpath)
            super().rename(oldpath, newpath)
            self._moved(newpath)
            await self.step("renamed", newpath)

    async def posix_rename(self, oldpath: bytes, newpath: bytes) -> None:
        async with self.turn:
            await self.step("rename", newpath)
            super().posix_rename(oldpath, newpath)
            self._moved(newpath)
            await self.step("renamed", newpath)

    def _moved(self, path: bytes) -> None:
        real = Path(os.fsdecode(self.map_path(path)))
        if real.is_file():
            self.appeared(path, real)

    async def mkdir(self, path: bytes, attrs: asyncssh.SFTPAttrs) -> None:
        await self.step("mkdir", path)
        super().mkdir(path, attrs)

    def symlink(self, oldpath: bytes, newpath: bytes) -> None:
        raise asyncssh.SFTPOpUnsupported("links are not supported")

    def link(self, oldpath: bytes, newpath: bytes) -> None:
        raise asyncssh.SFTPOpUnsupported("links are not supported")


class Handler(SFTPServerHandler):
    """Tells the files when a session ends with handles still open."""

    async def _cleanup(self, exc: Exception | None) -> None:
        if isinstance(self._server, Files):
            self._server.cut_off = True
        await super()._cleanup(exc)


class PlainHandler(Handler):
    """A server without OpenSSH's extensions: no posix-rename, no limits, no fsync."""

    _extensions: list[tuple[bytes, bytes]] = []


class Session(SSHServerStreamSession[bytes]):
    """A channel that speaks SFTP and nothing else: no shell, no command, no scp."""

    def __init__(
        self, files: Callable[[Any], Files], handler: type[SFTPServerHandler]
    ) -> None:
        super().__init__(None)
        self._files = files
        self._handler = handler

    def subsystem_requested(self, subsystem: str) -> bool:
        return subsystem == "sftp"

    def session_started(self) -> None:
        chan: Any = self._chan
        chan.set_encoding(None)
        self._encoding = None
        reader = SSHReader[bytes](self, chan)
        writer = SSHWriter[bytes](self, chan)
        handler = self._handler(self._files(chan), reader, writer, SFTP_VERSION)
        chan.get_connection().create_task(handler.run())


class Visitor(asyncssh.SSHServer):
    """One connection, known to its side so that it can be cut."""

    def __init__(self, side: SshSide) -> None:
        self._open = side.connections
        self._connection: asyncssh.SSHServerConnection | None = None

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._connection = conn
        self._open.add(conn)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._connection is not None:
            self._open.discard(self._connection)


class SshSide:
    """One SSH listener on loopback, with its host key, log and scripted faults."""

    def __init__(
        self, name: str, state: StateFolder, secrets: Secrets, journal: Journal
    ) -> None:
        self.name = name
        self.state = state
        self.secrets = secrets
        self.journal = journal
        self.faults: list[Fault] = []
        self.connections: set[asyncssh.SSHServerConnection] = set()
        self.port = 0
        self._listener: asyncssh.SSHAcceptor | None = None

    def connection(self) -> Visitor:
        """Return the server object of one new connection."""
        raise NotImplementedError

    async def refuses(self, username: str) -> bool:
        """Say whether a scripted fault refuses this log-in."""
        try:
            for fault in list(self.faults):
                waiting = fault("login", username)
                if inspect.isawaitable(waiting):
                    await waiting
        except (OSError, asyncssh.Error):
            return True
        return False

    async def listen(self) -> None:
        """Open the port of last time, or any free one when that is taken.

        Raises OSError when no port can be opened at all.
        """
        wanted = self.port or self.secrets.port(self.name)
        try:
            self._listener = await self._open(wanted)
        except OSError:
            if not wanted or self.port:
                raise
            self._listener = await self._open(0)
        self.port = self._listener.get_port()
        self.secrets.keep_port(self.name, self.port)

    async def _open(self, port: int) -> asyncssh.SSHAcceptor:
        return await asyncssh.listen(
            "127.0.0.1",
            port,
            server_factory=self.connection,
            server_host_keys=[self.state.host_key(self.name)],
            encoding=None,
            allow_scp=False,
            allow_pty=False,
            agent_forwarding=False,
            kbdint_auth=False,
            host_based_auth=False,
            gss_host=None,
            login_timeout=LOGIN_TIMEOUT_S,
            reuse_address=True,
        )

    def fingerprint(self) -> str:
        """Return the host key's type and fingerprint, as whoever runs it tells it."""
        key = self.state.host_key(self.name)
        return f"{key.get_algorithm()} {key.get_fingerprint()}"

    async def rotate_host_key(self) -> None:
        """Come back on the same port with another host key."""
        self.state.new_host_key(self.name)
        await self.close()
        await self.listen()

    async def close(self) -> None:
        """Stop listening and cut the connections."""
        if self._listener is not None:
            self._listener.close()
            await self._listener.wait_closed()
            self._listener = None
        for connection in list(self.connections):
            connection.abort()
