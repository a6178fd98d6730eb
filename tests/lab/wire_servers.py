"""Far sides on loopback that misbehave on demand, for the tests of the wire.

`SftpServer` is a whole SSH server in a thread; `scripted` accepts TCP and does what a
function says. Both count what reached them.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncssh
from asyncssh.constants import MSG_EXT_INFO, MSG_SERVICE_ACCEPT
from asyncssh.stream import SSHServerStreamSession

from connections.wire.outbound import Policy
from connections.wire.ssh import HostKey, Limits, SshTarget, generate_key_pair

Script = Callable[["RawSession"], Coroutine[Any, Any, None]]

HOST, PORT = "drop.example.com", 22
QUICK = Limits(connect_s=2, handshake_s=2, auth_s=2, channel_s=2)


def policy_for(port: int) -> Policy:
    """The policy of a deployment whose map sends our one host name to loopback."""
    return Policy(ports=frozenset({PORT}), static_hosts={HOST: ("127.0.0.1", port)})


@dataclass
class Seen:
    """What a server noticed. Appended by its thread, read by the test."""

    connections: int = 0
    log_ins: list[str] = field(default_factory=list)  # user names that tried
    keys: list[str] = field(default_factory=list)  # fingerprints that were offered
    passwords: list[str] = field(default_factory=list)
    opened: list[tuple[bytes, int]] = field(default_factory=list)
    closed: int = 0
    changed_attributes: int = 0
    negotiated: dict[str, str] = field(default_factory=dict)


@dataclass
class Faults:
    """What a server does wrong; everything None is a good server."""

    open: asyncssh.SFTPError | None = None
    write: asyncssh.SFTPError | None = None
    close: asyncssh.SFTPError | None = None
    rename: asyncssh.SFTPError | None = None
    fail_at: int = 0  # the first byte at which `write` happens
    drop_at: int | None = None  # the byte at which the connection is cut
    rename_reply_lost: bool = False
    sessions: int | None = None  # how many sessions are allowed at a time
    no_sftp: bool = False  # logs in, and has no such subsystem
    banner: str = ""
    says_signatures: bool = True  # which ones it takes (RFC 8308)
    accepts_late: bool = False  # the request to log in, once the credential is there


class SftpServer:
    """An SSH server for one folder, run by a thread of its own."""

    def __init__(
        self,
        folder: Path,
        *,
        host_keys: tuple[asyncssh.SSHKey, ...] = (),
        faults: Faults | None = None,
        accept: Callable[[str], bool] = lambda fingerprint: True,
        password: str | None = None,
        raw_session: Script | None = None,
        **options: Any,
    ) -> None:
        self.folder = folder
        self.host_keys = host_keys or (ED25519,)
        self.faults = faults or Faults()
        self.accept = accept
        self.password = password
        self.seen = Seen()
        self.connections: list[Any] = []
        self.open_sessions = 0
        self.port = 0
        self.raw_session = raw_session
        self._options = options
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> SftpServer:
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    @property
    def pins(self) -> tuple[HostKey, ...]:
        return tuple(pin_of(key) for key in self.host_keys)

    def target(self, **changes: Any) -> SshTarget:
        """A target with the right pins and our key."""
        values: dict[str, Any] = {
            "host": HOST,
            "port": PORT,
            "username": "u",
            "policy": policy_for(self.port),
            "host_keys": self.pins,
            "private_key": CLIENT_KEY,
            "limits": QUICK,
        }
        return SshTarget(**{**values, **changes})

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._listen())
        self._loop.run_forever()
        self._loop.run_until_complete(self._close())
        self._loop.close()

    async def _close(self) -> None:
        """Let go of everything, or the loop leaves open transports behind."""
        self._acceptor.close()
        for connection in self.connections:
            connection.abort()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await asyncio.sleep(0)

    async def _listen(self) -> None:
        self._acceptor = await asyncssh.listen(
            "127.0.0.1",
            0,
            server_host_keys=list(self.host_keys),
            **{
                "server_factory": lambda: _Door(self),
                "encoding": None,
                **self._options,
            },
        )
        self.port = self._acceptor.get_port()
        self._ready.set()


class _Door(asyncssh.SSHServer):
    """Who may come in."""

    def __init__(self, lab: SftpServer) -> None:
        self._lab = lab

    def connection_made(self, conn: Any) -> None:
        self._conn = conn
        self._send = conn.send_packet
        self._held: list[Callable[[], None]] = []
        conn.send_packet = self._send_packet
        self._lab.connections.append(conn)
        self._lab.seen.connections += 1

    def _send_packet(self, kind: int, *parts: bytes, **options: Any) -> None:
        faults = self._lab.faults
        if kind == MSG_EXT_INFO and not faults.says_signatures:
            return
        if kind == MSG_SERVICE_ACCEPT and faults.accepts_late:
            self._held.append(lambda: self._send(kind, *parts, **options))
            return
        self._send(kind, *parts, **options)

    def begin_auth(self, username: str) -> bool:
        while self._held:
            self._held.pop()()
        self._lab.seen.log_ins.append(username)
        if self._lab.faults.banner:
            self._conn.send_auth_banner(self._lab.faults.banner)
        return True

    def public_key_auth_supported(self) -> bool:
        return self._lab.password is None

    def validate_public_key(self, username: str, key: Any) -> bool:
        fingerprint = key.get_fingerprint()
        if fingerprint not in self._lab.seen.keys:
            self._lab.seen.keys.append(fingerprint)
        return self._lab.accept(fingerprint)

    def password_auth_supported(self) -> bool:
        return self._lab.password is not None

    def validate_password(self, username: str, password: str) -> bool:
        self._lab.seen.passwords.append(password)
        return password == self._lab.password

    def auth_completed(self) -> None:
        names = ("send_cipher", "send_mac", "recv_cipher")
        self._lab.seen.negotiated = {
            name: str(self._conn.get_extra_info(name)) for name in names
        }

    def session_requested(self) -> Any:
        allowed = self._lab.faults.sessions
        if allowed is not None and self._lab.open_sessions >= allowed:
            raise asyncssh.ChannelOpenError(
                asyncssh.OPEN_RESOURCE_SHORTAGE, "no more sessions"
            )
        if self._lab.faults.no_sftp:
            return asyncssh.SSHServerSession()  # takes nothing
        if self._lab.raw_session is not None:
            return RawSession(self._lab.raw_session)
        return SSHServerStreamSession(
            None, lambda channel: _Files(channel, self._lab), 3, False
        )


class RawSession(asyncssh.SSHServerSession[bytes]):
    """A session that takes any subsystem and lets a script speak its bytes."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self.stdin = asyncio.StreamReader()

    def connection_made(self, chan: Any) -> None:
        self.send: Callable[[bytes], None] = chan.write

    def subsystem_requested(self, subsystem: str) -> bool:
        return True

    def session_started(self) -> None:
        self._task = asyncio.ensure_future(self._script(self))

    def data_received(self, data: bytes, datatype: Any) -> None:
        self.stdin.feed_data(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self.stdin.feed_eof()


class _Files(asyncssh.SFTPServer):
    """One folder, seen as the whole file system."""

    def __init__(self, channel: Any, lab: SftpServer) -> None:
        super().__init__(channel, chroot=str(lab.folder).encode())
        self._lab = lab
        self._faults = lab.faults
        lab.open_sessions += 1

    def exit(self) -> None:
        self._lab.open_sessions -= 1

    def open(self, path: bytes, pflags: int, attrs: Any) -> Any:
        self._lab.seen.opened.append((path, pflags))
        if self._faults.open:
            raise self._faults.open
        return super().open(path, pflags, attrs)

    def write(self, file_obj: Any, offset: int, data: bytes) -> Any:
        if self._faults.drop_at is not None:
            left = self._faults.drop_at - offset
            if left < len(data):
                super().write(file_obj, offset, data[: max(left, 0)])
                file_obj.flush()
                self.connection.abort()
                raise asyncssh.SFTPFailure("cut")
        if self._faults.write and offset + len(data) > self._faults.fail_at:
            raise self._faults.write
        return super().write(file_obj, offset, data)

    def close(self, file_obj: Any) -> Any:
        self._lab.seen.closed += 1
        result = super().close(file_obj)
        if self._faults.close:
            raise self._faults.close
        return result

    def posix_rename(self, oldpath: bytes, newpath: bytes) -> Any:
        if self._faults.rename:
            raise self._faults.rename
        result = super().posix_rename(oldpath, newpath)
        if self._faults.rename_reply_lost:
            self.connection.abort()
        return result

    def setstat(self, path: bytes, attrs: Any) -> None:
        self._lab.seen.changed_attributes += 1

    def fsetstat(self, file_obj: Any, attrs: Any) -> None:
        self._lab.seen.changed_attributes += 1


@contextlib.contextmanager
def scripted(act: Callable[[socket.socket], None]) -> Iterator[tuple[int, list[int]]]:
    """Accept TCP connections and hand each to ``act``; yield the port and a count."""
    listener = socket.create_server(("127.0.0.1", 0))
    accepted: list[int] = []
    held: list[socket.socket] = []

    def serve() -> None:
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            accepted.append(1)
            held.append(sock)
            threading.Thread(target=run, args=(sock,), daemon=True).start()

    def run(sock: socket.socket) -> None:
        with contextlib.suppress(OSError):
            act(sock)

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield listener.getsockname()[1], accepted
    finally:
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for sock in held:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()


def pin_of(key: asyncssh.SSHKey) -> HostKey:
    return HostKey(key.get_algorithm(), key.public_data)


def host_key(kind: str) -> asyncssh.SSHKey:
    """Make a host key: "ssh-ed25519", "ssh-rsa" or "ecdsa-sha2-nistp256"."""
    if kind == "ssh-rsa":
        return asyncssh.generate_private_key(kind, key_size=2048)
    return asyncssh.generate_private_key(kind)


# Made once: RSA keys take a while.
ED25519 = host_key("ssh-ed25519")
CLIENT_KEY, CLIENT_PUBLIC = generate_key_pair("ed25519")
