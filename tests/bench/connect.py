"""How long it takes until a server takes requests (performance.md §2)."""

from __future__ import annotations

import contextlib
import dataclasses
import io

import paramiko

from connections.wire.ssh import Deadline, connect
from tests.bench.registry import Measured, compare, measure
from tests.bench.upload import real_server
from tests.lab.openssh import OpenSsh
from tests.lab.proxy import far_away

_RTT_MS = 20.0
_ROUNDS = 15


@measure("connect.setup", goal="≤ 0.75 ×")
def connect_setup() -> Measured:
    """TCP to SFTP ready at 20 ms; our time against that of paramiko's defaults.

    The same key for both, parsed before; closing is not counted. The proxy accepts TCP
    itself, at once: of what a far server costs, TCP's own round trip is in neither time.
    """
    with (
        real_server() as server,
        far_away(server.port, rtt_ms=_RTT_MS) as port,
        contextlib.ExitStack() as opened,
    ):
        reached = dataclasses.replace(server, port=port)
        return compare(
            lambda: theirs(reached, opened),
            lambda: ours(reached, opened),
            rounds=_ROUNDS,
        )


def ours(server: OpenSsh, opened: contextlib.ExitStack) -> None:
    """Connect; what is open is closed later."""
    opened.enter_context(connect(server.target(), deadline=Deadline(60)))


def theirs(server: OpenSsh, opened: contextlib.ExitStack) -> None:
    """Connect as paramiko's manual says, with the host key checked as well."""
    client = opened.enter_context(paramiko.SSHClient())
    host_key = paramiko.PKey.from_type_string(
        server.host_key.key_type, server.host_key.blob
    )
    client.get_host_keys().add(
        f"[127.0.0.1]:{server.port}", server.host_key.key_type, host_key
    )
    client.connect(
        "127.0.0.1",
        server.port,
        server.username,
        pkey=paramiko.Ed25519Key.from_private_key(
            io.StringIO(server.key_file.read_text())
        ),
        allow_agent=False,
        look_for_keys=False,
    )
    client.open_sftp()
