"""The SFTP requests that the product needs, each answer checked (reliability D5).

Written on the protocol itself (version 3, draft-ietf-secsh-filexfer-02) and not on a
library's file object: paramiko's drops the statuses of pipelined writes and of close,
so a full disk looks like a success, and it hides which extensions a server offers.
"""

from __future__ import annotations

import stat
import struct
import unicodedata
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

from connections.wire.errors import WireError

if TYPE_CHECKING:
    import paramiko

# One write and its header fill one SSH packet of OpenSSH's size (32,768 bytes).
PIECE_BYTES = 32_640
# 64 of them fill OpenSSH's 2 MiB window; deeper gained nothing (performance.md §2).
WINDOW = 64
_LONGEST_PATH = 1024
_MOST_ENTRIES = 100_000
_LONGEST_PACKET = 1 << 20
_RECEIVE_BYTES = 1 << 16

_INIT, _VERSION, _OPEN, _CLOSE, _READ, _WRITE = 1, 2, 3, 4, 5, 6
_OPENDIR, _READDIR, _REMOVE, _STAT, _RENAME = 11, 12, 13, 17, 18
_STATUS, _HANDLE, _DATA, _NAME, _ATTRS, _EXTENDED = 101, 102, 103, 104, 105, 200
_OK, _EOF, _NO_SUCH_FILE, _PERMISSION_DENIED = 0, 1, 2, 3
_POSIX_RENAME = b"posix-rename@openssh.com"

_FOR_READING = 0x01
# Object stores refuse a handle that also reads, and exclusive opens.
_FOR_WRITING = 0x02 | 0x08 | 0x10  # write, create, truncate
_NO_ATTRIBUTES = b"\0\0\0\0"

# Version 3 knows the numbers to 8; the rest is sent by servers that speak more.
_CODE_OF_STATUS = {
    _NO_SUCH_FILE: "no_such_file",
    _PERMISSION_DENIED: "permission_denied",
    6: "network_lost",
    7: "network_lost",
    10: "folder_missing",
    11: "file_exists",
    12: "permission_denied",
    14: "disk_full",
    15: "disk_full",
}
# "Failure" (4) says nothing by itself; the text often does.
_CODE_OF_TEXT = (
    ("no space", "disk_full"),
    ("disk full", "disk_full"),
    ("quota", "disk_full"),
    ("already exists", "file_exists"),
    ("file exists", "file_exists"),
    ("permission denied", "permission_denied"),
    ("read-only", "permission_denied"),
)


@dataclass(frozen=True)
class RemoteFile:
    """One entry of a folder. The name is the far side's word: join it by join_path."""

    name: str
    size: int  # bytes
    modified_at: float  # seconds since the epoch, 0.0 when not told
    is_folder: bool


def join_path(folder: str, name: str) -> str:
    """Join a configured folder and a file name; raise ValueError if either is odd (F1).

    The result is always directly inside the folder. An empty folder or "." is the one
    that the log-in starts in.
    """
    parts = [part for part in folder.split("/") if part not in ("", ".")]
    if folder.startswith("~") or any(not _is_plain(part) for part in parts):
        raise ValueError("Not a folder that can be used")
    if "/" in name or name == "." or name.startswith("~") or not _is_plain(name):
        raise ValueError("Not a file name that can be used")
    path = ("/" if folder.startswith("/") else "") + "/".join([*parts, name])
    if len(path.encode()) > _LONGEST_PATH:
        raise ValueError("The path is too long")
    return path


def _is_plain(part: str) -> bool:
    """No way up, nothing invisible, no second separator."""
    return (
        part not in ("", "..")
        and "\\" not in part
        and not any(
            unicodedata.category(char).startswith(("C", "Zl", "Zp")) for char in part
        )
    )


class Sftp:
    """One SFTP session. For one thread; every method raises WireError.

    ``peer``: whom it speaks with and as whom, as ``user@host:port``.
    """

    def __init__(self, channel: paramiko.Channel, *, peer: str) -> None:
        """Greet the server on a channel with a timeout, SFTP having been asked for.

        Raises sftp_unavailable.
        """
        self.peer = peer
        self._channel = channel
        self._received = bytearray()
        self._last_request = 0
        self._awaited: set[int] = set()
        self._replies: dict[int, tuple[int, bytes]] = {}
        try:
            self._extensions = self._greet()
        except WireError as error:
            raise WireError("sftp_unavailable", error.detail) from error

    def list_folder(self, path: str) -> list[RemoteFile]:
        """Return what is in a folder, in the server's order.

        Raises folder_missing, permission_denied, file_too_large (too many entries).
        """
        handle = self._open_handle(
            _OPENDIR, _string(path.encode() or b"."), missing="folder_missing"
        )
        files: list[RemoteFile] = []
        while True:
            kind, body = self._ask(_READDIR, _string(handle))
            if kind == _STATUS and _status_of(body) == _EOF:
                break
            # Some servers look for the folder only now.
            self._expect(_NAME, kind, body, missing="folder_missing")
            files += _read_names(body)
            if len(files) > _MOST_ENTRIES:
                raise WireError("file_too_large", f"more than {_MOST_ENTRIES} entries")
        self._ask(_CLOSE, _string(handle))
        return [file for file in files if file.name not in (".", "..")]

    def size_of(self, path: str) -> int | None:
        """Return a file's size in bytes, or None when there is no such file."""
        kind, body = self._ask(_STAT, _string(path.encode()))
        if kind == _STATUS and _status_of(body) in (_NO_SUCH_FILE, 10):
            return None
        self._expect(_ATTRS, kind, body)
        size = _Fields(body).attributes().size
        if size is None:
            raise WireError("remote_failure", "The server does not tell sizes")
        return size

    def read(self, path: str, *, limit: int) -> Iterator[bytes]:
        """Yield a file's bytes from its start to its end, several reads in flight.

        Raises file_too_large once it is clear that there are more than ``limit`` bytes.
        """
        size = self.size_of(path)
        if size is None:
            raise WireError("no_such_file", path)
        if size > limit:
            raise WireError("file_too_large", f"{size} bytes")
        handle = self._open_handle(
            _OPEN,
            _string(path.encode()) + struct.pack(">I", _FOR_READING) + _NO_ATTRIBUTES,
        )
        try:
            yield from self._read_ahead(handle, size, limit)
        finally:
            # Nothing depends on the answer, nor on whether the line is still there; the
            # answer is dropped when it comes.
            with suppress(WireError):
                self._awaited.discard(self._send(_CLOSE, _string(handle)))

    def upload(
        self,
        path: str,
        chunks: Iterable[bytes],
        *,
        on_progress: Callable[[int], None] | None = None,
    ) -> int:
        """Write a file from its start and return its size in bytes.

        The file is there, as far as the server says, only when this returns: each
        write and the close have been answered with OK. ``on_progress`` gets the bytes
        answered so far. After an error the handle is left open on purpose, because
        closing it would tell an object store to publish half a file; dropping the
        connection does not promise otherwise, so the caller must look at what is there.
        Raises folder_missing, permission_denied, disk_full, remote_failure and others.
        """
        handle = self._open_handle(
            _OPEN,
            _string(path.encode()) + struct.pack(">I", _FOR_WRITING) + _NO_ATTRIBUTES,
            missing="folder_missing",
        )
        in_flight: dict[int, int] = {}
        offset = answered = 0
        try:
            for piece in _pieces(chunks):
                # Refill on every answer: waiting for all of them empties the pipe.
                while len(in_flight) >= WINDOW or (in_flight and self._has_reply()):
                    answered += self._settle(in_flight)
                    if on_progress is not None:
                        on_progress(answered)
                request = self._send(
                    _WRITE,
                    _string(handle) + struct.pack(">QI", offset, len(piece)),
                    piece,
                )
                in_flight[request] = len(piece)
                offset += len(piece)
            while in_flight:
                answered += self._settle(in_flight)
                if on_progress is not None:
                    on_progress(answered)
        except BaseException:
            self._awaited.difference_update(in_flight)
            raise
        self._expect_ok(*self._ask(_CLOSE, _string(handle)))
        return offset

    def rename(self, old: str, new: str) -> None:
        """Rename a file; it replaces an existing one where the server can do that.

        Raises no_such_file, file_exists (plain rename only), permission_denied.
        """
        names = _string(old.encode()) + _string(new.encode())
        if _POSIX_RENAME in self._extensions:
            reply = self._ask(_EXTENDED, _string(_POSIX_RENAME) + names)
        else:
            reply = self._ask(_RENAME, names)
        self._expect_ok(*reply)

    def remove(self, path: str) -> None:
        """Delete a file. Raises no_such_file, permission_denied."""
        self._expect_ok(*self._ask(_REMOVE, _string(path.encode())))

    def _greet(self) -> set[bytes]:
        """Agree on version 3 and return the names of the extensions offered."""
        self._write(struct.pack(">IBI", 5, _INIT, 3))
        kind, body = self._receive()
        fields = _Fields(body)
        if kind != _VERSION or fields.number() != 3:
            raise WireError(
                "remote_failure", "The server does not speak SFTP version 3"
            )
        extensions = set()
        while fields.left:
            extensions.add(fields.string())
            fields.string()  # the extension's own version
        return extensions

    def _read_ahead(self, handle: bytes, size: int, limit: int) -> Iterator[bytes]:
        asked: deque[tuple[int, int, int]] = deque()  # request, offset, length
        next_offset = total = 0

        def ask(offset: int, length: int) -> tuple[int, int, int]:
            where = _string(handle) + struct.pack(">QI", offset, length)
            return self._send(_READ, where), offset, length

        try:
            while True:
                # Beyond the size that was told only one read is tried: for the end.
                while not asked or (next_offset < size and len(asked) < WINDOW):
                    asked.append(ask(next_offset, PIECE_BYTES))
                    next_offset += PIECE_BYTES
                request, offset, length = asked.popleft()
                kind, body = self._reply(request)
                if kind == _STATUS and _status_of(body) == _EOF:
                    return
                self._expect(_DATA, kind, body)
                data = _Fields(body).string()
                if not 0 < len(data) <= length:
                    raise WireError("remote_failure", "A read brought a wrong length")
                total += len(data)
                if total > limit:
                    raise WireError("file_too_large", f"more than {limit} bytes")
                yield data
                if len(data) < length:
                    asked.appendleft(ask(offset + len(data), length - len(data)))
        finally:
            for request, _, _ in asked:
                self._awaited.discard(request)
                self._replies.pop(request, None)

    def _settle(self, in_flight: dict[int, int]) -> int:
        """Take one answer to a write, in whatever order they come; return its bytes."""
        while True:
            number, kind, body = self._receive_reply()
            if number in in_flight:
                self._awaited.discard(number)
                size = in_flight.pop(number)
                self._expect_ok(kind, body)
                return size
            self._keep(number, kind, body)

    def _open_handle(
        self, kind: int, payload: bytes, missing: str = "no_such_file"
    ) -> bytes:
        answer, body = self._ask(kind, payload)
        self._expect(_HANDLE, answer, body, missing)
        return _Fields(body).string()

    def _ask(self, kind: int, payload: bytes) -> tuple[int, bytes]:
        return self._reply(self._send(kind, payload))

    def _send(self, kind: int, payload: bytes, data: bytes = b"") -> int:
        """Send a request that may end in ``data``, and return its number."""
        self._last_request = (self._last_request + 1) & 0xFFFFFFFF
        size = 5 + len(payload) + len(data)
        head = struct.pack(">IBI", size, kind, self._last_request)
        self._write(b"".join((head, payload, data)))
        self._awaited.add(self._last_request)
        return self._last_request

    def _reply(self, request: int) -> tuple[int, bytes]:
        """Wait for the answer to one request, and keep those to others."""
        while request not in self._replies:
            self._keep(*self._receive_reply())
        self._awaited.discard(request)
        return self._replies.pop(request)

    def _keep(self, number: int, kind: int, body: bytes) -> None:
        # An answer that nobody waits for any more belongs to work that was given up.
        if number in self._awaited:
            self._replies[number] = (kind, body)

    def _receive_reply(self) -> tuple[int, int, bytes]:
        kind, body = self._receive()
        if len(body) < 4:
            _garbage()
        return int.from_bytes(body[:4], "big"), kind, body[4:]

    def _receive(self) -> tuple[int, bytes]:
        self._fill(4)
        size = int.from_bytes(self._received[:4], "big")
        if not 0 < size <= _LONGEST_PACKET:
            _garbage()
        self._fill(4 + size)
        packet = bytes(self._received[4 : 4 + size])
        del self._received[: 4 + size]
        return packet[0], packet[1:]

    def _has_reply(self) -> bool:
        """Say whether the beginning of an answer is here already."""
        return len(self._received) > 0 or self._channel.recv_ready()

    def _fill(self, size: int) -> None:
        while len(self._received) < size:
            try:
                data = self._channel.recv(_RECEIVE_BYTES)
            except Exception as error:
                raise _lost(error) from error
            if not data:
                raise WireError("network_lost", "The server closed the session")
            self._received += data

    def _write(self, packet: bytes) -> None:
        while packet:
            try:
                sent = self._channel.send(packet)
            except Exception as error:
                raise _lost(error) from error
            if not sent:
                raise WireError("network_lost", "The server closed the session")
            packet = packet[sent:]

    def _expect_ok(self, kind: int, body: bytes) -> None:
        if kind != _STATUS or _status_of(body) != _OK:
            _refuse(kind, body, "no_such_file")

    def _expect(
        self, wanted: int, kind: int, body: bytes, missing: str = "no_such_file"
    ) -> None:
        if kind != wanted:
            _refuse(kind, body, missing)


class _Fields:
    """Read the fields of one answer in turn; raise remote_failure past its end."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._at = 0

    @property
    def left(self) -> int:
        return len(self._body) - self._at

    def take(self, size: int) -> bytes:
        if size > self.left:
            _garbage()
        self._at += size
        return self._body[self._at - size : self._at]

    def number(self, size: int = 4) -> int:
        return int.from_bytes(self.take(size), "big")

    def string(self) -> bytes:
        return self.take(self.number())

    def attributes(self) -> _Attributes:
        flags = self.number()
        size = self.number(8) if flags & 0x01 else None
        if flags & 0x02:
            self.take(8)  # owner and group
        mode = self.number() if flags & 0x04 else 0
        modified_at = 0
        if flags & 0x08:
            self.take(4)  # last access
            modified_at = self.number()
        if flags & 0x80000000:
            for _ in range(2 * self.number()):
                self.string()
        return _Attributes(size, mode, float(modified_at))


@dataclass(frozen=True)
class _Attributes:
    size: int | None
    mode: int
    modified_at: float


def _read_names(body: bytes) -> list[RemoteFile]:
    fields = _Fields(body)
    files = []
    for _ in range(fields.number()):
        name, long_name = fields.string(), fields.string()
        found = fields.attributes()
        files.append(
            RemoteFile(
                name=name.decode("utf-8", "replace"),
                size=found.size or 0,
                modified_at=found.modified_at,
                is_folder=(
                    stat.S_ISDIR(found.mode) if found.mode else long_name[:1] == b"d"
                ),
            )
        )
    return files


def _pieces(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Cut chunks of any size into write-sized pieces, and join small ones."""
    waiting = bytearray()
    for chunk in chunks:
        waiting += chunk
        start = 0
        while len(waiting) - start >= PIECE_BYTES:
            yield bytes(waiting[start : start + PIECE_BYTES])
            start += PIECE_BYTES
        del waiting[:start]
    if waiting:
        yield bytes(waiting)


def _string(value: bytes) -> bytes:
    return struct.pack(">I", len(value)) + value


def _status_of(body: bytes) -> int:
    return _Fields(body).number()


def _refuse(kind: int, body: bytes, missing: str) -> NoReturn:
    """Raise what a refusal means."""
    if kind != _STATUS:
        _garbage()
    fields = _Fields(body)
    status = fields.number()
    text = fields.string() if fields.left >= 4 else b""  # some servers leave it out
    code = _CODE_OF_STATUS.get(status)
    if code is None:
        low = text.decode("utf-8", "replace").lower()
        code = next((code for part, code in _CODE_OF_TEXT if part in low), None)
    if code == "no_such_file":
        code = missing
    raise WireError(code or "remote_failure", text or f"status {status}", status=status)


def _garbage() -> NoReturn:
    raise WireError("remote_failure", "The server's answer is not SFTP")


def _lost(error: Exception) -> WireError:
    if isinstance(error, TimeoutError):
        return WireError("network_lost", "The server does not answer")
    return WireError("network_lost", str(error))
