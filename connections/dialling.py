"""Dial far sides: the deployment's policy and the account's approved host keys."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from urllib.parse import urlsplit

from django.conf import settings

from connections.problems import Problem
from connections.wire import ssh
from connections.wire.errors import WireError
from connections.wire.outbound import Policy, parse_static_hosts
from connections.wire.sftp import Sftp
from stores import host_keys
from stores.sealing import SealError
from stores.secret import Secret


@dataclass(frozen=True)
class SftpAccess:
    """Where to log in and as whom; exactly one of the two secrets is set."""

    account_id: int
    host: str
    port: int
    username: str
    private_key: Secret = field(default_factory=lambda: Secret(""))
    password: Secret = field(default_factory=lambda: Secret(""))


def sftp_policy() -> Policy:
    """What SFTP endpoints may be dialled."""
    return _sftp_policy(settings.OUTBOUND_HOSTS, settings.OUTBOUND_PORTS)


@lru_cache(maxsize=4)
def _sftp_policy(static_hosts: str, ports: frozenset[int]) -> Policy:
    return Policy(ports=ports, static_hosts=parse_static_hosts(static_hosts))


def api_policy(base_url: str) -> Policy:
    """What the API client may dial: https, or exactly a loopback API that is set."""
    url = urlsplit(base_url)
    loopback: frozenset[tuple[str, int]] = frozenset()
    if url.scheme == "http" and url.hostname:
        loopback = frozenset({(url.hostname, url.port or 80)})
    return Policy(
        ports=frozenset({443}),
        static_hosts=parse_static_hosts(settings.OUTBOUND_HOSTS),
        loopback=loopback,
    )


@contextmanager
def open_sftp(access: SftpAccess, deadline: ssh.Deadline) -> Iterator[Sftp]:
    """Log in with approved host keys only; raise WireError.

    A key that nobody has approved is recorded as pending and nothing is sent (H1).
    """
    pins = host_keys.approved_keys(access.account_id, access.host, access.port)
    target = ssh.SshTarget(
        host=access.host,
        port=access.port,
        username=access.username,
        policy=sftp_policy(),
        host_keys=tuple(ssh.HostKey(pin.key_type, bytes(pin.blob)) for pin in pins),
        private_key=access.private_key.reveal(),
        password=access.password.reveal(),
    )
    try:
        with ssh.connect(target, deadline=deadline) as sftp:
            yield sftp
    except WireError as error:
        if error.offered_key is not None:
            host_keys.note_offered(
                access.account_id,
                access.host,
                access.port,
                key_type=error.offered_key.key_type,
                blob=error.offered_key.blob,
            )
        raise


@contextmanager
def readable_secrets() -> Iterator[None]:
    """Turn a sealed value that does not open into a problem that a page can show."""
    try:
        yield
    except SealError as error:
        raise Problem("secret_unreadable") from error
