"""A real OpenSSH server for one folder, where the machine has one."""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from connections.wire.ssh import (
    Deadline,
    HostKey,
    SshTarget,
    fetch_host_key,
    generate_key_pair,
)
from tests.lab.wire_servers import HOST, PORT, policy_for

# sshd insists on being started by its full path and is often outside of PATH.
SSHD = shutil.which(
    "sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin"
)
KEYGEN = shutil.which("ssh-keygen")
SFTP = shutil.which("sftp")


@dataclass(frozen=True)
class OpenSsh:
    """A running server: where, for whom, and which key file it lets in."""

    port: int
    username: str
    host_key: HostKey
    key_file: Path
    known_hosts: Path
    folder: Path

    def target(self, **changes: object) -> SshTarget:
        values: dict[str, object] = {
            "host": HOST,
            "port": PORT,
            "username": self.username,
            "policy": policy_for(self.port),
            "host_keys": (self.host_key,),
            "private_key": self.key_file.read_text(),
        }
        return SshTarget(**{**values, **changes})  # type: ignore[arg-type]

    def let_in(self, public_key: str) -> None:
        """Accept one more key."""
        with self.key_file.with_name("authorized").open("a") as file:
            file.write(public_key.strip() + "\n")


@contextlib.contextmanager
def openssh(
    work: Path,
    *,
    flags: str = "",
    chroot: bool = False,
    most_kib: int | None = None,
) -> Iterator[OpenSsh]:
    """Run sshd with internal-sftp, without a password and on loopback only.

    ``work`` is an empty folder, or one that a server ran in before: its keys and files
    stay, but for a host key that was removed. Files land in ``work/drop``, which is all
    there is with ``chroot`` (only root can). ``flags`` go to internal-sftp; ``most_kib``
    is what ``ulimit -f`` lets a file have.
    """
    assert SSHD
    assert KEYGEN
    folder = work / "drop"
    folder.mkdir(exist_ok=True)
    host_file = work / "host_key"
    if not host_file.exists():
        command = [KEYGEN, "-q", "-t", "ed25519", "-N", "", "-f", str(host_file)]
        subprocess.run(command, check=True, timeout=20)
    key_file = work / "client_key"
    if not key_file.exists():
        private, public = generate_key_pair("ed25519")
        key_file.write_text(private)
        key_file.chmod(0o600)
        (work / "authorized").write_text(public + "\n")
    port = _free_port()
    root = f"ChrootDirectory {folder}\n" if chroot else ""
    start = "/" if chroot else folder
    (work / "config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {host_file}\nPidFile none\n"
        f"AuthorizedKeysFile {work / 'authorized'}\nStrictModes no\nUsePAM no\n"
        "PasswordAuthentication no\nPermitRootLogin prohibit-password\n"
        "MaxStartups 100:30:200\nSubsystem sftp internal-sftp\n"
        f"{root}ForceCommand internal-sftp -d {start} {flags}\n"
    )
    if os.geteuid() == 0:
        # Its unprivileged half wants this folder; packages make it at boot.
        Path("/run/sshd").mkdir(parents=True, exist_ok=True)
    with (work / "log").open("wb") as log:
        command = [SSHD, "-D", "-e", "-f", str(work / "config")]
        if most_kib is not None:
            limit = f'ulimit -f {most_kib}; exec "$0" "$@"'
            command = ["bash", "-c", limit, *command]
        server = subprocess.Popen(command, stderr=log)
    try:
        host_key = _wait_for(port, server, work / "log")
        known_hosts = work / "known_hosts"
        line = host_file.with_suffix(".pub").read_text()
        known_hosts.write_text(f"{HOST} {line}")
        yield OpenSsh(port, getpass.getuser(), host_key, key_file, known_hosts, folder)
    finally:
        server.terminate()
        server.wait(10)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def _wait_for(port: int, server: subprocess.Popen[bytes], log: Path) -> HostKey:
    ends_at = time.monotonic() + 10
    while True:
        try:
            return fetch_host_key(
                HOST, PORT, policy=policy_for(port), deadline=Deadline(5)
            )
        except Exception:
            if server.poll() is not None or time.monotonic() > ends_at:
                raise RuntimeError(f"sshd does not run:\n{log.read_text()}") from None
            time.sleep(0.05)
