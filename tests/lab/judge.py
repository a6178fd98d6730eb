"""The judge: what happened at the far sides against what the database says of it.

It asks nothing of the product's code but its rows, and believes the far sides: their
journal and what lies in their folders. The numbers are those of reliability.md §8.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db.models import Max, Q, Sum
from django.db.models.functions import Now

from connections.models import (
    Channel,
    Delivery,
    HandOver,
    PurchaseOrder,
    StockLevel,
    StoreLease,
    SyncRun,
)
from dropstream.sandbox import Sandbox
from dropstream.sandbox.journal import Event
from tests.canary import everything_stored, hidden_in

# Once more with the same name and bytes when the first was gone before a look (D4).
MOST_SENDS = 2
MOST_WRITES = 2
SLOWER_ALLOWED = 1.2
BOTH_FLOWS = (Channel.Type.INVENTORY, Channel.Type.PURCHASE_ORDERS)
NEVER_STARTED = (
    Delivery.State.ASKED,
    Delivery.State.BUILT,
    Delivery.State.SUPERSEDED,
)
WRITES = ("PATCH", "PUT", "POST")
ORDER_PATH = re.compile(r"/purchase-orders/([^/]+)")


@dataclass(frozen=True)
class Violation:
    """A promise that was broken: which one, and how one can tell."""

    invariant: int
    evidence: str

    def __str__(self) -> str:
        return f"{self.invariant}: {self.evidence}"


@dataclass(frozen=True)
class FarSides:
    """Both far sides as they testify: events in their order, and their folder."""

    events: Sequence[Event]
    root: Path

    @classmethod
    def of(cls, sandbox: Sandbox) -> FarSides:
        """Those of a sandbox in this process."""
        for account in sandbox.ip.accounts.values():
            sandbox.ip.save_orders(account)  # a test may have changed them in memory
        return cls(list(sandbox.journal.events), sandbox.state.root)

    @classmethod
    def of_process(cls, root: Path, journal: Path) -> FarSides:
        """Those of a sandbox that runs, or ran, elsewhere (`--state`, `--journal`)."""
        with journal.open(encoding="utf-8") as lines:
            return cls([Event(**json.loads(line)) for line in lines], root)

    def document(self, name: str, default: Any = None) -> Any:
        path = self.root / name
        return json.loads(path.read_text()) if path.exists() else default

    def appeared(self) -> dict[str, list[Event]]:
        """Files that could be seen under a final name, by that name."""
        seen: dict[str, list[Event]] = defaultdict(list)
        for event in self.events:
            if event.op == "appeared" and not _name(event).startswith("."):
                seen[_name(event)].append(event)
        return seen


def judge(
    far: FarSides,
    *,
    texts: Iterable[str] = (),
    secrets: Sequence[str] = (),
    settled: Collection[str] = BOTH_FLOWS,
) -> list[Violation]:
    """Return every violation of invariants 1 to 6 and 8; 7 compares two runs (`slower`).

    `settled`: the flows that were given their time, so that nothing may be missing.
    `texts`: logs and payloads in which no secret may stand; the database is read too.
    """
    found = [
        *_files_of_deliveries(far),
        *_files_unknown(far),
        *_files_in_part(far),
        *_marks(),
        *_orders_told(far),
        *_runs(settled=bool(settled)),
        *_secrets(texts, secrets),
    ]
    if Channel.Type.INVENTORY in settled:
        found += _newest_stock(far)
    if Channel.Type.PURCHASE_ORDERS in settled:
        found += _orders_stored(far)
    return sorted(found, key=lambda violation: violation.invariant)


def slower(without: Sequence[float], with_broken: Sequence[float]) -> list[Violation]:
    """Invariant 7: the p95 of healthy stores beside a broken one, against it alone."""
    before, after = _p95(without), _p95(with_broken)
    if after <= before * SLOWER_ALLOWED:
        return []
    return [
        Violation(7, f"p95 {after:.2f} s beside a broken store, {before:.2f} s alone")
    ]


def _files_of_deliveries(far: FarSides) -> Iterator[Violation]:
    """1: one final file each, with the recorded bytes; an order to one file only."""
    seen = far.appeared()
    taken = Counter(_name(event) for event in far.events if event.op == "taken")
    for delivery in Delivery.objects.exclude(
        state__in=[Delivery.State.SUPERSEDED, Delivery.State.FOREIGN]
    ):
        events = seen.get(delivery.name, [])
        manual = delivery.state == Delivery.State.DELIVERED and not delivery.attempts
        if delivery.state == Delivery.State.DELIVERED and not events and not manual:
            yield Violation(1, f"{delivery.name} is delivered and was never there")
        if len({(event.side, event.who, event.path) for event in events}) > 1:
            yield Violation(1, f"{delivery.name} is in {len(events)} places")
        if len(events) > MOST_SENDS:
            yield Violation(1, f"{delivery.name} appeared {len(events)} times")
        if taken[delivery.name] > 1:
            yield Violation(
                1, f"{delivery.name} was taken {taken[delivery.name]} times"
            )
    files = Counter(HandOver.objects.values_list("store_id", "external_id"))
    for (_store, external_id), count in files.items():
        names = HandOver.objects.filter(external_id=external_id)
        there = [
            name for name in names.values_list("file_name", flat=True) if name in seen
        ]
        if count > 1 and len(there) > 1:
            yield Violation(1, f"order {external_id} went out as {', '.join(there)}")


def _files_unknown(far: FarSides) -> Iterator[Violation]:
    """2: no final file that the ledger does not know, no temporary one left behind."""
    known = dict(Delivery.objects.values_list("name", "state"))
    for name, events in far.appeared().items():
        state = known.get(name)
        if state is None or state in NEVER_STARTED:
            yield Violation(2, f"{name} is at {events[0].who}; the ledger: {state}")
    unfinished = {name for name, state in known.items() if state in Delivery.UNFINISHED}
    for path in (far.root / "warehouse").glob("*/in/.*.part"):
        final = path.name.removeprefix(".").removesuffix(".part")
        if final not in unfinished:
            yield Violation(2, f"{path.name} was left behind")


def _files_in_part(far: FarSides) -> Iterator[Violation]:
    """3: never visible under its final name with other bytes than recorded."""
    recorded = {
        name: (size, sha256)
        for name, size, sha256 in Delivery.objects.exclude(
            state=Delivery.State.FOREIGN
        ).values_list("name", "size", "sha256")
    }
    for name, events in far.appeared().items():
        for event in events:
            if name in recorded and (event.size, event.digest) != recorded[name]:
                yield Violation(
                    3, f"{name} had {event.size} of {recorded[name][0]} bytes"
                )


def _marks() -> Iterator[Violation]:
    """4: a channel's mark never exceeds what was delivered."""
    delivered = Max(
        "deliveries__upper_bound",
        filter=Q(deliveries__state=Delivery.State.DELIVERED),
    )
    rows = Channel.objects.annotate(reached=delivered).values_list(
        "pk", "sent_through", "reached"
    )
    for pk, mark, reached in rows:
        if mark > (reached or 0):
            yield Violation(
                4, f"channel {pk}: the mark is {mark}, delivered {reached or 0}"
            )


def _newest_stock(far: FarSides) -> Iterator[Violation]:
    """4: what the platform knows, or will read, is the newest figure of every SKU."""
    channels = Channel.objects.live().filter(type=Channel.Type.INVENTORY)
    for channel in channels.select_related(
        "connection__store__inventory_planner", "connection__warehouse"
    ):
        row = channel.connection.store.inventory_planner
        if not row.sftp_endpoint:
            continue
        there = _stock_there(far, row.ip_account.lstrip("aA"), row.sftp_endpoint)
        levels = StockLevel.objects.filter(warehouse=channel.connection.warehouse)
        for sku, available in levels.values_list("sku").annotate(Sum("available")):
            if there.get(sku) != available:
                yield Violation(4, f"{sku} is {available}, told was {there.get(sku)}")


def _stock_there(far: FarSides, account: str, endpoint: str) -> Mapping[str, Decimal]:
    """The platform's figures by SKU, with the files that still wait at the drop."""
    rows: dict[tuple[str, str], Decimal] = {}
    stored = far.document(f"ip_{account}_stock.json", {"stock": []})
    for sku, location, known in stored["stock"]:
        rows[sku, location] = Decimal(str(known["in_stock"]))
    folder = far.root / "ip" / "drops" / endpoint
    files = folder.glob("variant_warehouse/*.csv")
    for path in sorted(files, key=lambda path: path.stat().st_mtime_ns):
        for line in csv.DictReader(io.StringIO(path.read_text())):
            key = line["VARIANT_ID"], line["WAREHOUSE_ID"]
            rows[key] = Decimal(line["IN_STOCK"])
    sums: dict[str, Decimal] = defaultdict(Decimal)
    for (sku, _location), available in rows.items():
        sums[sku] += available
    return sums


def _orders_told(far: FarSides) -> Iterator[Violation]:
    """5: what was written back is stored here, and each effect was written twice at most."""
    stored = set(PurchaseOrder.objects.values_list("external_id", flat=True))
    writes: Counter[tuple[str, str, str]] = Counter()
    for event in far.events:
        order = ORDER_PATH.search(event.path)
        if event.side != "api" or event.op not in WRITES or order is None:
            continue
        writes[event.who, event.path, event.digest] += 1
        if order[1] not in stored:
            yield Violation(
                5, f"{event.op} {event.path} of an order that is not stored"
            )
    for (_who, path, _digest), count in writes.items():
        if count > MOST_WRITES:
            yield Violation(5, f"{path} was written {count} times with the same values")


def _orders_stored(far: FarSides) -> Iterator[Violation]:
    """5: every order that matches the filter is stored."""
    channels = Channel.objects.live().filter(type=Channel.Type.PURCHASE_ORDERS)
    for channel in channels.select_related("connection__store__inventory_planner"):
        store = channel.connection.store
        row = store.inventory_planner
        if row.sealed_api_key is None or not row.ip_account:
            continue
        wanted = row.import_status_filter.strip().casefold()
        stored = set(
            PurchaseOrder.objects.filter(store=store).values_list(
                "external_id", flat=True
            )
        )
        account = row.ip_account.lstrip("aA")
        for order in far.document(f"ip_{account}_orders.json", []):
            matches = not wanted or order["status"].strip().casefold() == wanted
            if matches and order["id"] not in stored:
                yield Violation(5, f"order {order['reference']} is not stored")


def _runs(*, settled: bool) -> Iterator[Violation]:
    """6: nobody works without a live lease, and nothing is due for long."""
    held = StoreLease.objects.filter(expires_at__gt=Now()).values("run")
    for run in SyncRun.objects.filter(state=SyncRun.State.RUNNING).exclude(pk__in=held):
        yield Violation(6, f"run {run.pk} ({run.job}) is running without a lease")
    if not settled:
        return
    grace = timedelta(seconds=2 * settings.TICK_SECONDS)
    for run in SyncRun.objects.filter(
        state=SyncRun.State.QUEUED, due_at__lt=Now() - grace
    ):
        yield Violation(6, f"run {run.pk} ({run.job}) is due since {run.due_at}")


def _secrets(texts: Iterable[str], secrets: Sequence[str]) -> Iterator[Violation]:
    """8: no secret in a log, in a payload, or unsealed in the database."""
    if not secrets:
        return
    for where, text in [
        *((f"text {n}", text) for n, text in enumerate(texts, start=1)),
        ("the database", everything_stored()),
    ]:
        for secret in hidden_in(text, *secrets):
            yield Violation(8, f"{secret[:4]}… stands in {where}")


def _name(event: Event) -> str:
    return event.path.rpartition("/")[2]


def _p95(values: Sequence[float]) -> float:
    return sorted(values)[int(0.95 * (len(values) - 1))]
