"""The sandbox as a whole: starts and stops its servers and keeps their clock."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Coroutine
from functools import partial
from http.server import ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any

from dropstream.sandbox import http_server, pages, seed
from dropstream.sandbox.http_server import Request, Response
from dropstream.sandbox.ip import InventoryPlanner
from dropstream.sandbox.ip_api import ROOT as API_ROOT
from dropstream.sandbox.journal import Journal
from dropstream.sandbox.ssh_server import SshSide
from dropstream.sandbox.state import Doc, Secrets, StateFolder
from dropstream.sandbox.warehouse import Warehouse

FACTS = "facts.json"
SKUS = 5_000
STOCK_INTERVAL_S = 60.0

log = logging.getLogger(__name__)


class Sandbox:
    """Both far sides on 127.0.0.1; a context manager that runs its own threads.

    Intervals are seconds; None leaves the work to whoever calls it. ``http_port`` 0
    takes the port of last time or any free one; ``distance_s`` is what each step of an
    SFTP session takes.
    """

    def __init__(
        self,
        state_dir: Path | str,
        http_port: int = 0,
        *,
        with_ip: bool = True,
        more_merchants: int = 0,
        journal_file: Path | None = None,
        skus: int = SKUS,
        distance_s: float = 0.0,
        tick_s: float | None = 1.0,
        sync_s: float | None = 5.0,
        sync_lead_s: float = 0.0,
        stock_interval_s: float | None = STOCK_INTERVAL_S,
        receipt_delay_s: float = 1.5,
        folder_names: dict[str, str] | None = None,
    ) -> None:
        self.state = StateFolder(Path(state_dir).absolute())
        self.secrets = Secrets(self.state)
        self.journal = Journal(journal_file)
        self.merchants = seed.MERCHANTS | seed.more_merchants(more_merchants)
        self.sync_s = sync_s
        self.tick_s = tick_s
        self.facts: Doc = {}
        self.warehouse = Warehouse(
            self.state,
            self.secrets,
            self.journal,
            merchants=self.merchants,
            skus=skus,
            stock_interval_s=stock_interval_s,
            receipt_delay_s=receipt_delay_s,
        )
        self._ip = self._planner(skus, sync_lead_s, folder_names) if with_ip else None
        if distance_s:
            for side in self._sides():
                side.faults.append(partial(_travel, distance_s))
        self._http_port = http_port
        self._http: ThreadingHTTPServer | None = None
        self._http_thread: threading.Thread | None = None
        self._loop = asyncio.new_event_loop()
        self._loop_thread = threading.Thread(
            target=self._loop.run_forever, name="sandbox-loop", daemon=True
        )

    def _planner(
        self, skus: int, sync_lead_s: float, folder_names: dict[str, str] | None
    ) -> InventoryPlanner:
        return InventoryPlanner(
            self.state,
            self.secrets,
            self.journal,
            merchants=self.merchants,
            skus=skus,
            sync_lead_s=sync_lead_s,
            folder_names=folder_names or {},
        )

    @property
    def ip(self) -> InventoryPlanner:
        """Return Inventory Planner's side; RuntimeError when there is none."""
        if self._ip is None:
            raise RuntimeError("this sandbox has no Inventory Planner")
        return self._ip

    @property
    def has_ip(self) -> bool:
        """Say whether Inventory Planner's side is here."""
        return self._ip is not None

    def __enter__(self) -> Sandbox:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Serve, then write ``facts.json``. Raises OSError when a port is taken."""
        try:
            self._start()
        except OSError:
            self.stop()
            raise

    def _start(self) -> None:
        self.state.remove(FACTS)
        self.warehouse.start()
        self._http = self._open_http()
        self._loop_thread.start()
        for side in self._sides():
            self._run(side.listen())
        self._http_thread = threading.Thread(
            target=self._http.serve_forever,
            kwargs={"poll_interval": 0.05},
            name="sandbox-http",
            daemon=True,
        )
        self._http_thread.start()
        self._every(self.tick_s, self.warehouse.tick)
        if self._ip is not None:
            self._every(self.sync_s, self.sync_all)
        self.facts = self._facts(self._http.server_address[1])
        self.state.save(FACTS, self.facts)

    def stop(self) -> None:
        """Stop serving; the state stays on disk. A second call does nothing."""
        if self._loop.is_closed():
            return
        self.state.remove(FACTS)
        if self._http_thread is not None and self._http is not None:
            self._http.shutdown()
        if self._http is not None:
            self._http.server_close()
        if self._loop_thread.is_alive():
            self._run(self._end_loop_work())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._loop_thread.join()
        self._loop.close()
        self.journal.close()

    async def _end_loop_work(self) -> None:
        for side in self._sides():
            await side.close()
        rest = asyncio.all_tasks() - {asyncio.current_task()}
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)

    def rotate_host_key(self, side: str) -> None:
        """Give ``ip`` or ``warehouse`` another host key on the same port."""
        named = {one.name: one for one in self._sides()}
        self._run(named[side].rotate_host_key())

    def sync_all(self) -> None:
        """Run the nightly sync of every account."""
        for account_id in self.ip.accounts:
            self.ip.sync_now(account_id)

    def answer(self, request: Request) -> Response:
        """Answer an HTTP request: IP's API or a page."""
        if self._ip is not None and request.path.startswith(API_ROOT):
            return self._ip.answer(request)
        return pages.answer(self, request)

    def _sides(self) -> list[SshSide]:
        sides: list[SshSide] = [self.warehouse.ssh]
        return sides if self._ip is None else [*sides, self._ip.ssh]

    def _open_http(self) -> ThreadingHTTPServer:
        wanted = self._http_port or self.secrets.port("http")
        try:
            server = http_server.serve(wanted, self.answer)
        except OSError:
            if self._http_port or not wanted:
                raise
            server = http_server.serve(0, self.answer)
        self.secrets.keep_port("http", server.server_address[1])
        return server

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=10)

    def _every(self, interval_s: float | None, work: Callable[[], object]) -> None:
        if interval_s is None:
            return

        async def clock(wait_s: float) -> None:
            while True:
                await asyncio.sleep(wait_s)
                started = time.monotonic()
                try:
                    work()
                except Exception:
                    log.exception("the sandbox's clock stumbled")
                log.debug("clock took %.3f s", time.monotonic() - started)

        asyncio.run_coroutine_threadsafe(clock(interval_s), self._loop)

    def _facts(self, http_port: int) -> Doc:
        url = f"http://127.0.0.1:{http_port}"
        users = self.warehouse.users
        port = self.warehouse.ssh.port
        hosts = [f"{user.host}=127.0.0.1:{port}" for user in users.values()]
        people: dict[str, Doc] = {
            name: {"connection_string": user.connection_string()}
            for name, user in users.items()
        }
        facts: Doc = {"url": url}
        if self._ip is not None:
            facts["api_url"] = f"{url}/"
            port = self._ip.ssh.port
            hosts += [f"{e}=127.0.0.1:{port}" for e in self._ip.endpoints()]
            for name, account_id in self.merchants.items():
                key = self._ip.accounts[account_id].key
                people[name] |= {"account_id": account_id, "api_key": key}
        return facts | {"outbound_hosts": ",".join(hosts)} | people


async def _travel(distance_s: float, op: str, path: str) -> None:
    """A far side is far: a step that is asked for from elsewhere takes its time."""
    await asyncio.sleep(distance_s)
