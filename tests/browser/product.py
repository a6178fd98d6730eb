"""The product as its user starts it: all processes, on a folder of its own."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dropstream.local.processes import dying_with_parent
from dropstream.local.product import read_json, tail

ROOT = Path(__file__).resolve().parent.parent.parent
NAMES = ROOT / "tests" / "lab" / "names"
UP_AFTER_S = 90
ENDS_AFTER_S = 60
IS_UP = "Ctrl-C stops everything"


@dataclass(frozen=True)
class Product:
    """A running start: its addresses and log-ins as it printed them."""

    folder: Path
    address: str
    sandbox: str
    log_ins: dict[str, tuple[str, str]]
    """Who → e-mail and password."""

    def state(self) -> dict[str, Any]:
        """Return what the far sides know."""
        return read_json(f"{self.sandbox}/state.json")

    def ip(self, account_id: str) -> dict[str, Any]:
        """Return what Inventory Planner knows of one account; {} while it is busy."""
        return dict(self.state().get("ip", {}).get(account_id, {}))

    def warehouse(self, user: str) -> dict[str, Any]:
        """Return what the warehouse knows of one log-in; {} while it is busy."""
        return dict(self.state().get("warehouse", {}).get(user, {}))

    def out_folder(self, user: str) -> Path:
        """Return the folder in which the warehouse's people put files for us."""
        return self.folder / "sandbox" / "warehouse" / user / "out"

    def warehouse_levels(self, user: str) -> dict[str, float]:
        """Return what each SKU has available in all facilities of the warehouse."""
        stock = self._document(f"warehouse_{user}_stock.json")
        return {
            sku: float(sum(on_hand - committed for on_hand, committed in rows.values()))
            for sku, rows in stock.items()
        }

    def ip_levels(self, account_id: str) -> dict[str, float]:
        """Return what Inventory Planner believes is in stock in WH1."""
        document = self._document(f"ip_{account_id}_stock.json")
        return {
            variant: row["in_stock"]
            for variant, warehouse, row in document["stock"]
            if warehouse == "WH1"
        }

    def _document(self, name: str) -> Any:
        return json.loads((self.folder / "sandbox" / name).read_text())

    def wait_for(
        self, what: str, happened: Callable[[], bool], *, timeout_s: float = 120
    ) -> None:
        """Poll the far sides; fail with the processes' last words."""
        end = time.monotonic() + timeout_s
        while not happened():
            if time.monotonic() > end:
                raise AssertionError(
                    f"{what}: not in {timeout_s} s\n{self.last_words()}"
                )
            time.sleep(0.25)

    def last_words(self) -> str:
        """Return the end of each process's log."""
        logs = sorted((self.folder / "logs").glob("*.log"))
        return "\n".join(f"--- {log.name}\n{tail(log)}" for log in logs)


@contextmanager
def running_product() -> Iterator[Product]:
    """Start it with an empty environment, as `env -i` does; Ctrl-C at the end.

    Raises AssertionError, with what it printed, when it does not come up or go down.
    """
    folder = Path(tempfile.mkdtemp(prefix="ds-walk-"))
    printed = folder / "printed"
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    env = kept | {"DROPSTREAM_STATE": str(folder), "PYTHONPATH": str(NAMES)}
    # A walk is not the place to wait for the manners that the real API asks for.
    env["INVENTORY_PLANNER_REQUESTS_PER_S"] = "20"
    with printed.open("wb") as out:
        process = subprocess.Popen(
            dying_with_parent([sys.executable, "-u", "-m", "dropstream.local", "run"]),
            cwd=ROOT,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            # Not our terminal's: a Ctrl-C there reaches it through us alone.
            start_new_session=True,
        )
    try:
        _wait_until_up(process, printed)
        yield _read_welcome(folder, printed.read_text())
    finally:
        process.send_signal(signal.SIGINT)
        code = _wait_for_end(process)
        said = printed.read_text()
        shutil.rmtree(folder, ignore_errors=True)
    assert code == 0, said


def _wait_until_up(process: subprocess.Popen[bytes], printed: Path) -> None:
    end = time.monotonic() + UP_AFTER_S
    while IS_UP not in printed.read_text():
        if process.poll() is not None or time.monotonic() > end:
            raise AssertionError(f"The product did not start:\n{printed.read_text()}")
        time.sleep(0.1)


def _wait_for_end(process: subprocess.Popen[bytes]) -> int | None:
    try:
        return process.wait(ENDS_AFTER_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return None


def _read_welcome(folder: Path, text: str) -> Product:
    """Find in the welcome what its reader finds: two addresses and a table."""
    places = dict(re.findall(r"^(DropStream|Sandbox) +(http://\S+)", text, re.M))
    rows = re.findall(r"^(\S.*?) {2,}(\S+@\S+) +(\S+)$", text, re.M)
    log_ins = {who: (email, password) for who, email, password in rows}
    return Product(folder, places["DropStream"], places["Sandbox"], log_ins)
