"""The guard: the one place that opens a socket to the outside (security E1-E5).

Merchants type host names and our workers dial them. Without this module that is a port
scanner inside our network. A name is resolved once, every answer is judged, one judged
address is dialled, and the connected peer is judged again.
"""

from __future__ import annotations

import contextlib
import ipaddress
import re
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from connections.wire.errors import WireError

Resolve = Callable[..., Sequence[tuple[Any, ...]]]
Dial = Callable[[int, tuple[Any, ...], float], socket.socket]

_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_LONGEST_NAME = 253

# Addresses that carry an IPv4 address inside, or whose route depends on the network
# they are used in. Python's tables call most of them "global" (security E3).
_TRANSITION = tuple(
    ipaddress.ip_network(text)
    for text in (
        "::/96",  # IPv4-compatible
        "::ffff:0:0/96",  # IPv4-mapped; the inner address is judged instead
        "::ffff:0:0:0/96",  # IPv4-translated (SIIT)
        "64:ff9b::/96",  # NAT64
        "64:ff9b:1::/48",  # NAT64, local use
        "2001::/32",  # Teredo
        "2002::/16",  # 6to4
        "fec0::/10",  # site-local
        "192.88.99.0/24",  # 6to4 relays
    )
)
# Refused whatever the running Python's tables say; they changed in patch releases.
_NEVER = tuple(
    ipaddress.ip_network(text)
    for text in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/3",
        "100::/64",
        "2001:db8::/32",
        "3fff::/20",
        "5f00::/16",
        "fc00::/7",
        "fe80::/10",
        "ff00::/8",
    )
)


@dataclass(frozen=True)
class Policy:
    """What this deployment may dial. All of it is configuration, none of it typed.

    ``static_hosts`` maps a name to the (address, port) that is dialled instead of
    asking DNS. ``loopback`` lists exact (host, port) pairs that may be loopback: a
    local API URL and nothing else.
    """

    ports: frozenset[int]
    static_hosts: Mapping[str, tuple[str, int]] = field(default_factory=dict)
    loopback: frozenset[tuple[str, int]] = frozenset()


def parse_static_hosts(text: str) -> dict[str, tuple[str, int]]:
    """Read "name=address:port,..." (IPv6 in brackets); ValueError when malformed."""
    hosts: dict[str, tuple[str, int]] = {}
    for entry in filter(None, (part.strip() for part in text.split(","))):
        name, equals, target = entry.partition("=")
        address, colon, port = target.rpartition(":")
        if not (equals and colon and port.isascii() and port.isdigit()):
            raise ValueError(f"Not name=address:port: {entry!r}")
        if not 0 < int(port) < 65536:
            raise ValueError(f"No such port: {entry!r}")
        ip = ipaddress.ip_address(address.removeprefix("[").removesuffix("]"))
        try:
            hosts[check_host_name(name)] = (str(ip), int(port))
        except WireError as error:
            raise ValueError(f"Not a host name: {name!r}") from error
    return hosts


def check_host_name(name: str) -> str:
    """Return the name in lower case; raise host_name_invalid unless it is one (E4).

    A grammar on purpose: the C resolver takes "127.1", "0x7f.1" and "①②⑦.0.0.1" for
    127.0.0.1. A last label without a letter is how every such form is told apart.
    """
    lowered = name.lower() if name.isascii() else ""
    labels = lowered.split(".")
    valid = (
        0 < len(lowered) <= _LONGEST_NAME
        and len(labels) > 1
        and all(_LABEL.fullmatch(label) for label in labels)
        and labels[-1][0].isalpha()
        # "localhost" is loopback by RFC 6761, whatever a resolver answers.
        and labels[-1] != "localhost"
    )
    if not valid:
        raise WireError("host_name_invalid", name)
    return lowered


def is_public(address: str) -> bool:
    """Say whether an IP address is an ordinary one of the public internet (E3)."""
    try:
        # A scope ("fe80::1%eth0") only exists on local links.
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.scope_id is not None:
            return False
        if ip.ipv4_mapped is not None:
            return is_public(str(ip.ipv4_mapped))
    blocked = (net for net in _NEVER + _TRANSITION if net.version == ip.version)
    if any(ip in net for net in blocked):
        return False
    return ip.is_global and not (
        ip.is_multicast or ip.is_reserved or ip.is_unspecified or ip.is_loopback
    )


def dial(family: int, address: tuple[Any, ...], timeout_s: float) -> socket.socket:
    """Connect a TCP socket to an address that the guard has judged."""
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.settimeout(timeout_s)
        sock.connect(address)
    except BaseException:
        sock.close()
        raise
    return sock


def open_socket(
    host: str,
    port: int,
    *,
    policy: Policy,
    timeout_s: float,
    resolve: Resolve = socket.getaddrinfo,
    dial: Dial = dial,
) -> socket.socket:
    """Open a TCP connection to a host that may be dialled, or raise WireError.

    ``timeout_s`` covers all addresses together, name look-up excluded (the C resolver
    cannot be interrupted; its own limits apply). The socket comes back blocking.
    """
    if port not in policy.ports and (host, port) not in policy.loopback:
        raise WireError("port_not_allowed", str(port))
    candidates, allowed = _candidates(host, port, policy, resolve)
    sock = _dial_any(candidates, timeout_s, dial)
    try:
        # The address that was judged is the one that must be at the other end.
        peer = str(sock.getpeername()[0])
        if peer not in allowed:
            raise WireError("address_blocked", host)
        _tune(sock)
        sock.settimeout(None)
    except OSError as error:
        sock.close()
        raise WireError("network_lost", host) from error
    except BaseException:
        sock.close()
        raise
    return sock


def _candidates(
    host: str, port: int, policy: Policy, resolve: Resolve
) -> tuple[list[tuple[int, tuple[Any, ...]]], frozenset[str]]:
    """Return the addresses to try, and the peers that may answer."""
    may_be_loopback = (host, port) in policy.loopback
    if not may_be_loopback:
        host = check_host_name(host)
    static = policy.static_hosts.get(host)
    if static is not None:
        family = socket.AF_INET6 if ":" in static[0] else socket.AF_INET
        return [(family, static)], frozenset({static[0]})
    answers = _look_up(host, port, resolve)
    addresses = frozenset(str(sockaddr[0]) for _, sockaddr in answers)
    # One bad answer spoils them all (E2): an honest name has no private addresses.
    for address in addresses:
        if not (is_public(address) or (may_be_loopback and _is_loopback(address))):
            raise WireError("address_blocked", host)
    return answers, addresses


def _look_up(
    host: str, port: int, resolve: Resolve
) -> list[tuple[int, tuple[Any, ...]]]:
    try:
        found = resolve(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise WireError("name_not_found", host) from error
    answers = [
        (int(family), tuple(sockaddr))
        for family, _type, _proto, _name, sockaddr in found
        if family in (socket.AF_INET, socket.AF_INET6)
    ]
    if not answers:
        raise WireError("name_not_found", host)
    return answers


def _is_loopback(address: str) -> bool:
    return ipaddress.ip_address(address).is_loopback


def _dial_any(
    candidates: list[tuple[int, tuple[Any, ...]]], timeout_s: float, dial: Dial
) -> socket.socket:
    """Try the addresses in the resolver's order, sharing one time limit."""
    ends_at = time.monotonic() + timeout_s
    failure = WireError("connect_timeout")
    for position, (family, sockaddr) in enumerate(candidates):
        left_s = ends_at - time.monotonic()
        if left_s <= 0:
            break
        # A dead first address (v6 without a route) must leave time for the others.
        share_s = left_s / (len(candidates) - position)
        try:
            return dial(family, sockaddr, share_s)
        except TimeoutError as error:
            failure = WireError("connect_timeout", str(sockaddr[0]))
            failure.__cause__ = error
        except ConnectionRefusedError as error:
            failure = WireError("connect_refused", str(sockaddr[0]))
            failure.__cause__ = error
        except OSError as error:
            failure = WireError("network_lost", error.strerror or "")
            failure.__cause__ = error
    raise failure


def _tune(sock: socket.socket) -> None:
    """Send small packets at once, and notice a vanished peer (D11)."""
    # Without it each SFTP write waits for a delayed ACK: 35 times slower, measured.
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    wanted = (
        ("TCP_KEEPIDLE", 30),
        ("TCP_KEEPINTVL", 10),
        ("TCP_KEEPCNT", 3),
        ("TCP_USER_TIMEOUT", 60_000),  # milliseconds of unacknowledged data
    )
    for name, value in wanted:
        option = getattr(socket, name, None)  # not every system has each of them
        if option is not None:
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.IPPROTO_TCP, option, value)
