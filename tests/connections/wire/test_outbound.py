"""The guard: which addresses, names and ports may be dialled (security E1-E5)."""

from __future__ import annotations

import ast
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from connections.wire.errors import WireError
from connections.wire.outbound import (
    Policy,
    check_host_name,
    is_public,
    open_socket,
    parse_static_hosts,
)

ROOT = Path(__file__).resolve().parents[3]
PUBLIC, OTHER_PUBLIC = "93.184.216.34", "8.8.8.8"
POLICY = Policy(ports=frozenset({22, 2222}))


class Network:
    """Answer names as told, and note what would have been dialled."""

    def __init__(self, *answers: list[str], peer: str | None = None) -> None:
        self._answers = iter(answers)
        self._peer = peer
        self.dialled: list[str] = []
        self.asked = 0

    def resolve(self, host: str, port: int, **_: Any) -> list[tuple[Any, ...]]:
        self.asked += 1
        return [
            (
                socket.AF_INET6 if ":" in address else socket.AF_INET,
                socket.SOCK_STREAM,
                6,
                "",
                (address, port, 0, 0) if ":" in address else (address, port),
            )
            for address in next(self._answers)
        ]

    def dial(self, family: int, address: tuple[Any, ...], timeout_s: float) -> Any:
        self.dialled.append(address[0])
        return Peer(self._peer or address[0])

    def open(self, host: str = "h.example.com", port: int = 22) -> Any:
        return open_socket(
            host,
            port,
            policy=POLICY,
            timeout_s=1,
            resolve=self.resolve,
            dial=self.dial,
        )


class Peer(socket.socket):
    """An unconnected socket that says who is at the other end."""

    def __init__(self, address: str) -> None:
        super().__init__()
        self._address = address

    def getpeername(self) -> tuple[str, int]:
        return (self._address, 22)


def code_of(network: Network, **where: Any) -> str:
    with pytest.raises(WireError) as refused:
        network.open(**where)
    return refused.value.code


# E1: one place.

CALLS = {
    "socket.socket",
    "socket.create_connection",
    "socket.getaddrinfo",
    "socket.gethostbyname",
    "socket.fromfd",
    "asyncio.open_connection",
    "paramiko.SSHClient",
    "paramiko.AutoAddPolicy",
    "paramiko.WarningPolicy",
    "paramiko.MissingHostKeyPolicy",
    "paramiko.Transport",
    "urllib.request.urlopen",
    "http.client.HTTPConnection",
    "http.client.HTTPSConnection",
    *(f"requests.{verb}" for verb in ("get", "post", "put", "patch", "delete", "head")),
    "requests.request",
}
# Libraries that dial by themselves; those of the wire are held by the tests of the wire.
LIBRARIES = {
    "aiohttp",
    "asyncssh",
    "ftplib",
    "httpx",
    "paramiko",
    "pycurl",
    "requests",
    "telnetlib",
    "urllib3",
}


def modules() -> Iterator[Path]:
    for package in ("connections", "stores", "inventory_planner"):
        yield from (ROOT / package).rglob("*.py")


def dotted(node: ast.AST) -> str:
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def openings(tree: ast.AST) -> set[str]:
    """What a module calls or imports that could open a socket."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and dotted(node.func) in CALLS:
            found.add(dotted(node.func))
        elif isinstance(node, ast.Import):
            found.update(
                n.name for n in node.names if n.name.split(".")[0] in LIBRARIES
            )
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = {f"{node.module}.{name.name}" for name in node.names}
            found |= names & CALLS
            if node.module.split(".")[0] in LIBRARIES:
                found.add(node.module)
    return found


def test_e1_only_the_guard_opens_sockets() -> None:
    wire = ROOT / "connections" / "wire"
    for path in modules():
        found = openings(ast.parse(path.read_text()))
        if path == wire / "outbound.py":
            assert found == {"socket.socket"}
        elif path.parent == wire:
            assert found <= LIBRARIES | {
                "paramiko.auth_handler",
                "paramiko.common",
                "paramiko.packet",
                "requests.adapters",
                "urllib3.connection",
                "urllib3.connectionpool",
            }, path
        else:
            assert found == set(), path


def test_e1_the_search_finds_what_it_is_for() -> None:
    for line in (
        "import socket; socket.create_connection(('h', 1))",
        "from socket import create_connection",
        "import paramiko; paramiko.SSHClient()",
        "from urllib.request import urlopen",
        "import httpx",
    ):
        assert openings(ast.parse(line)), line


# E2, E3: addresses.


def test_e1_a_public_name_is_dialled_once_resolved() -> None:
    network = Network([PUBLIC])
    network.open().close()
    assert (network.dialled, network.asked) == ([PUBLIC], 1)


def test_e1_rebinding_finds_no_second_look_up() -> None:
    """Public first, loopback second: only the first answer is ever used."""
    network = Network([PUBLIC], ["127.0.0.1"])
    network.open().close()
    assert network.dialled == [PUBLIC]


def test_e1_the_peer_must_be_an_address_that_was_judged() -> None:
    network = Network([PUBLIC], peer="127.0.0.1")
    assert code_of(network) == "address_blocked"


@pytest.mark.parametrize("bad", ["10.0.0.1", "::1", "fe80::1"])
def test_e2_a_mixed_answer_is_refused_as_a_whole(bad: str) -> None:
    for answer in ([PUBLIC, bad], [bad, PUBLIC]):
        network = Network(answer)
        assert code_of(network) == "address_blocked"
        assert network.dialled == []


BLOCKED = """
    0.0.0.0 0.1.2.3 127.0.0.1 127.255.255.255 10.0.0.1 172.16.0.1 172.31.255.255
    192.168.0.1 169.254.169.254 100.64.0.1 100.127.255.255 192.0.0.1 192.0.0.9
    192.0.2.1 198.51.100.1 203.0.113.1 198.18.0.1 198.19.255.255 224.0.0.1
    239.255.255.255 240.0.0.1 255.255.255.255 192.88.99.1
    :: ::1 fe80::1 fe80::1%eth0 fc00::1 fd00:ec2::254 fec0::1 ff02::1 ff0e::1
    2001:db8::1 3fff::1 5f00::1 100::1
    ::ffff:127.0.0.1 ::ffff:10.0.0.5 ::ffff:169.254.169.254 ::ffff:0:127.0.0.1
    ::127.0.0.1 ::8.8.8.8 64:ff9b::7f00:1 64:ff9b::808:808 64:ff9b:1::a00:1
    2002:7f00:1:: 2002:808:808:: 2001:0:7f00:1:: 2001::1
"""


@pytest.mark.parametrize("address", BLOCKED.split())
def test_e3_addresses_that_are_never_dialled(address: str) -> None:
    assert not is_public(address)
    network = Network([address])
    assert code_of(network) == "address_blocked"
    assert network.dialled == []


@pytest.mark.parametrize(
    "address", [PUBLIC, OTHER_PUBLIC, "2606:4700::1111", "2a00:1450:4001::200e"]
)
def test_e3_ordinary_addresses_are(address: str) -> None:
    assert is_public(address)


def test_e3_a_mapped_public_address_is_judged_by_what_is_inside() -> None:
    assert is_public(f"::ffff:{OTHER_PUBLIC}")


# E4: names.

ODD_NAMES = [
    *("127.1", "0x7f.1", "2130706433", "0177.0.0.1", "①②⑦.0.0.1", "1.2.3.4", "8.8.8.8"),
    *("localhost", "a.localhost", "host", "host.", "h.example.com.", "a..b", ".a.b"),
    *("-a.b", "a-.b", "a_b.c", "ho st.c", "host%00.c", "host.c\n", "\nhost.c"),
    *("host.c\r\n", "host\0.c", "user:pw@host.c", "user@host.c", "[::1]", "::1"),
    *("%6cocalhost.c", "host.c/x", "host.c:22", "host.c#", "host.c?x", "host.c\\x"),
    *("exаmple.com", "ｅxample.com", "example。com", "", ".", "a." + "b" * 64),
    ".".join(["a" * 49] * 6),
    "a.0x7f",
    "a.1",
]


@pytest.mark.parametrize("name", ODD_NAMES)
def test_e4_what_is_no_host_name(name: str) -> None:
    network = Network([PUBLIC])
    assert code_of(network, host=name) == "host_name_invalid"
    assert (network.asked, network.dialled) == (0, [])


@pytest.mark.parametrize(
    "name",
    [
        "sftp.example.com",
        "s-0123456789abcdef0.server.transfer.eu-central-1.amazonaws.com",
        "127.example.com",
        "xn--bcher-kva.example",
        "a.b",
    ],
)
def test_e4_what_is_one(name: str) -> None:
    assert check_host_name(name.upper()) == name


# E5: ports.


@pytest.mark.parametrize("port", [0, 1, 25, 80, 443, 6379, 65_535, 65_536, -22])
def test_e5_other_ports_are_refused_before_a_look_up(port: int) -> None:
    network = Network([PUBLIC])
    assert code_of(network, port=port) == "port_not_allowed"
    assert network.asked == 0


# Names without an answer, and addresses without one.


def test_d13_names_that_cannot_be_found() -> None:
    def fail(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(-2, "Name or service not known")

    with pytest.raises(WireError) as refused:
        open_socket("h.example.com", 22, policy=POLICY, timeout_s=1, resolve=fail)
    assert refused.value.code == "name_not_found"
    assert code_of(Network([])) == "name_not_found"


def test_d13_a_dead_first_address_leaves_time_for_the_second() -> None:
    network = Network(["2606:4700::1111", PUBLIC])
    shares: list[float] = []

    def dial(family: int, address: tuple[Any, ...], timeout_s: float) -> Any:
        shares.append(timeout_s)
        if ":" in address[0]:
            raise OSError(101, "Network is unreachable")
        return network.dial(family, address, timeout_s)

    open_socket(
        "h.example.com",
        22,
        policy=POLICY,
        timeout_s=4,
        resolve=network.resolve,
        dial=dial,
    ).close()
    assert shares == [pytest.approx(2, abs=0.2), pytest.approx(4, abs=0.2)]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (TimeoutError(), "connect_timeout"),
        (ConnectionRefusedError(), "connect_refused"),
        (OSError(113, "No route to host"), "network_lost"),
    ],
)
def test_failures_to_connect_are_named(error: OSError, code: str) -> None:
    def dial(*_: Any) -> Any:
        raise error

    with pytest.raises(WireError) as refused:
        open_socket(
            "h.example.com",
            22,
            policy=POLICY,
            timeout_s=1,
            resolve=Network([PUBLIC]).resolve,
            dial=dial,
        )
    assert refused.value.code == code


# What a deployment may map or allow.


def test_a_static_host_is_dialled_without_asking_dns() -> None:
    network = Network()
    policy = Policy(
        ports=frozenset({22}), static_hosts={"h.example.com": ("127.0.0.1", 2022)}
    )
    open_socket(
        "h.example.com",
        22,
        policy=policy,
        timeout_s=1,
        resolve=network.resolve,
        dial=network.dial,
    ).close()
    assert (network.asked, network.dialled) == (0, ["127.0.0.1"])


def test_loopback_is_for_the_exact_pair_only() -> None:
    policy = Policy(ports=frozenset({443}), loopback=frozenset({("localhost", 8001)}))
    network = Network(["127.0.0.1"], ["127.0.0.1"], ["10.0.0.1"])

    def open_(host: str, port: int) -> Any:
        return open_socket(
            host,
            port,
            policy=policy,
            timeout_s=1,
            resolve=network.resolve,
            dial=network.dial,
        )

    open_("localhost", 8001).close()
    for host, port in (("localhost", 8002), ("localhost", 443), ("h.example.com", 443)):
        with pytest.raises(WireError):
            open_(host, port)
    with pytest.raises(WireError) as refused:
        open_("localhost", 8001)
    assert refused.value.code == "address_blocked"
    assert network.dialled == ["127.0.0.1"]


def test_the_map_of_static_hosts_is_read_strictly() -> None:
    assert parse_static_hosts("") == {}
    assert parse_static_hosts("a.b=127.0.0.1:22, c.d=[::1]:2022") == {
        "a.b": ("127.0.0.1", 22),
        "c.d": ("::1", 2022),
    }
    for text in ("a.b", "a.b=1.2.3.4", "a.b=h:22", "a.b=1.2.3.4:0", "local=1.2.3.4:22"):
        with pytest.raises(ValueError, match=r".+"):
            parse_static_hosts(text)


def test_an_open_socket_sends_at_once_and_notices_a_dead_peer() -> None:
    """D11, performance.md §1: no Nagle, keep-alive."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        policy = Policy(ports=frozenset(), loopback=frozenset({("127.0.0.1", port)}))
        with open_socket("127.0.0.1", port, policy=policy, timeout_s=2) as sock:
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            assert sock.gettimeout() is None
