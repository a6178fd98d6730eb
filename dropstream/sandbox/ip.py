"""Inventory Planner's side: accounts, their drops, and what IP knows of them."""

from __future__ import annotations

import hashlib
import hmac
import random
import re
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import asyncssh

from dropstream.sandbox import ip_sync, seed
from dropstream.sandbox.crowd import Crowd
from dropstream.sandbox.http_server import Request, Response
from dropstream.sandbox.ip_api import Api
from dropstream.sandbox.ip_columns import FOLDERS
from dropstream.sandbox.ip_drop import DropSide
from dropstream.sandbox.journal import Journal
from dropstream.sandbox.ssh_server import Fault
from dropstream.sandbox.state import Doc, Secrets, StateFolder

DEMO, TRY = seed.MERCHANTS["demo"], seed.MERCHANTS["try"]
NAMES = {
    DEMO: "Demo merchant",
    TRY: "Your merchant",
    seed.MERCHANTS["try2"]: "Your second merchant",
    seed.MERCHANTS["try3"]: "Your third merchant",
    seed.MERCHANTS["try4"]: "Your fourth merchant",
}
ENDPOINTS_SPARE = 16
KEY_TYPES = re.compile(r"ssh-rsa|ssh-ed25519|ecdsa-sha2-nistp(256|384|521)")
KEY_LIMIT = 2048
REPORTS_KEPT = 300
REQUESTS_KEPT = 5_000


class KeyRefused(ValueError):
    """The pasted text is not a public key that IP takes; the message says why."""


@dataclass(frozen=True)
class StockRow:
    """What IP knows of one variant in one warehouse."""

    in_stock: float
    removed: bool
    updated_at: str
    file: str


@dataclass
class Drop:
    """One Advanced CSV connection: an endpoint, the key that opens it, its folder."""

    endpoint: str
    account_id: str
    public_key: str
    folder: Path

    def files(self) -> list[str]:
        """Return the paths of the files that wait, as their client sees them."""
        found = (p for p in self.folder.rglob("*") if p.is_file())
        return sorted(str(p.relative_to(self.folder)) for p in found)


@dataclass
class Account:
    """One merchant's account at IP. Change it under the lock of its planner."""

    account_id: str
    name: str
    key: str = field(repr=False)
    orders: list[Doc]
    variants: dict[str, str]
    warehouses: set[str]
    vendors: set[str]
    stock: dict[tuple[str, str], StockRow]
    reports: deque[ip_sync.FileReport]
    archive: Path
    drops: list[Drop] = field(default_factory=list)
    crowd: Crowd | None = None
    """Takes the place of `orders` in the API's list, when a great many are wanted."""
    syncs: int = 0
    synced_at: float = 0.0

    def order(self, reference: str) -> Doc:
        """Return the order with that number; KeyError when there is none."""
        for doc in self.orders:
            if doc["reference"] == reference:
                return doc
        raise KeyError(reference)

    def next_reference(self) -> str:
        """Return the number after the highest."""
        numbers = (int(d["reference"]) for d in self.orders if d["reference"].isdigit())
        return str(max(numbers, default=1000) + 1)

    def take_stock(self, row: dict[str, str], file: str) -> None:
        """Replace the figure of one variant in one warehouse."""
        self.stock[row["VARIANT_ID"], row["WAREHOUSE_ID"]] = StockRow(
            in_stock=float(row["IN_STOCK"]),
            removed=row["REMOVED"].lower() == "true",
            updated_at=row["UPDATED_AT"],
            file=file,
        )

    def stock_rows(self, warehouse_id: str = "WH1") -> int:
        """Return how many variants have a stock figure in a warehouse."""
        return sum(
            1
            for (_, warehouse), row in self.stock.items()
            if warehouse == warehouse_id and not row.removed
        )

    def stock_of(self, variant: str) -> float:
        """Return the stock of a variant in all warehouses."""
        return sum(
            self.stock[variant, warehouse].in_stock
            for warehouse in self.warehouses
            if (variant, warehouse) in self.stock
            and not self.stock[variant, warehouse].removed
        )


class InventoryPlanner:
    """All accounts with their API, their drops and the nightly sync."""

    def __init__(
        self,
        state: StateFolder,
        secrets: Secrets,
        journal: Journal,
        *,
        merchants: dict[str, str],
        skus: int,
        sync_lead_s: float,
        folder_names: dict[str, str],
    ) -> None:
        self.state = state
        self.secrets = secrets
        self.journal = journal
        self.lock = threading.RLock()
        self.sync_lead_s = sync_lead_s
        self._skus = skus
        self._random = random.Random()  # noqa: S311 - made-up orders
        self.folder_names = {entity: entity for entity in FOLDERS} | folder_names
        self.api = Api(self)
        self.requests: deque[Request] = deque(maxlen=REQUESTS_KEPT)
        self.answers: list[Callable[[Request], Response | None]] = []
        """Scripted API answers, each asked in turn; the first Response wins, None
        leaves the request to the next one and at last to IP itself."""
        self.accounts = {
            account_id: self._load(account_id, NAMES.get(account_id, user), skus)
            for user, account_id in merchants.items()
        }
        self._load_drops()
        self.ssh = DropSide("ip", self, state, secrets, journal)

    @property
    def sftp_faults(self) -> list[Fault]:
        """Return the list of scripted faults of the drops, to be added to."""
        return self.ssh.faults

    def answer(self, request: Request) -> Response:
        """Answer an API request: logged, then scripted, then as IP would."""
        self.requests.append(request)
        self.journal.add(
            "api",
            self.account_name(request),
            request.method,
            request.path,
            len(request.body),
            hashlib.sha256(request.body).hexdigest() if request.body else "",
        )
        for script in list(self.answers):
            response = script(request)
            if response is not None:
                return response
        return self.normal_answer(request)

    def normal_answer(self, request: Request) -> Response:
        """Answer as IP does when nothing is scripted."""
        with self.lock:
            return self.api.answer(request)

    @staticmethod
    def account_name(request: Request) -> str:
        """Return the account id of a request, cut to a sane length."""
        return request.headers.get("account", "")[:20]

    def authenticated(self, account_id: str, key: str) -> Account | None:
        """Return the account when id (with or without the ``a``) and key match."""
        bare = account_id[1:] if account_id[:1] in {"a", "A"} else account_id
        account = self.accounts.get(bare)
        if account is None or not hmac.compare_digest(
            account.key.encode(), key.encode()
        ):
            return None
        return account

    def connect(self, account_id: str, public_key: str) -> Drop:
        """Make an Advanced CSV connection, or return the one that has this key.

        Raises KeyRefused for a key that IP's form refuses and KeyError for an
        unknown account.
        """
        account = self.accounts[account_id]
        line = checked_key(public_key)
        with self.lock:
            known = self.drop_of(asyncssh.import_public_key(line))
            if known is not None:
                if known.account_id != account_id:
                    raise KeyRefused("This key belongs to another account.")
                return known
            taken = {drop.endpoint for drop in self.drops()}
            free = [e for e in self.endpoints() if e not in taken]
            if not free:
                raise KeyRefused("All endpoints of the sandbox are in use.")
            drop = self._drop(free[0], account_id, line)
            account.drops.append(drop)
            self.save_drops()
            return drop

    def endpoints(self) -> list[str]:
        """Return the host names that connections get."""
        return self.secrets.endpoints(len(self.accounts) + ENDPOINTS_SPARE)

    def make_order(self, account_id: str) -> Doc:
        """Let the merchant order a few variants from a vendor; return the order."""
        with self.lock:
            account = self.accounts[account_id]
            reference = account.next_reference()
            numbers = self._random.sample(range(1, 1 + self._skus), 3)
            lines: list[seed.Line] = [
                (number, self._random.randrange(2, 60), 0) for number in numbers
            ]
            doc = seed.order(account_id, reference, "ORDERED", lines)
            now = seed.stamp(datetime.now(UTC))
            doc |= {"created_at": now, "updated_at": now, "last_modified": now}
            account.orders.append(doc)
            self.save_orders(account)
            self.journal.add("api", account_id, "ordered", doc["id"])
            return doc

    def drops(self) -> list[Drop]:
        """Return the drops of all accounts."""
        return [d for account in self.accounts.values() for d in account.drops]

    def drop_of(self, key: asyncssh.SSHKey) -> Drop | None:
        """Return the drop that a public key opens."""
        for drop in self.drops():
            known = asyncssh.import_public_key(drop.public_key)
            if known.public_data == key.public_data:
                return drop
        return None

    def sync_now(self, account_id: str) -> list[ip_sync.FileReport]:
        """Run the nightly sync of one account; return what became of each file."""
        with self.lock:
            account = self.accounts[account_id]
            reports = ip_sync.run(account, self.folder_names, self.sync_lead_s)
            account.syncs += 1
            account.synced_at = time.time()
            if reports:
                account.reports.extend(reports)
                self.save_stock(account)
                ip_sync.archive(account, reports)
            return reports

    def save_orders(self, account: Account) -> None:
        """Keep the account's orders."""
        self.state.save(f"ip_{account.account_id}_orders.json", account.orders)

    def save_stock(self, account: Account) -> None:
        """Keep what the account's files told."""
        doc = {
            "variants": account.variants,
            "warehouses": sorted(account.warehouses),
            "vendors": sorted(account.vendors),
            "stock": [[v, w, asdict(row)] for (v, w), row in account.stock.items()],
            "reports": [asdict(report) for report in account.reports],
        }
        self.state.save(f"ip_{account.account_id}_stock.json", doc)

    def save_drops(self) -> None:
        """Keep which key opens which endpoint."""
        rows = [[d.endpoint, d.account_id, d.public_key] for d in self.drops()]
        self.state.save("ip_drops.json", rows)

    def _load(self, account_id: str, name: str, skus: int) -> Account:
        orders = self.state.load(f"ip_{account_id}_orders.json", None)
        doc = self.state.load(f"ip_{account_id}_stock.json", {})
        variants = {seed.sku(n): seed.title(n) for n in range(1, skus + 1)}
        account = Account(
            account_id=account_id,
            name=name,
            key=self.secrets.api_key(account_id),
            orders=seed.orders(account_id) if orders is None else orders,
            variants=variants | doc.get("variants", {}),
            warehouses={*seed.KNOWN_WAREHOUSE_IDS, *doc.get("warehouses", ())},
            vendors=set(doc.get("vendors", ())),
            stock={(v, w): StockRow(**row) for v, w, row in doc.get("stock", ())},
            reports=deque(
                (ip_sync.FileReport(**row) for row in doc.get("reports", ())),
                maxlen=REPORTS_KEPT,
            ),
            archive=self.state.folder("ip", "archive", account_id),
        )
        if orders is None:
            self.save_orders(account)
        return account

    def _load_drops(self) -> None:
        for endpoint, account_id, key in self.state.load("ip_drops.json", []):
            drop = self._drop(endpoint, account_id, key)
            self.accounts[account_id].drops.append(drop)

    def _drop(self, endpoint: str, account_id: str, key: str) -> Drop:
        folder = self.state.folder("ip", "drops", endpoint)
        for name in self.folder_names.values():
            (folder / name).mkdir(exist_ok=True)
        return Drop(endpoint, account_id, key, folder)


def checked_key(text: str) -> str:
    """Return a public key line as IP takes it; raises KeyRefused otherwise."""
    line = text.strip()
    if not line:
        raise KeyRefused("Paste the public key.")
    if "PRIVATE KEY" in line:
        raise KeyRefused("This is a private key. Paste the public one.")
    if "\n" in line or "\r" in line:
        raise KeyRefused("The public key is one line.")
    words = line.split()
    if len(words) < 2 or not KEY_TYPES.fullmatch(words[0]):
        raise KeyRefused("The key must be RSA, ECDSA or Ed25519 in OpenSSH form.")
    if len(words[1]) > KEY_LIMIT:
        raise KeyRefused("The key is too long.")
    try:
        asyncssh.import_public_key(line)
    except (asyncssh.KeyImportError, ValueError):
        raise KeyRefused("The key cannot be read. Was it cut off?") from None
    return line
