"""The judge of the soak, on histories made by hand: it can tell right from wrong."""

from __future__ import annotations

from typing import Any

import pytest

from tests.soak import report, verdict
from tests.soak.chaos import VALKEY, WORKER, Fault
from tests.soak.history import Change
from tests.soak.verdict import Seen

Row = dict[str, Any]


def change(at: float, kind: str, became: object, **more: Any) -> Change:
    values: Row = {
        "backend": 1,
        "who": "worker-1",
        "row_id": 7,
        "store_id": 3,
        "was": None,
        "holder": 7,
        "facts": {},
    }
    return Change(at=at, kind=kind, became=str(became), **values | more)


def seen(name: str, digest: str, at: float = 1) -> Seen:
    return Seen(at, "ip", "s-1", "appeared", f"/variant_warehouse/{name}", 1, digest)


def delivery(state: str = "delivered") -> Row:
    return {"name": "a.csv", "state": state, "sha256": "right"}


CLAIM = change(1, "run", "running")
SENT = change(2, "delivery", "sending", row_id=9, was="built")
RECORDED = change(3, "delivery", "delivered", facts={"name": "a.csv"})


def test_a_write_by_the_holder_is_fine() -> None:
    assert list(verdict.fences([CLAIM, SENT])) == []


def test_a_write_after_the_lease_was_lost_is_found() -> None:
    """Q12: the fence."""
    lost = change(2, "delivery", "sending", row_id=9, was="built", holder=8)
    assert "lost the lease" in next(verdict.fences([CLAIM, lost]))


@pytest.mark.parametrize("alive", [True, False])
def test_only_a_dead_lease_may_be_taken(alive: bool) -> None:
    taken = change(2, "lease", 8, was="7", facts={"alive": alive})
    assert bool(list(verdict.fences([taken]))) is alive


def test_a_mark_beyond_what_was_delivered_is_found() -> None:
    """Invariant 4."""
    good = change(1, "mark", 5, was="0", facts={"delivered": 5})
    bad = change(1, "mark", 6, was="0", facts={"delivered": 5})
    assert list(verdict.marks([good])) == []
    assert len(list(verdict.marks([bad]))) == 1


def test_a_delivered_file_was_seen_whole_and_before() -> None:
    """Invariants 1 and 3."""
    whole = [seen("a.csv", "right")]
    assert list(verdict.files(whole, [delivery()], [RECORDED])) == []
    half = [seen("a.csv", "half"), *whole]
    late = [seen("a.csv", "right", at=4)]
    for wrong in (half, late, []):
        assert len(list(verdict.files(wrong, [delivery()], [RECORDED]))) == 1


def test_a_file_that_no_ledger_knows_is_found() -> None:
    """Invariant 2."""
    found = [seen("a.csv", "right"), seen("b.csv", "right")]
    [sentence] = verdict.files(found, [delivery()], [RECORDED])
    assert sentence.startswith("b.csv is at s-1")


def test_a_third_write_of_the_same_values_is_found() -> None:
    """Invariant 5, I11."""
    write = Seen(1, "api", "7", "PATCH", "/api/v1/purchase-orders/x", 1, "d")
    assert list(verdict.writes([write, write])) == []
    assert len(list(verdict.writes([write] * 3))) == 1


def test_time_to_recover_is_that_of_the_rows_that_were_touched() -> None:
    other = change(1, "run", "running", who="worker-2", row_id=8)
    rows = [
        CLAIM,
        other,
        change(11, "run", "succeeded", was="running", row_id=8, who="worker-2"),
        change(40, "run", "queued", was="running", who="worker-2"),
    ]
    [found] = report.recoveries([Fault(WORKER, "worker-1", 10, 11)], rows)
    assert found.seconds == [30]
    assert found.holds


def test_a_waiting_row_recovers_when_it_is_claimed() -> None:
    queued = change(1, "run", "queued", facts={"due_at": 1.0})
    claimed = change(75, "run", "running", was="queued")
    [found] = report.recoveries([Fault(VALKEY, "valkey", 5, 6)], [queued, claimed])
    assert (found.p95_s, found.holds) == (70, False)
