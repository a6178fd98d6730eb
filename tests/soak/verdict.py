"""Judge a soak by the far sides' own journals and documents and by the database.

Nothing here asks the product: what it believes is compared with what happened.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from django.db import connection as database

from dropstream.sandbox.journal import Event
from tests.lab.judge import FarSides, judge
from tests.soak import history
from tests.soak.history import Change
from tests.soak.house import House
from tests.soak.merchants import ACKNOWLEDGED, STATUS, Soaked

RUNNING, DELIVERED = "running", "delivered"
UNFINISHED = ("built", "sending", "closing", "renaming")
ENDED = ("succeeded", "needs_person", "failed")


def read_journal(file: Path) -> Iterator[Event]:
    """Stream the journal; steps of every write are left out."""
    wanted = {"appeared", "taken", "ordered", "PATCH", "PUT"}
    with file.open(encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            if row["op"] in wanted:
                yield Event(**row)


def judge_house(
    house: House, merchants: list[Soaked], changes: list[Change]
) -> list[str]:
    """Return a sentence for every promise that was broken on the way.

    The lab's judge looks at how things stand, the history tells how they came there.
    What is only late is no broken promise: `unsettled` judges the end.
    """
    events = list(read_journal(house.journal))
    database.close()  # its server may have been restarted since
    far = FarSides(events, house.root / "sandbox")
    logs = [path.read_text() for path in house.root.glob("*.log")]
    return [
        *map(str, judge(far, texts=logs, secrets=house.secrets, settled=())),
        *fences(changes),
        *marks(changes),
        *final_states(changes),
        *recorded_too_early(events, changes),
        *orders_at_warehouses(house, merchants),
        *orders_stored_first(merchants, events, changes),
    ]


def unsettled(house: House, merchants: list[Soaked]) -> list[str]:
    """What has not come to its end: empty once a soak is drained."""
    events = list(read_journal(house.journal))
    changes = history.read(house.owner_url)
    return [
        *orders_not_stored(house, merchants, changes, events),
        *unfinished_rows(house),
        *stock_that_differs(house, merchants),
        *orders_that_differ(house, merchants),
    ]


# --- The engine's own promises, by its history


def fences(changes: Iterable[Change]) -> Iterator[str]:
    """Nobody takes a living lease, and nobody writes after losing one."""
    claimed: dict[int, Change] = {}  # the run that a database connection works on
    for change in changes:
        if change.kind == "lease":
            if change.was and change.became and change.facts["alive"]:
                yield f"store {change.store_id}: a lease that was alive was taken"
        elif change.kind == "run" and change.became == RUNNING:
            claimed[change.backend] = change
        else:
            run = claimed.get(change.backend)
            if run is None or run.store_id != change.store_id:
                continue
            own_end = change.kind == "run" and change.row_id == run.row_id
            if own_end and change.became not in ENDED:
                continue  # the reaper, or a retry
            if change.facts.get("error") == "worker_lost":
                continue
            is_work = change.kind in ("delivery", "mark") and change.was is not None
            if (own_end or is_work) and change.holder != run.row_id:
                yield (
                    f"store {change.store_id}: {change.kind} {change.row_id} became "
                    f"{change.became} by run {run.row_id} of {change.who}, "
                    f"which had lost the lease"
                )


def marks(changes: Iterable[Change]) -> Iterator[str]:
    """A channel's mark never passes what was delivered."""
    for change in changes:
        if change.kind == "mark" and int(change.became or 0) > int(
            change.facts["delivered"]
        ):
            yield (
                f"store {change.store_id}: the mark moved to {change.became}, "
                f"delivered was {change.facts['delivered']}"
            )


def final_states(changes: Iterable[Change]) -> Iterator[str]:
    """What ended stays ended, and a file keeps its name."""
    names: dict[int, str] = {}
    for change in changes:
        if change.kind == "run" and change.was in (*ENDED, "cancelled"):
            yield f"run {change.row_id} was {change.was} and became {change.became}"
        if change.kind != "delivery":
            continue
        if change.was == DELIVERED:
            yield f"delivery {change.row_id} was delivered and became {change.became}"
        name = change.facts["name"]
        if names.setdefault(change.row_id, name) != name:
            yield f"delivery {change.row_id} changed its name to {name}"
            names[change.row_id] = name


# --- Files


def recorded_too_early(events: list[Event], changes: list[Change]) -> Iterator[str]:
    """No file counts as delivered before it was there."""
    seen: dict[str, float] = {}
    for event in events:
        if event.op == "appeared":
            seen.setdefault(event.path.rpartition("/")[2], event.at)
    for change in changes:
        if change.kind == "delivery" and change.became == DELIVERED:
            name = change.facts["name"]
            if name in seen and change.at < seen[name]:
                yield f"{name} was recorded before it was there"


# --- Orders


def orders_at_warehouses(house: House, merchants: list[Soaked]) -> Iterator[str]:
    """Each order came to its warehouse once."""
    for merchant in merchants:
        doc = house.far_state(f"warehouse_{merchant.user}.json")
        for order in doc["orders"]:
            if order["copies"] > 1:
                yield (
                    f"{merchant.user}: order {order['po_number']} came "
                    f"{order['copies']} times"
                )
        for name, why in doc["rejected"]:
            yield f"{merchant.user}: the warehouse cannot read {name}: {why}"


def orders_stored_first(
    merchants: list[Soaked], events: list[Event], changes: list[Change]
) -> Iterator[str]:
    """An order is stored before anything is told there."""
    stored = {
        (change.store_id, change.facts["external_id"]): change.at
        for change in changes
        if change.kind == "order"
    }
    stores = {merchant.account_id: merchant.store_id for merchant in merchants}
    for event in events:
        if event.op not in ("PATCH", "PUT") or event.who not in stores:
            continue
        order_id = event.path.split("/purchase-orders/")[1].split("/")[0]
        at = stored.get((stores[event.who], order_id))
        if at is None or event.at < at:
            yield f"order {order_id} was written back before it was stored"


def orders_not_stored(
    house: House, merchants: list[Soaked], changes: list[Change], events: list[Event]
) -> Iterator[str]:
    """No order that ever matched the filter was passed over."""
    stored = {
        (change.store_id, change.facts["external_id"])
        for change in changes
        if change.kind == "order"
    }
    made = {(event.who, event.path) for event in events if event.op == "ordered"}
    for merchant in merchants:
        for order in house.far_state(f"ip_{merchant.account_id}_orders.json"):
            matched = order["status"] == STATUS or (
                (merchant.account_id, order["id"]) in made
            )
            if matched and (merchant.store_id, order["id"]) not in stored:
                yield f"{merchant.user}: order {order['reference']} is not stored"


def orders_that_differ(house: House, merchants: list[Soaked]) -> Iterator[str]:
    """What the warehouse received is what the platform knows; the rest is open."""
    for merchant in merchants:
        remote = {
            order["id"]: order
            for order in house.far_state(f"ip_{merchant.account_id}_orders.json")
        }
        taken = house.far_state(f"warehouse_{merchant.user}.json")["orders"]
        for order in taken:
            there = remote[order["po_id"]]
            received = {line["line_id"]: line["received"] for line in order["lines"]}
            known = {line["line_id"]: line["received"] for line in there["items"]}
            if any(float(known[i]) != float(n) for i, n in received.items()):
                yield f"{merchant.user}: receipts of {order['po_number']} are not told"
            whole = all(
                float(line["received"]) >= float(line["quantity"])
                for line in order["lines"]
            )
            if whole and there["status"] != ACKNOWLEDGED:
                yield f"{merchant.user}: {order['po_number']} is not acknowledged"
        waiting = {
            order["id"]
            for order in remote.values()
            if order["status"] == STATUS and order["type"] in ("po", "")
        }
        for order_id in waiting - {order["po_id"] for order in taken}:
            yield f"{merchant.user}: order {order_id} did not reach the warehouse"


# --- The end


def unfinished_rows(house: House) -> Iterator[str]:
    """No delivery in between, no run that works without a lease, nothing due."""
    query = f"""
        SELECT 'delivery ' || name || ' is ' || state AS found
        FROM connections_delivery WHERE state IN {UNFINISHED}
        UNION ALL SELECT 'run ' || id || ' of ' || job || ' is ' || state
        FROM connections_syncrun WHERE state IN ('queued', 'running')
    """  # noqa: S608  names of our own
    for row in history.rows(house.owner_url, query):
        yield row["found"]


def stock_that_differs(house: House, merchants: list[Soaked]) -> Iterator[str]:
    """The newest stock of every SKU is what the platform knows."""
    for merchant in merchants:
        stock = house.far_state(f"warehouse_{merchant.user}_stock.json")
        # Inventory Planner keeps none before it has read a first file.
        there = house.far_state(f"ip_{merchant.account_id}_stock.json", {"stock": []})
        known = {sku: row["in_stock"] for sku, _warehouse, row in there["stock"]}
        wrong = [
            sku
            for sku, levels in stock.items()
            if known.get(sku)
            != sum(on_hand - used for on_hand, used in levels.values())
        ]
        if wrong:
            yield f"{merchant.user}: {len(wrong)} SKUs differ, as {wrong[0]}"
