"""Name measures, run two ways in turn, and say whether a goal holds.

Machines are shared and noisy, so only ratios count: both ways are timed in each round,
in alternating order, and the median of the rounds' ratios is the result.
"""

from __future__ import annotations

import re
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

_GOAL = re.compile(r"(?P<sign>≥|≤) (?P<number>[0-9.]+) ×")


class PeerMissingError(Exception):
    """Report that what we compare ourselves with is not installed; says what."""


@dataclass(frozen=True)
class Measured:
    """What a measure's function found: a ratio to its peer, and words about it."""

    ratio: float
    detail: str


@dataclass(frozen=True)
class Result:
    """One line of the report; ``ratio`` and ``holds`` are None when it was skipped."""

    name: str
    ratio: float | None
    goal: str
    holds: bool | None
    detail: str


@dataclass(frozen=True)
class Measure:
    """A named comparison with a goal such as "≥ 1.2 ×"."""

    name: str
    goal: str
    run: Callable[[], Measured]


MEASURES: dict[str, Measure] = {}


def measure(
    name: str, goal: str
) -> Callable[[Callable[[], Measured]], Callable[[], Measured]]:
    """Register a function under a name; ValueError for a goal that is not readable."""
    holds(1.0, goal)

    def register(function: Callable[[], Measured]) -> Callable[[], Measured]:
        if name in MEASURES:
            raise ValueError(f"Two measures are called {name}")
        MEASURES[name] = Measure(name, goal, function)
        return function

    return register


def holds(ratio: float, goal: str) -> bool:
    """Say whether a ratio meets a goal: "≥ 1.2 ×" or "≤ 0.5 ×"."""
    parts = _GOAL.fullmatch(goal)
    if parts is None:
        raise ValueError(f"Not a goal: {goal!r}")
    number = float(parts["number"])
    return ratio >= number if parts["sign"] == "≥" else ratio <= number


def run(found: Measure) -> Result:
    """Run one measure; a peer that is missing makes it a skipped one."""
    try:
        measured = found.run()
    except PeerMissingError as missing:
        return Result(found.name, None, found.goal, None, f"skipped: {missing}")
    return Result(
        found.name,
        float(f"{measured.ratio:.3g}"),  # goals go from 1/200 to 8
        found.goal,
        holds(measured.ratio, found.goal),
        measured.detail,
    )


def compare(
    ours: Callable[[], object], peer: Callable[[], object], *, rounds: int = 5
) -> Measured:
    """Time both ways in interleaved rounds; the ratio is the peer's time over ours.

    Each way runs once before, untimed. Who goes first changes from round to round.
    """
    return compare_seconds(lambda: _time(ours), lambda: _time(peer), rounds=rounds)


def compare_seconds(
    ours: Callable[[], float], peer: Callable[[], float], *, rounds: int = 5
) -> Measured:
    """The same for ways that tell by themselves how many seconds they took."""
    ours()
    peer()
    pairs: list[tuple[float, float]] = []
    for number in range(rounds):
        if number % 2:
            ours_s, peer_s = ours(), peer()
        else:
            peer_s, ours_s = peer(), ours()
        pairs.append((ours_s, peer_s))
    ratios = [peer_s / ours_s for ours_s, peer_s in pairs]
    return Measured(
        ratio=statistics.median(ratios),
        detail=(
            f"{rounds} rounds, ratio {min(ratios):.2f}-{max(ratios):.2f}; median "
            f"{statistics.median(pair[0] for pair in pairs) * 1000:.0f} ms against "
            f"{statistics.median(pair[1] for pair in pairs) * 1000:.0f} ms"
        ),
    )


def _time(way: Callable[[], object]) -> float:
    started = time.perf_counter()
    way()
    return time.perf_counter() - started
