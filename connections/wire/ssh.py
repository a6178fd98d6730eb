"""Log in to an SFTP server: its key is compared before anything of ours is sent.

paramiko's Transport is used and not its SSHClient, which knows other keys than ours
(agents, home folders), picks one pinned type only and cannot be bounded (security H4,
H6; reliability D8-D10). Nothing of paramiko leaves this module except as a WireError.
"""

from __future__ import annotations

import base64
import hashlib
import heapq
import io
import itertools
import logging
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

import paramiko
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from paramiko.auth_handler import AuthHandler
from paramiko.common import cMSG_CHANNEL_REQUEST
from paramiko.packet import Packetizer

from connections.wire import outbound
from connections.wire.errors import Kind, WireError, clean_detail
from connections.wire.outbound import Policy
from connections.wire.sftp import Sftp

# Modern algorithms only (H7), best first: AES-GCM needs no separate MAC, which saves a
# third of the CPU (performance.md §1). paramiko by itself offers 3des, CBC and MD5 too.
_CIPHERS = (
    "aes128-gcm@openssh.com",
    "aes256-gcm@openssh.com",
    "aes128-ctr",
    "aes192-ctr",
    "aes256-ctr",
)
_MACS = (
    "hmac-sha2-256-etm@openssh.com",
    "hmac-sha2-512-etm@openssh.com",
    "hmac-sha2-256",
    "hmac-sha2-512",
)
_KEX = (
    "mlkem768x25519-sha256",
    "curve25519-sha256@libssh.org",
    "ecdh-sha2-nistp256",
    "ecdh-sha2-nistp384",
    "ecdh-sha2-nistp521",
    "diffie-hellman-group16-sha512",
    "diffie-hellman-group14-sha256",
    "diffie-hellman-group-exchange-sha256",
)
_HOST_KEY_TYPES = (
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "rsa-sha2-512",
    "rsa-sha2-256",
)
# An RSA key is called ssh-rsa, whatever it signs with; SHA-1 is not an option (H4).
_SIGNED_BY = {"ssh-rsa": ("rsa-sha2-512", "rsa-sha2-256")}

_RSA_BITS = 3072
_KEEPALIVE_S = 30
_LONGEST_GREETING = 65_536  # bytes
_DISCONNECT_TOO_MANY = 12
_CHANNEL_BUSY = (2, 4)  # connect failed (OpenSSH's MaxSessions), resource shortage
# paramiko's own limits must not be the ones that end a step.
_NEVER_S = 86_400.0

# Far-side text would reach the log uncleaned (H8), and every failure is raised anyway.
_SILENCE = "connections.wire.ssh.silence"
logging.getLogger(_SILENCE).addHandler(logging.NullHandler())
logging.getLogger(_SILENCE).propagate = False
logging.getLogger(_SILENCE).setLevel(logging.CRITICAL + 1)
logging.getLogger(_SILENCE + ".sftp").setLevel(logging.CRITICAL + 1)


class Closeable(Protocol):
    """What a watchdog can end."""

    def close(self) -> object: ...


@dataclass(frozen=True)
class HostKey:
    """A server's public key; ``blob`` is compared, the rest is for people (H3)."""

    key_type: str
    blob: bytes

    @property
    def sha256(self) -> str:
        """The form that ssh-keygen prints."""
        digest = hashlib.sha256(self.blob).digest()
        return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")


@dataclass(frozen=True)
class Limits:
    """How long each step may take, in seconds (reliability §9)."""

    connect_s: float = 10.0
    handshake_s: float = 20.0  # banner and key exchange
    auth_s: float = 20.0
    channel_s: float = 30.0  # opening SFTP, and then each answer


@dataclass(frozen=True)
class SshTarget:
    """Where to log in, as whom, and which keys the server may have."""

    host: str
    port: int
    username: str
    policy: Policy
    host_keys: tuple[HostKey, ...]
    private_key: str = field(default="", repr=False)
    password: str = field(default="", repr=False)
    limits: Limits = Limits()

    def __str__(self) -> str:
        return f"{self.username}@{self.host}:{self.port}"


class _Watchdog:
    """One thread that ends connections when their time is over.

    A time-out per read is no deadline: a byte every second satisfies it (D10).
    """

    def __init__(self) -> None:
        self._numbers = itertools.count()
        self.start_anew()

    def start_anew(self) -> None:
        """Forget everything: in a forked child it belongs to the parent."""
        self._changed = threading.Condition()
        self._heap: list[tuple[float, int, _Watch]] = []
        self._thread: threading.Thread | None = None

    def add(self, watch: _Watch) -> None:
        with self._changed:
            heapq.heappush(self._heap, (watch.ends_at, next(self._numbers), watch))
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, name="wire-watchdog", daemon=True
                )
                self._thread.start()
            self._changed.notify()

    def _run(self) -> None:
        while True:
            self._next_due().fire()

    def _next_due(self) -> _Watch:
        with self._changed:
            while True:
                while self._heap and self._heap[0][2].is_over:
                    heapq.heappop(self._heap)
                if not self._heap:
                    self._changed.wait()
                    continue
                left_s = self._heap[0][0] - time.monotonic()
                if left_s <= 0:
                    return heapq.heappop(self._heap)[2]
                self._changed.wait(left_s)


class _Watch:
    """One thing to end at one time, unless its owner is done before."""

    def __init__(self, ends_at: float, closeable: Closeable) -> None:
        self.ends_at = ends_at
        self.has_fired = False
        self._closeable: Closeable | None = closeable
        self._lock = threading.Lock()

    @property
    def is_over(self) -> bool:
        return self._closeable is None

    def finish(self) -> None:
        with self._lock:
            self._closeable = None

    def fire(self) -> None:
        with self._lock:
            closeable, self._closeable = self._closeable, None
            if closeable is None:
                return
            self.has_fired = True
            try:
                if isinstance(closeable, socket.socket):
                    # Wakes whoever reads or writes; closing would free the descriptor
                    # under them, for another socket to take.
                    closeable.shutdown(socket.SHUT_RDWR)
                else:
                    closeable.close()
            except Exception:  # noqa: S110  (it is gone already, which was the aim)
                pass


_watchdog = _Watchdog()
# Prefork workers are copies; a copied watch would shut down its parent's connection.
os.register_at_fork(after_in_child=_watchdog.start_anew)


class Deadline:
    """The time by which something must be over, however it is spent."""

    def __init__(self, seconds: float) -> None:
        self._ends_at = time.monotonic() + seconds

    @property
    def left_s(self) -> float:
        """Seconds left, never negative."""
        return max(0.0, self._ends_at - time.monotonic())

    @property
    def expired(self) -> bool:
        return self.left_s == 0.0

    @contextmanager
    def guard(self, closeable: Closeable) -> Iterator[None]:
        """End ``closeable`` at the deadline: a socket is shut down, others are closed.

        Failures that may come from that are raised as deadline_exceeded.
        """
        watch = _Watch(self._ends_at, closeable)
        _watchdog.add(watch)
        try:
            yield
        except (WireError, OSError, EOFError) as error:
            transient = not isinstance(error, WireError) or (
                error.kind is Kind.TRANSIENT and error.code != "deadline_exceeded"
            )
            if watch.has_fired and transient:
                raise WireError("deadline_exceeded") from error
            raise
        finally:
            watch.finish()


def generate_key_pair(kind: str, comment: str = "dropstream") -> tuple[str, str]:
    """Make a key pair: (private half as OpenSSH PEM, public half as one line).

    ``kind`` is "rsa" (3072 bits; 0.2 to 0.4 s) or "ed25519"; ValueError otherwise.
    """
    key: rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey
    if kind == "rsa":
        key = rsa.generate_private_key(public_exponent=65537, key_size=_RSA_BITS)
    elif kind == "ed25519":
        key = ed25519.Ed25519PrivateKey.generate()
    else:
        raise ValueError(f"Not a kind of key: {kind!r}")
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.OpenSSH,
        serialization.NoEncryption(),
    )
    public = key.public_key().public_bytes(
        serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
    )
    return private.decode(), f"{public.decode()} {comment}".strip()


_KEYS_KEPT = 512
_parsed_keys: dict[bytes, paramiko.PKey] = {}
_parsed_keys_lock = threading.Lock()


def load_private_key(text: str) -> paramiko.PKey:
    """Parse a private key, once per process: RSA costs 0.1 s each time.

    Remembered by digest, so that no second copy of the text is kept.
    Raises private_key_invalid, which says nothing about the text.
    """
    digest = hashlib.sha256(text.encode()).digest()
    with _parsed_keys_lock:
        key = _parsed_keys.get(digest)
    if key is not None:
        return key
    key = _parse_private_key(text)
    with _parsed_keys_lock:
        if len(_parsed_keys) >= _KEYS_KEPT:
            del _parsed_keys[next(iter(_parsed_keys))]
        _parsed_keys[digest] = key
    return key


def _parse_private_key(text: str) -> paramiko.PKey:
    for key_class in (paramiko.Ed25519Key, paramiko.RSAKey, paramiko.ECDSAKey):
        try:
            return key_class.from_private_key(io.StringIO(text))
        except Exception:  # noqa: S112  (of another type, or broken: told below)
            continue
    raise WireError("private_key_invalid")


def fetch_host_key(
    host: str,
    port: int,
    *,
    policy: Policy,
    deadline: Deadline,
    limits: Limits = Limits(),
) -> HostKey:
    """Return the key that a server proves to have; nothing of ours is sent (H1)."""
    sock = _dial(host, port, policy, deadline, limits)
    try:
        with deadline.guard(sock):
            transport = _Transport(sock)
            try:
                return _shake_hands(transport, sock, (), deadline, limits)
            finally:
                transport.close()
    finally:
        sock.close()


@contextmanager
def connect(target: SshTarget, *, deadline: Deadline) -> Iterator[Sftp]:
    """Log in and open SFTP; everything is closed at the end or at the deadline.

    Raises host_key_unknown without pins, host_key_changed when the offered key is none
    of them (both with ``offered_key``, both before any credential is used),
    auth_refused, too_many_connections, sftp_unavailable, and the network's codes.
    """
    limits = target.limits
    # Broken keys and sealed boxes should fail here, not with somebody's server waiting.
    key = load_private_key(target.private_key) if target.private_key else None
    sock = _dial(target.host, target.port, target.policy, deadline, limits)
    try:
        with deadline.guard(sock):
            transport = _Transport(sock)
            try:
                offered = _shake_hands(
                    transport, sock, target.host_keys, deadline, limits
                )
                _check_host_key(offered, target.host_keys)
                _log_in(transport, sock, target, key, deadline)
                yield _open_sftp(transport, sock, target, deadline)
            finally:
                transport.close()
    finally:
        sock.close()


def _dial(
    host: str, port: int, policy: Policy, deadline: Deadline, limits: Limits
) -> socket.socket:
    if deadline.expired:
        raise WireError("deadline_exceeded")
    timeout_s = min(limits.connect_s, deadline.left_s)
    try:
        return outbound.open_socket(host, port, policy=policy, timeout_s=timeout_s)
    except WireError as error:
        if error.code == "connect_timeout" and deadline.expired:
            raise WireError("deadline_exceeded") from error
        raise


@contextmanager
def _step(
    sock: socket.socket, deadline: Deadline, seconds: float, code: str
) -> Iterator[None]:
    """Bound one step; its own end reads as ``code``, the run's as deadline_exceeded."""
    try:
        with Deadline(min(seconds, deadline.left_s)).guard(sock):
            yield
    except WireError as error:
        if error.code == "deadline_exceeded" and not deadline.expired:
            raise WireError(code) from error
        raise


class _Packetizer(Packetizer):
    """Keep what a server says before its version: why it turns us away stands there."""

    greeting = ""
    is_endless = False
    _greeted_bytes = 0

    def _read_timeout(self, timeout: float) -> bytes:
        """Read a bit of the greeting; it has no business being long."""
        # The stubs leave private methods out.
        data = bytes(super()._read_timeout(timeout))  # type: ignore[misc]
        self._greeted_bytes += len(data)
        if self._greeted_bytes > _LONGEST_GREETING:
            self.is_endless = True
            raise EOFError
        return data

    def readline(self, timeout: float) -> str:
        line = str(super().readline(timeout))
        self.greeting = line[:500]
        return line

    def start_handshake(self, timeout: float) -> None:
        """Start no timer thread: the watchdog bounds the handshake."""


class _Transport(paramiko.Transport):
    """paramiko's transport with our choice of algorithms, and its ears open."""

    def __init__(self, sock: socket.socket) -> None:
        super().__init__(sock, packetizer_class=_Packetizer)
        self.set_log_channel(_SILENCE)
        self.disconnect_code = 0
        self.disconnect_text = ""
        options = self.get_security_options()
        options.ciphers = _CIPHERS
        options.digests = _MACS
        # Post-quantum exchange needs a recent OpenSSL under cryptography.
        known = options.kex
        options.kex = tuple(name for name in _KEX if name in known)
        options.compression = ("none",)
        self.banner_timeout = _NEVER_S
        self.auth_timeout = _NEVER_S
        self.channel_timeout = _NEVER_S

    @property
    def preferred_keys(self) -> tuple[str, ...]:
        """The host key types without their certificate forms, which nobody pins."""
        return tuple(self.get_security_options().key_types)

    @property
    def greeting(self) -> str:
        packetizer = self.packetizer
        return packetizer.greeting if isinstance(packetizer, _Packetizer) else ""

    @property
    def is_endless(self) -> bool:
        packetizer = self.packetizer
        return isinstance(packetizer, _Packetizer) and packetizer.is_endless

    def _parse_ext_info(self, msg: Any) -> None:
        super()._parse_ext_info(msg)  # type: ignore[misc]  # private: not in the stubs
        if isinstance(self.auth_handler, _LogIn):
            self.auth_handler.go_on()

    def _parse_disconnect(self, m: Any) -> None:
        """Remember the reason, which paramiko drops."""
        self.disconnect_code = m.get_int()
        self.disconnect_text = clean_detail(m.get_binary())


class _LogIn(AuthHandler):
    """Send the credential right behind the request to log in: a round trip less.

    A client need not wait for the answer once the server's signature was checked, says
    RFC 4253 §10. An RSA key waits until the server has told which signatures it takes
    (RFC 8308), or has answered: a wrong guess would be refused like a wrong key.
    """

    def __init__(self, transport: _Transport) -> None:
        super().__init__(transport)
        self._is_requested = False
        self._to_send = threading.Semaphore(1)

    def go_on(self) -> None:
        """Send the credential unless more must be known."""
        key = self.private_key
        is_rsa = key is not None and key.get_name() == "ssh-rsa"
        told = self.transport.server_extensions  # type: ignore[attr-defined]  # nor this
        is_known = not is_rsa or "server-sig-algs" in told
        if self._is_requested and is_known:
            self._send_once()

    def _request_auth(self) -> None:
        super()._request_auth()  # type: ignore[misc]  # private: not in the stubs
        self._is_requested = True
        self.go_on()

    def _parse_service_accept(self, m: Any) -> None:
        self._send_once()

    def _send_once(self) -> None:
        """What paramiko does on an answer; its thread and ours may both come here."""
        if self._to_send.acquire(blocking=False):
            accepted = paramiko.Message()
            accepted.add_string("ssh-userauth")
            accepted.rewind()
            super()._parse_service_accept(accepted)  # type: ignore[misc]


def _shake_hands(
    transport: _Transport,
    sock: socket.socket,
    pins: tuple[HostKey, ...],
    deadline: Deadline,
    limits: Limits,
) -> HostKey:
    """Exchange keys and return the server's."""
    transport.get_security_options().key_types = _key_types(pins)
    with _step(sock, deadline, limits.handshake_s, "handshake_timeout"):
        try:
            transport.start_client(timeout=_NEVER_S)
            key = transport.get_remote_server_key()
        except Exception as error:
            raise _handshake_error(transport, error) from error
    return HostKey(key.get_name(), key.asbytes())


def _key_types(pins: tuple[HostKey, ...]) -> tuple[str, ...]:
    """The order in which to ask for host keys: every pinned type, then the others (H4).

    The client's order decides, so a server that has a key of a pinned type shows that
    one. The others stay so that a replaced key can be shown to a person.
    """
    pinned = itertools.chain.from_iterable(
        _SIGNED_BY.get(pin.key_type, (pin.key_type,)) for pin in pins
    )
    known = [name for name in pinned if name in _HOST_KEY_TYPES]
    return tuple(dict.fromkeys([*known, *_HOST_KEY_TYPES]))


def _check_host_key(offered: HostKey, pins: tuple[HostKey, ...]) -> None:
    if not pins:
        raise WireError("host_key_unknown", offered.sha256, offered_key=offered)
    if all(pin.blob != offered.blob for pin in pins):
        raise WireError("host_key_changed", offered.sha256, offered_key=offered)


def _log_in(
    transport: _Transport,
    sock: socket.socket,
    target: SshTarget,
    key: paramiko.PKey | None,
    deadline: Deadline,
) -> None:
    """Offer the one credential that the target has (H6)."""
    with _step(sock, deadline, target.limits.auth_s, "handshake_timeout"):
        try:
            transport.auth_handler = handler = _LogIn(transport)
            answered = threading.Event()
            if key is not None:
                handler.auth_publickey(target.username, key, answered)
            else:
                handler.auth_password(target.username, target.password, answered)
            further = handler.wait_for_response(answered)
        except Exception as error:
            raise _login_error(transport, error) from error
    if further:
        raise WireError(
            "auth_refused", "The server asks for more: " + ", ".join(further)
        )


def _open_sftp(
    transport: _Transport, sock: socket.socket, target: SshTarget, deadline: Deadline
) -> Sftp:
    answer_s = target.limits.channel_s
    # SFTPClient.from_transport waits for ever when the server stays silent (D9).
    with _step(sock, deadline, answer_s, "sftp_unavailable"):
        try:
            transport.set_keepalive(_KEEPALIVE_S)
            channel = transport.open_session()
            channel.settimeout(answer_s)
            _request_sftp(transport, channel)
            return Sftp(channel, peer=str(target))
        except Exception as error:
            raise _channel_error(transport, error) from error


def _request_sftp(transport: _Transport, channel: paramiko.Channel) -> None:
    """Ask for SFTP, and let its greeting follow at once: a round trip less.

    OpenSSH's own client does not wait for the answer either, so servers are used to it.
    On a refusal paramiko closes the channel, and the greeting fails.
    """
    request = paramiko.Message()
    request.add_byte(cMSG_CHANNEL_REQUEST)
    request.add_int(channel.remote_chanid)
    request.add_string("subsystem")
    request.add_boolean(True)
    request.add_string("sftp")
    transport._send_user_message(request)  # type: ignore[attr-defined]  # private


def _handshake_error(transport: _Transport, error: Exception) -> WireError:
    busy = _busy(transport)
    if busy is not None:
        return busy
    if isinstance(error, paramiko.ssh_exception.IncompatiblePeer):
        return WireError("handshake_failed", str(error))
    if transport.is_endless:
        return WireError("handshake_failed", "The server's greeting does not end")
    if isinstance(error, OSError | EOFError) or str(error).startswith(
        "Error reading SSH protocol banner"
    ):
        return WireError("network_lost", transport.greeting)
    detail = transport.disconnect_text or transport.greeting or str(error)
    return WireError("handshake_failed", detail)


def _login_error(transport: _Transport, error: Exception) -> WireError:
    busy = _busy(transport)
    if busy is not None:
        return busy
    if transport.disconnect_code:
        return WireError("auth_refused", transport.disconnect_text)
    refused = isinstance(error, paramiko.AuthenticationException)
    if refused and transport.is_active():
        return WireError("auth_refused", str(error))
    return WireError("network_lost", str(error))


def _channel_error(transport: _Transport, error: Exception) -> WireError:
    busy = _busy(transport)
    if busy is not None:
        return busy
    if isinstance(error, paramiko.ChannelException) and error.code in _CHANNEL_BUSY:
        return WireError("too_many_connections", str(error.text))
    said = error.detail if isinstance(error, WireError) else str(error)
    return WireError("sftp_unavailable", transport.disconnect_text or said)


def _busy(transport: _Transport) -> WireError | None:
    """Recognise a server that is only full (D16): it says so in one of two places."""
    said = f"{transport.greeting} {transport.disconnect_text}".lower()
    if (
        transport.disconnect_code == _DISCONNECT_TOO_MANY
        or "maxstartups" in said
        or "too many connections" in said
    ):
        return WireError(
            "too_many_connections", transport.disconnect_text or transport.greeting
        )
    return None
