"""The judge finds nothing where all is well, and each broken promise where one is."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from datetime import timedelta
from pathlib import Path

import pytest
from django.db import transaction
from django.utils import timezone

from connections.models import (
    Channel,
    Delivery,
    HandOver,
    PurchaseOrder,
    StockLevel,
    SyncRun,
)
from dropstream.sandbox.journal import Event
from stores.models import Store
from tests.connections.orders.test_flow import set_up
from tests.engine import run_now
from tests.factories import Line
from tests.lab.judge import FarSides, Violation, judge, slower

SECRET = "a-secret-of-37-characters-0123456789a"

Plant = Callable[[Line, FarSides], FarSides]


def event(side: str, op: str, path: str, *, size: int = 1, digest: str = "x") -> Event:
    return Event(time.time(), side, "somebody", op, path, size, digest)


def with_events(far: FarSides, *more: Event) -> FarSides:
    return replace(far, events=[*far.events, *more])


def again(far: FarSides, op: str, *, times: int = 1) -> FarSides:
    """The last event of a kind, once more."""
    [*_, last] = (event for event in far.events if event.op == op)
    return with_events(far, *[last] * times)


def nothing_was_sent(line: Line, far: FarSides) -> FarSides:
    return replace(far, events=[e for e in far.events if e.op != "appeared"])


def sent_three_times(line: Line, far: FarSides) -> FarSides:
    return again(far, "appeared", times=2)


def taken_twice(line: Line, far: FarSides) -> FarSides:
    return again(far, "taken")


def sent_under_two_names(line: Line, far: FarSides) -> FarSides:
    """The order went out again as another file, which the ledger knows as well."""
    hand_over = HandOver.objects.latest("pk")
    delivery = Delivery.objects.get(name=hand_over.file_name)
    delivery.pk = None
    delivery.name, delivery.subject = "po_again.csv", "again"
    delivery.public_id = uuid.uuid4()
    delivery.save(force_insert=True)
    hand_over.pk = None
    hand_over.file_name = delivery.name
    hand_over.save(force_insert=True)
    copy = event(
        *("warehouse", "appeared", "/in/po_again.csv"),
        size=delivery.size,
        digest=delivery.sha256,
    )
    return with_events(far, copy)


def a_file_of_nobody(line: Line, far: FarSides) -> FarSides:
    return with_events(far, event("ip", "appeared", "/variant_warehouse/odd.csv"))


def a_file_of_a_delivery_that_never_started(line: Line, far: FarSides) -> FarSides:
    Delivery.objects.filter(entity="stock").update(state="superseded")
    return far


def half_a_file(line: Line, far: FarSides) -> FarSides:
    name = Delivery.objects.filter(entity="stock").latest("pk").name
    return with_events(far, event("ip", "appeared", f"/variant_warehouse/{name}"))


def a_mark_ahead(line: Line, far: FarSides) -> FarSides:
    Channel.objects.filter(pk=line.stock.pk).update(sent_through=99)
    return far


def stock_that_was_not_told(line: Line, far: FarSides) -> FarSides:
    StockLevel.objects.filter(sku="SKU-00001", facility="RENO").update(available=12345)
    return far


def an_order_that_is_not_stored(line: Line, far: FarSides) -> FarSides:
    PurchaseOrder.objects.filter(reference="1042").update(external_id="another")
    return far


def three_writes_of_one_effect(line: Line, far: FarSides) -> FarSides:
    return again(far, "PATCH", times=2)


def a_run_without_a_lease(line: Line, far: FarSides) -> FarSides:
    SyncRun.objects.filter(pk=SyncRun.objects.latest("pk").pk).update(state="running")
    return far


def a_run_due_for_long(line: Line, far: FarSides) -> FarSides:
    SyncRun.objects.filter(pk=SyncRun.objects.latest("pk").pk).update(
        state="queued", due_at=timezone.now() - timedelta(hours=1)
    )
    return far


def a_secret_in_a_row(line: Line, far: FarSides) -> FarSides:
    Store.objects.filter(pk=line.store.pk).update(name=SECRET)
    return far


PLANTS: list[tuple[int, Plant]] = [
    (1, nothing_was_sent),
    (1, sent_three_times),
    (1, taken_twice),
    (1, sent_under_two_names),
    (2, a_file_of_nobody),
    (2, a_file_of_a_delivery_that_never_started),
    (3, half_a_file),
    (4, a_mark_ahead),
    (4, stock_that_was_not_told),
    (5, an_order_that_is_not_stored),
    (5, three_writes_of_one_effect),
    (6, a_run_without_a_lease),
    (6, a_run_due_for_long),
    (8, a_secret_in_a_row),
]


def verdict(far: FarSides) -> list[Violation]:
    return judge(far, secrets=[SECRET])


def test_the_judge_finds_what_is_planted_and_nothing_else(
    line: Line, tmp_path: Path
) -> None:
    """reliability.md §8, invariants 1 to 6 and 8: one walk, then one fault at a time."""
    set_up(line)
    run_now(line.stock, "stock_changes")
    run_now(line.orders, "orders_import")
    line.sandbox.warehouse.tick()
    run_now(line.orders, "orders_status")
    far = FarSides.of(line.sandbox)
    assert verdict(far) == []
    for invariant, plant in PLANTS:
        with transaction.atomic():
            found = {violation.invariant for violation in verdict(plant(line, far))}
            transaction.set_rollback(True)
        assert invariant in found, plant.__name__
    assert verdict(far) == []

    left = line.far_warehouse.incoming / f".{Delivery.objects.latest('pk').name}.part"
    left.write_bytes(b"half")
    assert [violation.invariant for violation in verdict(far)] == [2]
    left.unlink()

    said = judge(far, texts=["all is well", f"key={SECRET}"], secrets=[SECRET])
    assert [str(violation) for violation in said] == ["8: a-se… stands in text 2"]

    journal = tmp_path / "journal"
    journal.write_text("".join(f"{line_of(event)}\n" for event in far.events))
    read_back = FarSides.of_process(line.sandbox.state.root, journal)
    assert verdict(read_back) == []
    assert verdict(taken_twice(line, read_back)) != []


def line_of(event: Event) -> str:
    return json.dumps(asdict(event))


@pytest.mark.parametrize(
    ("without", "with_broken", "found"),
    [
        ([1.0] * 20, [1.0] * 20, []),
        ([1.0] * 20, [1.0] * 19 + [9.0], []),  # one of twenty is beyond the p95
        ([1.0] * 20, [1.0] * 17 + [1.3] * 3, [7]),
    ],
)
def test_the_judge_compares_healthy_stores_with_and_without_a_broken_one(
    without: Sequence[float], with_broken: Sequence[float], found: list[int]
) -> None:
    """R3: reliability.md §8, invariant 7."""
    assert [violation.invariant for violation in slower(without, with_broken)] == found
