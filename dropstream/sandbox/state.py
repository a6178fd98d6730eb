"""What the sandbox keeps on disk: JSON documents, secrets and host keys."""

from __future__ import annotations

import json
import os
import secrets
import tempfile
from pathlib import Path
from typing import Any

import asyncssh

Doc = dict[str, Any]


class StateFolder:
    """A folder of JSON documents, each replaced in one step and readable by us only."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir(mode=0o700, parents=True, exist_ok=True)

    def load(self, name: str, default: Any) -> Any:
        """Return the document, or ``default`` when there is none yet."""
        try:
            return json.loads((self.root / name).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return default

    def save(self, name: str, value: Any) -> None:
        """Replace the document; a reader sees the old one or the new one."""
        text = json.dumps(value, separators=(",", ":"))
        self.save_text(name, text)

    def save_text(self, name: str, text: str) -> None:
        """Replace a text file of the folder in one step, mode 0600."""
        handle, temporary = tempfile.mkstemp(dir=self.root, prefix=f".{name}.")
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(temporary, self.root / name)

    def remove(self, name: str) -> None:
        """Remove the document if it is there."""
        (self.root / name).unlink(missing_ok=True)

    def folder(self, *names: str) -> Path:
        """Return a folder inside the state, made when missing."""
        path = self.root.joinpath(*names)
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        return path

    def host_key(self, side: str) -> asyncssh.SSHKey:
        """Return the host key of one SSH server, made on first use."""
        name = f"host_key_{side}"
        if not (self.root / name).exists():
            return self.new_host_key(side)
        return asyncssh.read_private_key(self.root / name)

    def new_host_key(self, side: str) -> asyncssh.SSHKey:
        """Make, keep and return another host key for one SSH server."""
        key = asyncssh.generate_private_key("ssh-ed25519")
        self.save_text(f"host_key_{side}", key.export_private_key().decode("ascii"))
        return key


class Secrets:
    """API keys, passwords, endpoint names and ports: made once, kept over restarts."""

    FILE = "secrets.json"

    def __init__(self, state: StateFolder) -> None:
        self._state = state
        self._doc: Doc = state.load(self.FILE, {})

    def api_key(self, account_id: str) -> str:
        """Return the account's API key, 64 hex characters."""
        return str(self._keep("api_keys", account_id, secrets.token_hex(32)))

    def password(self, user: str) -> str:
        """Return the warehouse user's password, safe inside a URL."""
        return str(self._keep("passwords", user, secrets.token_hex(12)))

    def endpoints(self, count: int) -> list[str]:
        """Return the pool of host names that IP hands out, at least so many."""
        pool: list[str] = self._keep("endpoints", "pool", [])
        if len(pool) < count:
            pool += [
                f"s-{secrets.token_hex(9)[:17]}.server.transfer.us-east-1.amazonaws.com"
                for _ in range(count - len(pool))
            ]
            self._state.save(self.FILE, self._doc)
        return list(pool)

    def port(self, side: str) -> int:
        """Return the port used last time, 0 when there is none."""
        return int(self._doc.get("ports", {}).get(side, 0))

    def keep_port(self, side: str, port: int) -> None:
        """Remember the port for the next start."""
        if self.port(side) != port:
            self._doc.setdefault("ports", {})[side] = port
            self._state.save(self.FILE, self._doc)

    def _keep(self, group: str, name: str, made: Any) -> Any:
        values = self._doc.setdefault(group, {})
        if name not in values:
            values[name] = made
            self._state.save(self.FILE, self._doc)
        return values[name]
