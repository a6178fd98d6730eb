"""The warehouse's side: an SFTP folder that reports stock and takes orders.

Each user has a folder with ``/in`` (orders for the warehouse) and ``/out`` (stock and
receipts from it). Files appear in ``/out`` under their name only when complete.
"""

from __future__ import annotations

import csv
import hashlib
import io
import math
import random
import re
import threading
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from dropstream.sandbox import seed
from dropstream.sandbox.journal import Journal
from dropstream.sandbox.ssh_server import Fault
from dropstream.sandbox.state import Secrets, StateFolder
from dropstream.sandbox.warehouse_orders import Order, OrderLine, half, parse_order
from dropstream.sandbox.warehouse_ssh import WarehouseSide

# A host name for each user: approving one log-in's host key is not approving another's.
DOMAIN = "warehouse.sandbox.example"
FACILITIES = ("RENO", "DALLAS")
STOCK_HEADER = [
    "sku",
    "facility",
    "available",
    "on_hand",
    "committed",
    "reported_at",
]
RECEIPT_HEADER = [
    "receipt_id",
    "po_id",
    "po_number",
    "line_id",
    "sku",
    "quantity",
    "received_at",
]
CHANGED_AT_ONCE = 20
OUT_KEPT = 200
ORDERS_KEPT = 500


@dataclass
class User:
    """One log-in with its folder, stock and orders. Change it under the lock."""

    name: str
    password: str = field(repr=False)
    folder: Path
    store: Path
    stock: dict[str, dict[str, list[int]]]
    """SKU → facility → [on hand, committed]."""
    orders: list[Order]
    rejected: list[list[str]]
    """[file name, why] of each file in /in that is no order."""
    in_parts: bool = False
    last_stock_name: str = ""
    full_stock_name: str = ""

    @property
    def incoming(self) -> Path:
        """Return the folder that its client writes orders into."""
        return self.folder / "in"

    @property
    def outgoing(self) -> Path:
        """Return the folder that its client reads."""
        return self.folder / "out"

    @property
    def host(self) -> str:
        """The name that this user's log-in is reached by."""
        return f"{self.name}.{DOMAIN}"

    def connection_string(self) -> str:
        """Return what the warehouse hands to whoever integrates."""
        return f"sftp://{self.name}:{self.password}@{self.host}:22"

    def order(self, po_id: str) -> Order | None:
        """Return the order with that id."""
        return next((o for o in self.orders if o.po_id == po_id), None)

    def doubled(self) -> list[Order]:
        """Return the orders that came more than once."""
        return [order for order in self.orders if order.copies > 1]


class Warehouse:
    """All users of the warehouse and everything that its people do by themselves."""

    def __init__(
        self,
        state: StateFolder,
        secrets: Secrets,
        journal: Journal,
        *,
        merchants: Iterable[str],
        skus: int,
        stock_interval_s: float | None,
        receipt_delay_s: float,
    ) -> None:
        self.lock = threading.RLock()
        self.state = state
        self.journal = journal
        self.stock_interval_s = stock_interval_s
        self.receipt_delay_s = receipt_delay_s
        self.ssh = WarehouseSide("warehouse", self, state, secrets, journal)
        self._random = random.Random()  # noqa: S311 - made-up stock
        self._stock_due = math.inf
        self.users = {name: self._load(name, secrets, skus) for name in merchants}

    @property
    def sftp_faults(self) -> list[Fault]:
        """Return the list of scripted faults of the folders, to be added to."""
        return self.ssh.faults

    def start(self) -> None:
        """Report the full stock where that never happened, and start the clock."""
        with self.lock:
            for user in self.users.values():
                if not (user.outgoing / user.full_stock_name).is_file():
                    self.report_full_stock(user)
        if self.stock_interval_s is not None:
            self._stock_due = time.monotonic() + self.stock_interval_s

    def tick(self) -> None:
        """Do what is due: take orders, send receipts, report changed stock."""
        with self.lock:
            for user in self.users.values():
                self._take_orders(user)
                self._send_due_receipts(user)
            if self.stock_interval_s is not None and self._stock_due < time.monotonic():
                self._stock_due = time.monotonic() + self.stock_interval_s
                for user in self.users.values():
                    self.change_stock(user)

    def change_stock(self, user: User, count: int = CHANGED_AT_ONCE) -> str:
        """Change some SKUs and report only them; return the file's name."""
        with self.lock:
            changed = self._random.sample(
                sorted(user.stock), min(count, len(user.stock))
            )
            for sku in changed:
                for facility in FACILITIES:
                    user.stock[sku][facility] = random_level(self._random)
            return self._report_stock(user, sorted(changed))

    def set_stock(self, user: User, sku: str, facility: str, on_hand: int) -> str:
        """Set one figure, nothing committed, and report it; return the file's name."""
        with self.lock:
            user.stock.setdefault(sku, {})[facility] = [on_hand, 0]
            return self._report_stock(user, [sku])

    def report_full_stock(self, user: User) -> str:
        """Report every SKU; return the file's name."""
        with self.lock:
            user.full_stock_name = self._report_stock(user, sorted(user.stock))
            self._save(user)
            return user.full_stock_name

    def receive(self, user: User, po_id: str, *, in_parts: bool = False) -> str:
        """Receive what is left of an order, or half of it; return the receipt's name.

        Raises KeyError for an unknown order and ValueError when nothing is left.
        """
        with self.lock:
            order = user.order(po_id)
            if order is None:
                raise KeyError(po_id)
            rows = [
                (line, half(line.left()) if in_parts else line.left())
                for line in order.lines
                if line.left() > 0
            ]
            if not rows:
                raise ValueError("nothing is left to receive")
            name = self._write_receipt(user, order, rows)
            order.in_parts = in_parts
            self._save(user)
            return name

    def set_in_parts(self, user: User, in_parts: bool) -> None:
        """Choose whether new orders are received in full or in two parts."""
        with self.lock:
            user.in_parts = in_parts
            self._save(user)

    def _report_stock(self, user: User, skus: Iterable[str]) -> str:
        at = datetime.now(UTC)
        name = f"inv_{at:%Y%m%dT%H%M%S}.csv"
        while name <= user.last_stock_name:  # one name a second, in order
            at += timedelta(seconds=1)
            name = f"inv_{at:%Y%m%dT%H%M%S}.csv"
        reported_at = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
        rows = [
            [sku, facility, on_hand - committed, on_hand, committed, reported_at]
            for sku in skus
            for facility, (on_hand, committed) in user.stock[sku].items()
        ]
        user.last_stock_name = name
        self._save_stock(user)
        self._save(user)
        self._publish(user, name, STOCK_HEADER, rows)
        return name

    def _publish(
        self, user: User, name: str, header: list[str], rows: list[list[Any]]
    ) -> None:
        """Write under a hidden name, then rename: nobody sees half a file."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
        hidden = user.outgoing / f".{name}.part"
        hidden.write_text(text.getvalue(), encoding="utf-8", newline="")
        hidden.replace(user.outgoing / name)
        self._prune(user)

    def _prune(self, user: User) -> None:
        """Remove the oldest files; a newcomer must still find one full report."""
        files = sorted(user.outgoing.glob("*.csv"), key=lambda p: p.stat().st_mtime_ns)
        for path in files[:-OUT_KEPT]:
            path.unlink(missing_ok=True)
            if path.name == user.full_stock_name:
                self.report_full_stock(user)

    def _take_orders(self, user: User) -> None:
        for path in sorted(user.incoming.glob("po_*.csv")):
            if not path.is_file():
                continue
            try:
                order = parse_order(path)
            except FileNotFoundError:
                continue  # its client took it away again
            except ValueError as error:
                user.rejected.append([path.name, str(error)])
            else:
                self._take(user, order)
                content = path.read_bytes()
                digest = hashlib.sha256(content).hexdigest()
                self.journal.add(
                    *("warehouse", user.name, "taken"),
                    *(f"/in/{path.name}", len(content), digest),
                )
            self._save(user)
            path.replace(user.store / f"{time.time():.6f}_{path.name[-40:]}")

    @staticmethod
    def _take(user: User, order: Order) -> None:
        known = user.order(order.po_id)
        if known is not None:
            known.copies += 1
            return
        order.in_parts = user.in_parts
        user.orders.append(order)
        del user.orders[:-ORDERS_KEPT]

    def _send_due_receipts(self, user: User) -> None:
        due = time.time() - self.receipt_delay_s
        for order in list(user.orders):
            if not order.receipts and order.taken_at <= due and not order.is_received():
                self.receive(user, order.po_id, in_parts=order.in_parts)

    def _write_receipt(
        self, user: User, order: Order, rows: list[tuple[OrderLine, Decimal]]
    ) -> str:
        number = len(order.receipts) + 1
        shown = re.sub(r"[^\w.-]", "-", order.po_number)
        while (user.outgoing / f"rcp_{shown}_{number}.csv").exists():
            number += 1
        name = f"rcp_{shown}_{number}.csv"
        receipt_id = f"R-{order.po_id}-{len(order.receipts) + 1}"
        received_at = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
        head = [receipt_id, order.po_id, order.po_number]
        self._publish(
            user,
            name,
            RECEIPT_HEADER,
            [
                [*head, line.line_id, line.sku, f"{quantity:f}", received_at]
                for line, quantity in rows
            ],
        )
        for line, quantity in rows:
            line.received = f"{Decimal(line.received) + quantity:f}"
        order.receipts.append(name)
        return name

    def _save(self, user: User) -> None:
        doc = {
            "orders": [asdict(order) for order in user.orders],
            "rejected": user.rejected,
            "in_parts": user.in_parts,
            "last_stock_name": user.last_stock_name,
            "full_stock_name": user.full_stock_name,
        }
        self.state.save(f"warehouse_{user.name}.json", doc)

    def _save_stock(self, user: User) -> None:
        self.state.save(f"warehouse_{user.name}_stock.json", user.stock)

    def _load(self, name: str, secrets: Secrets, skus: int) -> User:
        doc = self.state.load(f"warehouse_{name}.json", {})
        stock = self.state.load(f"warehouse_{name}_stock.json", None)
        user = User(
            name=name,
            password=secrets.password(name),
            folder=self.state.folder("warehouse", name),
            store=self.state.folder("warehouse", "taken", name),
            stock=first_stock(name, skus) if stock is None else stock,
            orders=[
                Order(**row | {"lines": [OrderLine(**line) for line in row["lines"]]})
                for row in doc.get("orders", ())
            ],
            rejected=doc.get("rejected", []),
            in_parts=doc.get("in_parts", False),
            last_stock_name=doc.get("last_stock_name", ""),
            full_stock_name=doc.get("full_stock_name", "none"),
        )
        user.incoming.mkdir(exist_ok=True)
        user.outgoing.mkdir(exist_ok=True)
        return user


def random_level(source: random.Random) -> list[int]:
    """Return [on hand, committed] of a SKU in one facility."""
    on_hand = source.randrange(0, 400)
    return [on_hand, source.randrange(0, on_hand // 4 + 1)]


def first_stock(user: str, skus: int) -> dict[str, dict[str, list[int]]]:
    """Return the stock a user starts with: the same one every time."""
    source = random.Random(user)  # noqa: S311 - made-up stock
    return {
        seed.sku(number): {name: random_level(source) for name in FACILITIES}
        for number in range(1, skus + 1)
    }
