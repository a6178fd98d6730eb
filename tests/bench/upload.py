"""Our uploads against OpenSSH's client (performance.md §1)."""

from __future__ import annotations

import dataclasses
import hashlib
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from connections.wire.ssh import Deadline, connect
from tests.bench.registry import Measured, PeerMissingError, compare, measure
from tests.lab.openssh import KEYGEN, SFTP, SSHD, OpenSsh, openssh
from tests.lab.proxy import far_away
from tests.lab.wire_servers import HOST

_SIZE = 100_000_000
_CHUNK = 1 << 20


def inventory_csv(size: int) -> bytes:
    """Rows like a stock file's, different from one another, cut at ``size`` bytes."""
    rows = []
    length = 0
    number = 0
    while length < size:
        row = b"SKU-%08d,WH-%d,%d,%d.%02d,2026-11-23T04:05:06\n" % (
            *(number, number % 7, number * 31 % 977, number % 89, number % 100),
        )
        rows.append(row)
        length += len(row)
        number += 1
    return b"".join(rows)[:size]


@measure("upload.loopback", goal="≥ 1.2 ×")
def upload_loopback() -> Measured:
    """100 MB to a local sshd, a fresh connection each, against ``sftp -b``."""
    with real_server() as server:
        # Loopback figures move by a fifth from round to round; seven steady them.
        return _compared(server, server, rounds=7)


@measure("upload.rtt80", goal="≥ 1.1 ×")
def upload_rtt80() -> Measured:
    """The same with the server 80 ms away, for both of them."""
    with real_server() as server, far_away(server.port, rtt_ms=80) as port:
        return _compared(server, dataclasses.replace(server, port=port), rounds=5)


@contextmanager
def real_server(*, flags: str = "") -> Iterator[OpenSsh]:
    """OpenSSH's, with its files in memory; `flags` go to internal-sftp.

    Raises PeerMissingError.
    """
    if not (SSHD and KEYGEN and SFTP):
        raise PeerMissingError("OpenSSH's sshd and sftp are not installed")
    with (
        tempfile.TemporaryDirectory(dir=_memory()) as folder,
        openssh(Path(folder), flags=flags) as server,
    ):
        yield server


def put(server: OpenSsh, source: Path, name: str) -> None:
    """Upload a file by OpenSSH's own client."""
    command = [
        *(SFTP or "sftp", "-q", "-b", "-", "-F", "none", "-P", str(server.port)),
        *("-i", str(server.key_file), "-o", "IdentitiesOnly=yes"),
        *("-o", "StrictHostKeyChecking=yes", "-o", f"HostKeyAlias={HOST}"),
        *("-o", f"UserKnownHostsFile={server.known_hosts}"),
        f"{server.username}@127.0.0.1",
    ]
    subprocess.run(
        command,
        input=f"put {source} {name}\n".encode(),
        check=True,
        capture_output=True,
        timeout=300,
    )


def _compared(
    server: OpenSsh, reached: OpenSsh, *, rounds: int, size: int = _SIZE
) -> Measured:
    """Both ways to the same server; `reached`: as it is seen from here."""
    data = inventory_csv(size)
    source = server.key_file.with_name("source.csv")
    source.write_bytes(data)
    _check_both(server, reached, source, data)
    return compare(
        lambda: _ours(reached, data),
        lambda: put(reached, source, "theirs.csv"),
        rounds=rounds,
    )


def _memory() -> str | None:
    """A file system in memory, where there is one: disks are not what is measured."""
    shared = Path("/dev/shm")
    return str(shared) if shared.is_dir() else None


def _ours(server: OpenSsh, data: bytes) -> None:
    view = memoryview(data)
    chunks = (bytes(view[at : at + _CHUNK]) for at in range(0, len(data), _CHUNK))
    with connect(server.target(), deadline=Deadline(300)) as sftp:
        sftp.upload("ours.csv", chunks)


def _check_both(server: OpenSsh, reached: OpenSsh, source: Path, data: bytes) -> None:
    """Both ways must really bring the file, or the figure means nothing."""
    wanted = hashlib.sha256(data).digest()
    _ours(reached, data)
    put(reached, source, "theirs.csv")
    for name in ("ours.csv", "theirs.csv"):
        if hashlib.sha256((server.folder / name).read_bytes()).digest() != wanted:
            raise RuntimeError(f"{name} did not arrive whole")
