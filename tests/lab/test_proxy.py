"""The proxy is the line that it says it is, in this process and in its own."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.lab.proxy import HOST, Proxy, Way, far_away

MEGABYTE = b"m" * 1_000_000


@pytest.fixture
def echo() -> Iterator[int]:
    """The port of a server that says what it hears, and ends when its client does."""
    with socket.create_server((HOST, 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    sock, _ = listener.accept()
                except OSError:
                    return
                threading.Thread(target=answer, args=(sock,), daemon=True).start()

        def answer(sock: socket.socket) -> None:
            with sock:
                try:
                    while data := sock.recv(65_536):
                        sock.sendall(data)
                except OSError:
                    return

        threading.Thread(target=serve, daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)


@contextmanager
def dialled(port: int) -> Iterator[socket.socket]:
    with socket.create_connection((HOST, port), timeout=20) as sock:
        yield sock


def round_trip_s(sock: socket.socket) -> float:
    started = time.monotonic()
    sock.sendall(b"?")
    assert sock.recv(1) == b"?"
    return time.monotonic() - started


def everything(sock: socket.socket) -> bytes:
    data = b""
    while piece := sock.recv(65_536):
        data += piece
    return data


def test_bytes_come_through_in_order_with_their_end(echo: int) -> None:
    with Proxy(echo) as proxy, dialled(proxy.port) as sock:
        for piece in (b"a" * 100_000, b"b" * 100_000):
            sock.sendall(piece)
        sock.shutdown(socket.SHUT_WR)
        assert everything(sock) == b"a" * 100_000 + b"b" * 100_000
        assert proxy.forwarded == {Way.UP: 200_000, Way.DOWN: 200_000}


def test_a_round_trip_takes_its_time_and_many_bytes_share_it(echo: int) -> None:
    with Proxy(echo, rtt_s=0.2) as proxy, dialled(proxy.port) as sock:
        assert round_trip_s(sock) >= 0.2
        started = time.monotonic()
        sender = threading.Thread(target=sock.sendall, args=(MEGABYTE,))
        sender.start()
        left = len(MEGABYTE)
        while left:
            left -= len(sock.recv(65_536))
        sender.join()
        # Sixteen pieces, one after the other, would take over 3 s.
        assert time.monotonic() - started < 2.5


def test_bandwidth_is_what_was_asked_for(echo: int) -> None:
    with Proxy(echo, bytes_per_s=2_000_000) as proxy, dialled(proxy.port) as sock:
        started = time.monotonic()
        threading.Thread(target=sock.sendall, args=(MEGABYTE,)).start()
        left = len(MEGABYTE)
        while left:
            left -= len(sock.recv(65_536))
        assert time.monotonic() - started >= 0.35


def talk(sock: socket.socket) -> None:
    for _ in range(100):
        sock.sendall(b"x" * 10_000)
        time.sleep(0.01)


@pytest.mark.parametrize("byte", [1, 70_000])
def test_a_cut_lets_exactly_so_many_bytes_through_once(echo: int, byte: int) -> None:
    with Proxy(echo) as proxy:
        proxy.cut_at(Way.UP, byte)
        with dialled(proxy.port) as sock:
            with pytest.raises(OSError, match=r"reset|Broken pipe"):
                talk(sock)
            assert proxy.forwarded[Way.UP] == byte
        with dialled(proxy.port) as sock:
            round_trip_s(sock)


def test_silence_is_no_end_and_may_end(echo: int) -> None:
    with Proxy(echo) as proxy, dialled(proxy.port) as sock:
        round_trip_s(sock)
        proxy.fall_silent()
        sock.sendall(b"?")
        sock.settimeout(0.3)
        with pytest.raises(TimeoutError):
            sock.recv(1)
        proxy.speak_again()
        sock.settimeout(20)
        assert sock.recv(1) == b"?"


def test_it_runs_as_a_process_of_its_own(echo: int) -> None:
    with far_away(echo, rtt_ms=80) as port, dialled(port) as sock:
        assert round_trip_s(sock) >= 0.08
