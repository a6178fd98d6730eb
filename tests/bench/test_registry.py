"""What a line of the bench says."""

from __future__ import annotations

import time

import pytest

from tests.bench.registry import (
    Measure,
    Measured,
    PeerMissingError,
    compare,
    compare_seconds,
    holds,
    run,
)


def test_goals_are_read_in_both_directions() -> None:
    assert holds(1.2, "≥ 1.2 ×")
    assert not holds(1.19, "≥ 1.2 ×")
    assert holds(0.5, "≤ 0.5 ×")
    assert not holds(0.51, "≤ 0.5 ×")
    with pytest.raises(ValueError, match="Not a goal"):
        holds(1, "fast")


def test_a_result_says_whether_its_goal_holds() -> None:
    result = run(Measure("x.y", "≥ 2 ×", lambda: Measured(1.5, "5 rounds")))
    assert (result.name, result.ratio, result.holds) == ("x.y", 1.5, False)


def test_a_missing_peer_is_skipped_and_said_so() -> None:
    def missing() -> Measured:
        raise PeerMissingError("rclone is not installed")

    result = run(Measure("x.y", "≥ 2 ×", missing))
    assert (result.ratio, result.holds) == (None, None)
    assert result.detail == "skipped: rclone is not installed"


def test_rounds_are_interleaved_and_the_median_counts() -> None:
    order: list[str] = []

    def ours() -> None:
        order.append("ours")

    def peer() -> None:
        order.append("peer")
        time.sleep(0.002)

    measured = compare(ours, peer, rounds=3)
    # One of each to warm up, then the first place goes round.
    assert order == ["ours", "peer", "peer", "ours", "ours", "peer", "peer", "ours"]
    assert measured.ratio > 1


def test_ways_may_tell_their_own_seconds() -> None:
    took = iter([9.0, 2.0, 4.0])
    assert compare_seconds(lambda: next(took), lambda: 4.0, rounds=2).ratio == 1.5
