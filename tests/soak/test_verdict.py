"""The judge of the soak, on histories made by hand: it can tell right from wrong."""

from __future__ import annotations

from typing import Any

import pytest

from dropstream.sandbox.journal import Event
from tests.soak import report, verdict
from tests.soak.chaos import POSTGRES, VALKEY, WORKER, Fault
from tests.soak.history import Change

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


def test_a_file_is_recorded_after_it_was_seen() -> None:
    seen = [
        Event(at, "ip", "s-1", "appeared", "/variant_warehouse/a.csv") for at in (2, 4)
    ]
    assert list(verdict.recorded_too_early(seen, [RECORDED])) == []
    assert len(list(verdict.recorded_too_early(seen[1:], [RECORDED]))) == 1


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


def test_a_row_that_another_fault_had_orphaned_is_that_ones() -> None:
    """A kill before a restart of the database: the row waits for its lease."""
    rows = [
        change(1, "run", "running"),
        change(12, "run", "running", row_id=8, who="worker-2"),
        change(14, "run", "queued", row_id=8, who="worker-2"),
        change(70, "run", "queued"),
    ]
    kill, restart = (
        Fault(WORKER, "worker-1", 10, 11),
        Fault(POSTGRES, "postgres", 13, 14),
    )
    of_kill, of_restart = report.recoveries([kill, restart], rows)
    assert (of_kill.seconds, of_restart.seconds) == ([60], [1])


def test_a_waiting_row_recovers_when_it_is_claimed() -> None:
    queued = change(1, "run", "queued", facts={"due_at": 1.0})
    claimed = change(75, "run", "running", was="queued")
    [found] = report.recoveries([Fault(VALKEY, "valkey", 5, 6)], [queued, claimed])
    assert (found.p95_s, found.holds) == (70, False)
