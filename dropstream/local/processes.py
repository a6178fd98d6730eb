"""Child processes that never outlive us."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path


def dying_with_parent(
    command: Sequence[str], sig: signal.Signals = signal.SIGTERM
) -> list[str]:
    """Return the command of a child that gets `sig` when its spawning thread ends.

    By Linux' `setpriv`; elsewhere the leftover check of the next start does the work.
    Not by a preexec_fn: Python between fork and exec waits for ever on a lock that
    another thread held at the fork. Spawn from the main thread, or the child ends with
    its thread.
    """
    setpriv = shutil.which("setpriv") if sys.platform == "linux" else None
    if setpriv is None:
        return list(command)
    return [setpriv, "--pdeathsig", sig.name.removeprefix("SIG"), "--", *command]


def command_line(pid: int) -> str:
    """Return the arguments of a process, "" when it is gone or a zombie."""
    proc = Path(f"/proc/{pid}/cmdline")
    if proc.parent.parent.joinpath("self").exists():
        try:
            return proc.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            return ""
    if not shutil.which("ps"):
        return ""
    shown = subprocess.run(
        ["ps", "-o", "args=", "-p", str(pid)],
        capture_output=True,
        text=True,
        check=False,
    )
    return shown.stdout.strip()


# What claim_port holds until this process ends, however it ends.
_claims: list[socket.socket] = []


def free_port() -> int:
    """Return a port of the loopback that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def claim_port(wanted: int) -> int:
    """Return `wanted` or the next free port, and keep other starts from choosing it.

    Seconds pass until somebody listens there; a start beside this one would find the
    port free until then.
    """
    for port in range(wanted, wanted + 101):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
                _claim(port)
            except OSError:
                continue
            return port
    raise OSError(f"No free port from {wanted} to {wanted + 100}.")


def _claim(port: int) -> None:
    """Raise OSError when another start has claimed the port."""
    if sys.platform != "linux":
        return
    # A name without a file: it goes away with its holder, as no lock file would.
    claim = socket.socket(socket.AF_UNIX)
    try:
        claim.bind(f"\0dropstream-port-{port}")
    except OSError:
        claim.close()
        raise
    _claims.append(claim)


class Child:
    """A programme of ours in its own session, logging to a file."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        env: Mapping[str, str],
        log: Path,
        orphan_signal: signal.Signals = signal.SIGKILL,
        patience_s: float = 15,
    ) -> None:
        self.name = name
        self.command = list(command)
        self.marker = " ".join(command)
        self.process: subprocess.Popen[bytes] | None = None
        self.log = log
        self._env = dict(env)
        self._orphan_signal = orphan_signal
        self._patience_s = patience_s

    def start(self) -> None:
        """Spawn it; call from the main thread only."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                dying_with_parent(self.command, self._orphan_signal),
                env=self._env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def ask_to_stop(self) -> None:
        """Send SIGTERM; wait() later."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()

    def stop(self) -> None:
        """Let it finish what it does; kill it when it takes too long."""
        self.ask_to_stop()
        if self.process is None:
            return
        try:
            self.process.wait(self._patience_s)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """End it and whatever it started."""
        if self.process is not None and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


def end_leftovers(pids_file: Path) -> int:
    """Kill what a killed start left (where nothing tells children); return how many."""
    try:
        recorded: dict[str, str] = json.loads(pids_file.read_text())
    except (OSError, ValueError):
        return 0
    ended = 0
    for pid, marker in recorded.items():
        # The marker: a pid may belong to somebody else by now.
        if marker in command_line(int(pid)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
                ended += 1
    pids_file.unlink(missing_ok=True)
    return ended
