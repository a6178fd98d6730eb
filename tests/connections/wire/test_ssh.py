"""Trust, log-in and ends (security §2, reliability D8-D16)."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import logging
import os
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import asyncssh
import pytest
from paramiko import Transport

from connections.wire.errors import WireError
from connections.wire.ssh import (
    Deadline,
    HostKey,
    Limits,
    SshTarget,
    connect,
    fetch_host_key,
    generate_key_pair,
    load_private_key,
)
from tests.lab.wire_servers import (
    CLIENT_KEY,
    CLIENT_PUBLIC,
    ED25519,
    HOST,
    PORT,
    QUICK,
    Faults,
    RawSession,
    SftpServer,
    host_key,
    pin_of,
    policy_for,
    scripted,
)

RSA = host_key("ssh-rsa")
ECDSA = host_key("ecdsa-sha2-nistp256")
OTHER = host_key("ssh-ed25519")
PASSWORD = "canary-password-7319"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[SftpServer]:
    with SftpServer(tmp_path) as lab:
        yield lab


def refusal(target: SshTarget, seconds: float = 20) -> WireError:
    """Try to log in, and return why it did not work."""
    with (
        pytest.raises(WireError) as refused,
        connect(target, deadline=Deadline(seconds)),
    ):
        pass
    return refused.value


def at(port: int, limits: Limits = QUICK, **changes: Any) -> SshTarget:
    target = SshTarget(
        HOST, PORT, "u", policy_for(port), (pin_of(ED25519),), CLIENT_KEY
    )
    return replace(target, limits=limits, **changes)


# Host keys.


def test_h1_an_unknown_key_is_reported_before_any_log_in(server: SftpServer) -> None:
    error = refusal(server.target(host_keys=()))
    assert error.code == "host_key_unknown"
    assert error.offered_key == pin_of(ED25519)
    assert server.seen.log_ins == []
    with connect(server.target(), deadline=Deadline(20)):
        pass
    assert server.seen.log_ins == ["u"]


def test_h1_fetching_a_key_sends_no_credential(server: SftpServer) -> None:
    found = fetch_host_key(
        HOST, PORT, policy=policy_for(server.port), deadline=Deadline(20)
    )
    assert found == pin_of(ED25519)
    assert server.seen.log_ins == []


def test_the_fingerprint_is_the_one_that_ssh_keygen_prints() -> None:
    assert pin_of(ED25519).sha256 == ED25519.get_fingerprint()


def test_h2_a_changed_key_stops_before_any_log_in(tmp_path: Path) -> None:
    with SftpServer(tmp_path, host_keys=(OTHER,)) as lab:
        error = refusal(lab.target(host_keys=(pin_of(ED25519),)))
        assert error.code == "host_key_changed"
        assert error.offered_key == pin_of(OTHER)
        assert lab.seen.log_ins == []


def test_h2_a_key_of_a_new_type_is_a_changed_key(tmp_path: Path) -> None:
    with SftpServer(tmp_path, host_keys=(ECDSA,)) as lab:
        error = refusal(lab.target(host_keys=(pin_of(ED25519),)))
        assert error.code == "host_key_changed"
        assert error.offered_key == pin_of(ECDSA)
        assert lab.seen.log_ins == []


@pytest.mark.parametrize("present", [ED25519, RSA])
def test_h3_a_server_may_have_either_of_two_pins(tmp_path: Path, present: Any) -> None:
    pins = (pin_of(ED25519), pin_of(RSA))
    with SftpServer(tmp_path, host_keys=(present,)) as lab:
        with connect(lab.target(host_keys=pins), deadline=Deadline(20)):
            pass
        assert lab.seen.log_ins == ["u"]


def test_h3_the_bytes_decide_and_not_the_type(tmp_path: Path) -> None:
    with SftpServer(tmp_path, host_keys=(OTHER,)) as lab:
        pins = (pin_of(ED25519), pin_of(RSA))
        assert refusal(lab.target(host_keys=pins)).code == "host_key_changed"


def test_h4_a_retired_ed25519_pin_does_not_hide_the_valid_rsa_one(
    tmp_path: Path,
) -> None:
    """H4, the exact case: paramiko's SSHClient refuses this server."""
    pins = (pin_of(ED25519), pin_of(RSA))
    with SftpServer(tmp_path, host_keys=(ECDSA, RSA)) as lab:
        with connect(lab.target(host_keys=pins), deadline=Deadline(20)):
            pass
        assert lab.seen.log_ins == ["u"]


# Credentials.


def test_h6_one_identity_is_offered_and_it_is_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home" / ".ssh"
    home.mkdir(parents=True)
    (home / "id_ed25519").write_text(generate_key_pair("ed25519")[0])
    agent_calls: list[int] = []
    agent = socket.socket(socket.AF_UNIX)
    agent.bind(str(tmp_path / "agent"))
    agent.listen()

    def answer() -> None:
        try:
            agent.accept()
        except OSError:
            return
        agent_calls.append(1)

    threading.Thread(target=answer, daemon=True).start()
    monkeypatch.setenv("HOME", str(home.parent))
    monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "agent"))
    drop = tmp_path / "drop"
    drop.mkdir()
    with SftpServer(drop, accept=lambda fingerprint: False) as lab:
        assert refusal(lab.target()).code == "auth_refused"
        digest = hashlib.sha256(base64.b64decode(CLIENT_PUBLIC.split()[1])).digest()
        ours = "SHA256:" + base64.b64encode(digest).decode().rstrip("=")
        assert lab.seen.keys == [ours]
        assert lab.seen.passwords == []
    agent.close()
    assert agent_calls == []


@pytest.mark.parametrize("kind", ["rsa", "ed25519"])
def test_k1_a_generated_key_logs_in(tmp_path: Path, kind: str) -> None:
    private, public = generate_key_pair(kind, "a comment")
    assert public.endswith(" a comment")
    assert load_private_key(private).get_base64() == public.split()[1]
    assert load_private_key(private).get_bits() in (256, 3072)
    with (
        SftpServer(tmp_path) as lab,
        connect(lab.target(private_key=private), deadline=Deadline(20)) as sftp,
    ):
        assert sftp.list_folder(".") == []


def test_a_password_logs_in_and_a_wrong_one_does_not(tmp_path: Path) -> None:
    with SftpServer(tmp_path, password=PASSWORD) as lab:
        good = lab.target(private_key="", password=PASSWORD)
        with connect(good, deadline=Deadline(20)):
            pass
        assert refusal(replace(good, password="wrong")).code == "auth_refused"
        assert lab.seen.passwords == [PASSWORD, "wrong"]


@pytest.mark.parametrize("kind", ["rsa", "ed25519"])
def test_a_key_goes_along_with_the_request_to_log_in(tmp_path: Path, kind: str) -> None:
    private, _ = generate_key_pair(kind)
    # A client that waits for the answer first would wait for ever.
    with (
        SftpServer(tmp_path, faults=Faults(accepts_late=True)) as lab,
        connect(lab.target(private_key=private), deadline=Deadline(20)),
    ):
        pass


def test_an_rsa_key_waits_when_the_server_says_no_signatures(tmp_path: Path) -> None:
    private, _ = generate_key_pair("rsa")
    faults = Faults(says_signatures=False)
    with SftpServer(tmp_path, faults=faults) as lab:
        target = lab.target(private_key=private)
        with connect(target, deadline=Deadline(20)):
            pass
        faults.accepts_late = True
        assert refusal(target).code == "handshake_timeout"


def test_h6_a_refused_key_does_not_fall_back_to_the_password(tmp_path: Path) -> None:
    with SftpServer(tmp_path, password=PASSWORD) as lab:
        assert refusal(lab.target(password=PASSWORD)).code == "auth_refused"
        assert lab.seen.passwords == []


def test_a_key_is_parsed_once() -> None:
    private, _ = generate_key_pair("ed25519")
    assert load_private_key(private) is load_private_key(private)


@pytest.mark.parametrize(
    "text",
    ["", "no key", CLIENT_KEY[:150], CLIENT_KEY[::-1]],
    ids=["empty", "no key", "cut", "backwards"],
)
def test_a_broken_key_says_nothing_about_itself(text: str) -> None:
    with pytest.raises(WireError) as refused:
        load_private_key(text)
    assert str(refused.value) == "private_key_invalid"


def test_m4_nothing_secret_is_shown_or_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with SftpServer(tmp_path, password="other") as lab:
        target = lab.target(private_key="", password=PASSWORD)
        shown = repr(target) + repr(refusal(target)) + caplog.text
        shown += repr(lab.target())
    assert PASSWORD not in shown
    assert "PRIVATE KEY" not in shown


# Algorithms.


@pytest.mark.parametrize(
    ("weak", "named"),
    [
        ({"encryption_algs": ["3des-cbc"]}, "ciphers"),
        ({"encryption_algs": ["aes256-ctr"], "mac_algs": ["hmac-sha1"]}, "macs"),
        ({"kex_algs": ["diffie-hellman-group14-sha1"]}, "kex"),
    ],
)
def test_h7_old_algorithms_are_refused_and_named(
    tmp_path: Path, weak: dict[str, Any], named: str
) -> None:
    with SftpServer(tmp_path, **weak) as lab:
        error = refusal(lab.target())
        assert error.code == "handshake_failed"
        assert named in error.detail
        assert lab.seen.log_ins == []


def test_h7_a_modern_server_gets_aes_gcm(server: SftpServer) -> None:
    with connect(server.target(), deadline=Deadline(20)):
        pass
    assert server.seen.negotiated["send_cipher"] == "aes128-gcm@openssh.com"
    assert server.seen.negotiated["recv_cipher"] == "aes128-gcm@openssh.com"


def test_h7_a_server_without_gcm_gets_ctr_and_sha2(tmp_path: Path) -> None:
    with SftpServer(tmp_path, encryption_algs=["aes256-ctr", "aes256-cbc"]) as lab:
        with connect(lab.target(), deadline=Deadline(20)):
            pass
        assert lab.seen.negotiated["send_cipher"] == "aes256-ctr"
        assert lab.seen.negotiated["send_mac"].startswith("hmac-sha2-")


def test_h7_nothing_weak_is_offered() -> None:
    """What we send, read off the wire: no CBC, no SHA-1, no MD5, no certificates."""
    offer = [b""]

    def act(sock: socket.socket) -> None:
        sock.sendall(b"SSH-2.0-stub\r\n")
        # The compression methods stand at the end of the offer.
        while b"none" not in offer[0]:
            offer[0] += sock.recv(65_536)
        sock.shutdown(socket.SHUT_RDWR)

    with scripted(act) as (port, _):
        refusal(at(port))
    assert b"aes128-gcm@openssh.com" in offer[0]
    assert b"kex-strict-c-v00@openssh.com" in offer[0]
    for weak in (b"cbc", b"sha1", b"md5", b"-cert-v01", b"ssh-dss", b"zlib"):
        assert weak not in offer[0]


def test_d12_rekeying_in_the_middle_does_no_harm(tmp_path: Path) -> None:
    data = bytes(range(256)) * 8192
    with SftpServer(tmp_path, rekey_bytes=200_000) as lab:
        with connect(lab.target(), deadline=Deadline(20)) as sftp:
            sftp.upload("a.csv", [data])
        assert (tmp_path / "a.csv").read_bytes() == data


# Text from the far side.


def test_h8_a_banner_stays_one_harmless_line() -> None:
    banner = b"\x1b[2J<img src=x>\r\n" * 20 + b"x" * 5000 + b"\r\n"

    def act(sock: socket.socket) -> None:
        sock.sendall(banner * 5)
        time.sleep(0.1)

    with scripted(act) as (port, _):
        error = refusal(at(port))
    assert str(error).isprintable()
    assert len(error.detail) <= 200


def test_h8_far_side_text_reaches_no_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    faults = Faults(banner="\x1b[31mforged\r\nERROR line")
    with (
        SftpServer(tmp_path, faults=faults) as lab,
        connect(lab.target(), deadline=Deadline(20)),
    ):
        pass
    ours = [record for record in caplog.records if record.name != "asyncssh"]
    assert not any("forged" in record.getMessage() for record in ours)


# Servers that do not get on with it.


def silent(sock: socket.socket) -> None:
    time.sleep(10)


def banner_only(sock: socket.socket) -> None:
    sock.sendall(b"SSH-2.0-stub\r\n")
    time.sleep(10)


def trickle(sock: socket.socket) -> None:
    while True:
        sock.sendall(b"x")
        time.sleep(0.1)


def slow_lines(sock: socket.socket) -> None:
    while True:
        sock.sendall(b"wait\r\n")
        time.sleep(0.1)


@pytest.mark.parametrize("act", [silent, banner_only, trickle, slow_lines])
def test_d8_a_tarpit_is_left_in_time(act: Callable[[socket.socket], None]) -> None:
    limits = replace(QUICK, handshake_s=0.5)
    with scripted(act) as (port, _):
        started = time.monotonic()
        error = refusal(at(port, limits))
        took_s = time.monotonic() - started
    assert error.code == "handshake_timeout"
    assert 0.4 < took_s < 1.5


@pytest.mark.parametrize("act", [silent, banner_only])
def test_d8_the_deadline_of_the_run_wins_and_is_named(
    act: Callable[[socket.socket], None],
) -> None:
    with scripted(act) as (port, _):
        assert refusal(at(port), seconds=0.3).code == "deadline_exceeded"


def test_an_expired_deadline_dials_nothing() -> None:
    with scripted(silent) as (port, accepted):
        assert refusal(at(port), seconds=0).code == "deadline_exceeded"
        assert accepted == []


def test_d8_threads_do_not_pile_up() -> None:
    limits = replace(QUICK, handshake_s=0.2)
    with scripted(silent) as (port, _):
        for _ in range(3):
            refusal(at(port, limits))
    ends_at = time.monotonic() + 2
    while left := [t for t in threading.enumerate() if isinstance(t, Transport)]:
        assert time.monotonic() < ends_at, left
        time.sleep(0.02)


async def say_nothing(session: RawSession) -> None:
    await asyncio.sleep(10)


async def trickle_version(session: RawSession) -> None:
    for byte in struct.pack(">IBI", 5000, 2, 3) + b"\0" * 5000:
        session.send(bytes([byte]))
        await asyncio.sleep(0.05)


def test_a_server_without_sftp_refuses_at_once(tmp_path: Path) -> None:
    with SftpServer(tmp_path, faults=Faults(no_sftp=True)) as lab:
        started = time.monotonic()
        assert refusal(lab.target()).code == "sftp_unavailable"
        assert time.monotonic() - started < 2


@pytest.mark.parametrize("script", [say_nothing])
def test_d9_a_silent_subsystem_is_bounded(tmp_path: Path, script: Any) -> None:
    limits = replace(QUICK, channel_s=0.4)
    with SftpServer(tmp_path, raw_session=script) as lab:
        started = time.monotonic()
        assert refusal(lab.target(limits=limits)).code == "sftp_unavailable"
        assert time.monotonic() - started < 2


def test_d10_a_trickled_answer_ends_at_the_deadline_without_burning_cpu(
    tmp_path: Path,
) -> None:
    with SftpServer(tmp_path, raw_session=trickle_version) as lab:
        started, cpu = time.monotonic(), time.thread_time()
        assert refusal(lab.target(), seconds=1).code == "deadline_exceeded"
        assert 0.9 < time.monotonic() - started < 2
        assert time.thread_time() - cpu < 0.5


def test_d10_work_inside_ends_at_the_deadline(server: SftpServer) -> None:
    def forever() -> Iterator[bytes]:
        while True:
            time.sleep(0.01)
            yield b"x" * 40_000

    started = time.monotonic()
    with (
        pytest.raises(WireError) as ended,
        connect(server.target(), deadline=Deadline(0.8)) as sftp,
    ):
        sftp.upload("a.csv", forever())
    assert ended.value.code == "deadline_exceeded"
    assert time.monotonic() - started < 2


def test_an_error_of_the_caller_passes_untouched(server: SftpServer) -> None:
    with (
        pytest.raises(ZeroDivisionError),
        connect(server.target(), deadline=Deadline(20)),
    ):
        _ = 1 // 0


def test_a_refused_port_is_told_from_a_lost_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert refusal(at(port)).code == "connect_refused"
    with scripted(lambda sock: sock.close()) as (port, _):
        assert refusal(at(port)).code == "network_lost"


def test_something_else_than_ssh_is_a_failed_handshake() -> None:
    def web(sock: socket.socket) -> None:
        sock.recv(1000)
        sock.sendall(b"HTTP/1.1 400 Bad Request\r\n" * 101)
        time.sleep(1)

    with scripted(web) as (port, _):
        error = refusal(at(port))
    assert error.code == "handshake_failed"
    assert "HTTP/1.1 400" in error.detail


def test_a_greeting_without_an_end_is_not_read_to_it() -> None:
    def act(sock: socket.socket) -> None:
        while True:
            sock.sendall(b"x" * 65_536)

    with scripted(act) as (port, _):
        error = refusal(at(port))
    assert error.code == "handshake_failed"
    assert len(error.detail) <= 200


# Servers that are full.


def test_d16_a_second_session_is_refused_as_busy(tmp_path: Path) -> None:
    with (
        SftpServer(tmp_path, faults=Faults(sessions=1)) as lab,
        connect(lab.target(), deadline=Deadline(20)),
    ):
        assert refusal(lab.target()).code == "too_many_connections"


def test_d16_openssh_says_it_before_its_version() -> None:
    def act(sock: socket.socket) -> None:
        sock.sendall(b"Exceeded MaxStartups\r\n")
        sock.shutdown(socket.SHUT_WR)
        time.sleep(0.2)

    with scripted(act) as (port, _):
        assert refusal(at(port)).code == "too_many_connections"


def test_d16_a_disconnect_for_too_many_is_busy_and_not_a_wrong_key(
    tmp_path: Path,
) -> None:
    class Full(asyncssh.SSHServer):
        def connection_made(self, conn: Any) -> None:
            self.conn = conn

        def begin_auth(self, username: str) -> bool:
            self.conn.disconnect(asyncssh.DISC_TOO_MANY_CONNECTIONS, "come back later")
            return True

    with SftpServer(tmp_path, server_factory=Full) as lab:
        error = refusal(lab.target())
    assert error.code == "too_many_connections"
    assert error.detail == "come back later"


# The watchdog.


class Closeable:
    def __init__(self) -> None:
        self.closed_at: list[float] = []

    def close(self) -> None:
        self.closed_at.append(time.monotonic())


def test_one_watchdog_ends_many_things_each_in_its_time() -> None:
    things = [Closeable() for _ in range(20)]
    started = time.monotonic()
    guards = []
    for number, thing in enumerate(reversed(things), 1):
        guard = Deadline(number * 0.02).guard(thing)
        guard.__enter__()
        guards.append(guard)
    time.sleep(0.6)
    for guard in guards:
        guard.__exit__(None, None, None)
    for number, thing in enumerate(reversed(things), 1):
        assert len(thing.closed_at) == 1
        assert thing.closed_at[0] - started == pytest.approx(number * 0.02, abs=0.15)
    names = [thread.name for thread in threading.enumerate()]
    assert names.count("wire-watchdog") == 1


def test_a_guard_that_is_left_in_time_closes_nothing() -> None:
    thing = Closeable()
    with Deadline(0.05).guard(thing):
        pass
    time.sleep(0.15)
    assert thing.closed_at == []


def test_a_forked_child_has_a_watchdog_of_its_own() -> None:
    """Prefork workers: the parent's watches are not theirs, their own ones work."""
    ours = Closeable()
    with Deadline(0.3).guard(ours):
        child = os.fork()
        if child == 0:
            theirs = Closeable()
            with Deadline(0.05).guard(theirs):
                time.sleep(0.5)
            os._exit(0 if theirs.closed_at and not ours.closed_at else 1)
        assert os.waitpid(child, 0)[1] == 0
    assert len(ours.closed_at) == 1


def fail_late(error: Exception) -> None:
    time.sleep(0.15)
    raise error


def test_an_error_after_the_deadline_is_the_deadline() -> None:
    with pytest.raises(WireError) as ended, Deadline(0.05).guard(Closeable()):
        fail_late(ConnectionResetError())
    assert ended.value.code == "deadline_exceeded"


def test_a_refusal_that_a_person_must_see_is_not_hidden_by_the_deadline() -> None:
    with pytest.raises(WireError) as ended, Deadline(0.05).guard(Closeable()):
        fail_late(WireError("permission_denied"))
    assert ended.value.code == "permission_denied"


def test_host_keys_of_the_same_bytes_are_equal() -> None:
    assert HostKey("ssh-rsa", b"x") == HostKey("ssh-rsa", b"x")
