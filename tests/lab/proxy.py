"""A TCP line of a chosen quality: latency, bandwidth, a cut at any byte, silence.

In a test's own process: `with Proxy(port) as line`. As a process of its own, which
leaves the test's interpreter alone when throughput counts: `with far_away(port, ...)`, or
`python -m tests.lab.proxy PORT --rtt-ms 80 --mbit 400`, which prints its port.
"""

from __future__ import annotations

import argparse
import contextlib
import socket
import struct
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from types import TracebackType

ROOT = Path(__file__).resolve().parent.parent.parent
HOST = "127.0.0.1"
PIECE_BYTES = 256 * 1024
# What may be under way at once: 400 Mbit/s for 80 ms are 4 MB.
MOST_UNDER_WAY = 32 * 1024 * 1024


class Way(StrEnum):
    """`UP` is from whoever dialled."""

    UP = "up"
    DOWN = "down"


class Proxy:
    """Forwards connections to a port of loopback; its faults may be set at any time."""

    def __init__(
        self, to_port: int, *, rtt_s: float = 0.0, bytes_per_s: float | None = None
    ) -> None:
        self.rtt_s = rtt_s
        self.bytes_per_s = bytes_per_s  # each way
        self.connections = 0
        self.forwarded = {Way.UP: 0, Way.DOWN: 0}
        self._to_port = to_port
        self._cut: tuple[Way, int] | None = None
        self._speaks = threading.Event()
        self._speaks.set()
        self._lines: list[_Line] = []
        self._listener = socket.create_server((HOST, 0))

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    def __enter__(self) -> Proxy:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.reset()
        self._speaks.set()

    def cut_at(self, way: Way, byte: int) -> None:
        """Reset the next connection that carries so many bytes that way; once."""
        self._cut = (way, byte)

    def reset(self) -> None:
        """Reset every connection now."""
        for line in list(self._lines):
            line.reset()

    def fall_silent(self) -> None:
        """Forward nothing more and say nothing of it: the peer has vanished (D11)."""
        self._speaks.clear()

    def speak_again(self) -> None:
        """Forward what was held back, and go on."""
        self._speaks.set()

    def bytes_left(self, way: Way, forwarded: int) -> int | None:
        """How many bytes a connection may still forward before its cut."""
        if self._cut is None or self._cut[0] is not way:
            return None
        return self._cut[1] - forwarded

    def was_cut(self) -> None:
        self._cut = None

    def forget(self, line: _Line) -> None:
        with contextlib.suppress(ValueError):
            self._lines.remove(line)

    def wait_until_it_speaks(self) -> None:
        self._speaks.wait()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            try:
                far = socket.create_connection((HOST, self._to_port), timeout=10)
            except OSError:
                _reset(near)
                continue
            far.settimeout(None)
            self._lines.append(_Line(self, near, far))


@contextlib.contextmanager
def far_away(to_port: int, *, rtt_ms: float) -> Iterator[int]:
    """A port of loopback behind which `to_port` is so far away; a process of its own."""
    command = [sys.executable, "-m", "tests.lab.proxy", str(to_port)]
    command += ["--rtt-ms", str(rtt_ms)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as process:
        assert process.stdout
        try:
            yield int(process.stdout.readline())
        finally:
            process.kill()


class _Line:
    """One connection: a pipe each way."""

    def __init__(self, proxy: Proxy, near: socket.socket, far: socket.socket) -> None:
        self._proxy = proxy
        self._ends = (near, far)
        self._open_pipes = 2
        for end in self._ends:
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        _Pipe(proxy, self, Way.UP, near, far)
        _Pipe(proxy, self, Way.DOWN, far, near)

    def reset(self) -> None:
        for end in self._ends:
            _reset(end)

    def pipe_ended(self) -> None:
        """Let both sockets go when nothing is forwarded any more, either way."""
        self._open_pipes -= 1
        if not self._open_pipes:
            for end in self._ends:
                end.close()
            self._proxy.forget(self)


class _Pipe:
    """Bytes one way: read at once, sent on when their time has come."""

    def __init__(
        self,
        proxy: Proxy,
        line: _Line,
        way: Way,
        source: socket.socket,
        sink: socket.socket,
    ) -> None:
        self._proxy, self._line, self._way = proxy, line, way
        self._source, self._sink = source, sink
        self._changed = threading.Condition()
        self._under_way: deque[tuple[float, bytes]] = deque()
        self._size = 0
        self._forwarded = 0
        for work in (self._read, self._send):
            threading.Thread(target=work, daemon=True).start()

    def _read(self) -> None:
        data = b"?"
        while data:
            try:
                data = self._source.recv(PIECE_BYTES)
            except OSError:
                data = b""
            due = time.monotonic() + self._proxy.rtt_s / 2
            with self._changed:
                self._changed.wait_for(lambda: self._size < MOST_UNDER_WAY)
                self._under_way.append((due, data))
                self._size += len(data)
                self._changed.notify_all()

    def _send(self) -> None:
        try:
            self._send_all()
        finally:
            self._line.pipe_ended()

    def _send_all(self) -> None:
        free_at = 0.0
        with contextlib.suppress(OSError):
            while True:
                due, data = self._next()
                _sleep_until(max(due, free_at))
                if self._proxy.bytes_per_s is not None:
                    # Counted from when it was due: a late thread catches up.
                    spent_s = len(data) / self._proxy.bytes_per_s
                    free_at = max(free_at, due) + spent_s
                self._proxy.wait_until_it_speaks()
                if not data:
                    self._sink.shutdown(socket.SHUT_WR)
                    return
                if not self._forward(data):
                    return

    def _next(self) -> tuple[float, bytes]:
        with self._changed:
            self._changed.wait_for(lambda: bool(self._under_way))
            due, data = self._under_way.popleft()
            self._size -= len(data)
            self._changed.notify_all()
            return due, data

    def _forward(self, data: bytes) -> bool:
        """Send on; False when this was where the line is cut."""
        left = self._proxy.bytes_left(self._way, self._forwarded)
        is_last = left is not None and len(data) >= left
        if is_last:
            data = data[:left]
        self._sink.sendall(data)
        self._forwarded += len(data)
        self._proxy.forwarded[self._way] += len(data)
        if is_last:
            self._proxy.was_cut()
            self._line.reset()
        return not is_last


def _sleep_until(at: float) -> None:
    left_s = at - time.monotonic()
    if left_s > 0:
        time.sleep(left_s)


def _reset(sock: socket.socket) -> None:
    """Close with RST: no orderly end."""
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        # Wakes a thread that reads from it.
        sock.shutdown(socket.SHUT_RD)
    with contextlib.suppress(OSError):
        sock.close()


def main() -> None:
    parser = argparse.ArgumentParser(prog="tests.lab.proxy", description=__doc__)
    parser.add_argument("port", type=int, help="where to, on loopback")
    parser.add_argument("--rtt-ms", type=float, default=0.0)
    parser.add_argument("--mbit", type=float, help="each way; no limit by default")
    options = parser.parse_args()
    bytes_per_s = options.mbit * 125_000 if options.mbit else None
    with Proxy(
        options.port, rtt_s=options.rtt_ms / 1000, bytes_per_s=bytes_per_s
    ) as proxy:
        print(proxy.port, flush=True)  # noqa: T201  whoever started us reads it
        threading.Event().wait()


if __name__ == "__main__":
    main()
