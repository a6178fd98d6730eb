"""How the tests of the sandbox talk to it: plain HTTP, plain SFTP, real sockets."""

from __future__ import annotations

import asyncio
import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import AsyncIterator, Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import asyncssh

from dropstream.sandbox import Sandbox

T = TypeVar("T")

STOCK_COLUMNS = "VARIANT_ID,WAREHOUSE_ID,IN_STOCK,REMOVED,UPDATED_AT"
ORDER_COLUMNS = "po_id,po_number,vendor,expected_on,line_id,sku,title,quantity"


@dataclass(frozen=True)
class Reply:
    """An HTTP answer, read to its end."""

    status: int
    text: str
    headers: Mapping[str, str]

    @property
    def json(self) -> Any:
        """Return the body as JSON."""
        return json.loads(self.text)


def ask(
    address: str,
    *,
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
) -> Reply:
    """Ask, follow redirects, and return the answer whatever its status."""
    request = urllib.request.Request(
        address, data=body, headers=dict(headers or {}), method=method
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return Reply(answer.status, answer.read().decode(), dict(answer.headers))
    except urllib.error.HTTPError as error:
        return Reply(error.code, error.read().decode(), dict(error.headers))


@dataclass(frozen=True)
class ApiClient:
    """A client of the API with one account's credentials."""

    sandbox: Sandbox
    account_id: str = "123456"

    def get(self, path: str, **headers: str) -> Reply:
        """GET a path below ``/api/v1/``; ``headers`` replace those of the account."""
        return self.send("GET", path, **headers)

    def send(self, method: str, path: str, body: Any = None, **headers: str) -> Reply:
        """Send a request with a JSON body, if any."""
        bare = self.account_id.lstrip("aA")
        account = self.sandbox.ip.accounts.get(bare)
        sent = {
            "Authorization": account.key if account else "none",
            "Account": self.account_id,
            "Content-Type": "application/json",
        }
        content = None if body is None else json.dumps(body).encode()
        return ask(
            f"{self.sandbox.facts['api_url']}api/v1/{path}",
            method=method,
            headers=sent | {k.replace("_", "-"): v for k, v in headers.items()},
            body=content,
        )

    def order(self, reference: str) -> Any:
        """Return an order by its number, read through the list."""
        rows = self.get(f"purchase-orders?reference={reference}").json
        return rows["purchase-orders"][0]


def post_form(
    sandbox: Sandbox, path: str, *, accept: str = "text/html", **fields: str
) -> Reply:
    """Submit a form of the sandbox's pages."""
    return ask(
        sandbox.facts["url"] + path,
        method="POST",
        headers={"Accept": accept},
        body=urllib.parse.urlencode(fields).encode(),
    )


def new_key(kind: str = "ssh-ed25519") -> asyncssh.SSHKey:
    """Return a key pair of a merchant's store."""
    return asyncssh.generate_private_key(kind, comment="store")


def public_line(key: asyncssh.SSHKey) -> str:
    """Return the public half on one line."""
    return key.export_public_key().decode().strip()


@asynccontextmanager
async def drop(
    sandbox: Sandbox, key: asyncssh.SSHKey, username: str = "123456"
) -> AsyncIterator[asyncssh.SFTPClient]:
    """Log in at IP with a key."""
    async with (
        asyncssh.connect(
            "127.0.0.1",
            sandbox.ip.ssh.port,
            username=username,
            client_keys=[key],
            known_hosts=None,
            config=None,
            agent_path=None,
        ) as connection,
        connection.start_sftp_client() as sftp,
    ):
        yield sftp


@asynccontextmanager
async def folder(
    sandbox: Sandbox, user: str = "demo", password: str = ""
) -> AsyncIterator[asyncssh.SFTPClient]:
    """Log in at the warehouse with a password, the user's own by default."""
    async with (
        asyncssh.connect(
            "127.0.0.1",
            sandbox.warehouse.ssh.port,
            username=user,
            password=password or sandbox.warehouse.users[user].password,
            client_keys=None,
            known_hosts=None,
            config=None,
            agent_path=None,
        ) as connection,
        connection.start_sftp_client() as sftp,
    ):
        yield sftp


async def put(sftp: asyncssh.SFTPClient, path: str, text: str) -> None:
    """Write a file: write, create, truncate."""
    async with sftp.open(path, "wb") as file:
        await file.write(text.encode())


def stock_file(*rows: str) -> str:
    """Return a stock file; a row is ``VARIANT,WAREHOUSE,FIGURE``."""
    lines = [f"{row},false,2026-01-01 00:00:00" for row in rows]
    return "\n".join([STOCK_COLUMNS, *lines]) + "\n"


def order_file(po_id: str, *lines: str, number: str = "1042") -> str:
    """Return an order for the warehouse; a line is ``LINE_ID,SKU,TITLE,QUANTITY``."""
    rows = [f"{po_id},{number},Acme,2026-12-01,{line}" for line in lines]
    return "\n".join([ORDER_COLUMNS, *rows]) + "\n"


def in_own_loop(visit: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine in a thread: Playwright keeps a loop in the tests' own."""
    with ThreadPoolExecutor(max_workers=1) as thread:
        return thread.submit(asyncio.run, visit).result()
