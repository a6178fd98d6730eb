"""What a soak has to tell: counts, latencies, times to recover, a chart."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from tests.soak.chaos import CHILD, FLUSH, PAUSE, POSTGRES, VALKEY, WORKER, Fault
from tests.soak.history import Change
from tests.soak.watch import Sample

GOALS_S = {WORKER: 120.0, CHILD: 120.0, PAUSE: 120.0, VALKEY: 60.0, FLUSH: 60.0}
GOALS_S[POSTGRES] = 30.0
_INTERRUPTS = (WORKER, CHILD, PAUSE, POSTGRES)


@dataclass(frozen=True)
class Recovery:
    """From a fault to the next progress of each row that it touched."""

    kind: str
    faults: int
    seconds: list[float] = field(repr=False)

    @property
    def p95_s(self) -> float:
        return percentile(self.seconds, 95)

    @property
    def goal_s(self) -> float:
        return GOALS_S[self.kind]

    @property
    def holds(self) -> bool:
        return self.p95_s <= self.goal_s

    def __str__(self) -> str:
        word = "holds" if self.holds else "MISSED"
        longest = max(self.seconds, default=0)
        return (
            f"{self.kind}: {self.faults} times, {len(self.seconds)} rows, "
            f"p95 {self.p95_s:.1f} s, longest {longest:.1f} s "
            f"(goal {self.goal_s:.0f} s: {word})"
        )


def percentile(values: Iterable[float], percent: int) -> float:
    """Return the nearest-rank percentile, 0 for nothing."""
    ordered = sorted(values)
    if not ordered:
        return 0.0
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)]


def recoveries(faults: list[Fault], changes: list[Change]) -> list[Recovery]:
    """Measure every kind of fault that happened."""
    runs = [change for change in changes if change.kind == "run"]
    by_kind: dict[str, list[float]] = {}
    counts = Counter(fault.kind for fault in faults if fault.kind in GOALS_S)
    for fault in faults:
        if fault.kind in GOALS_S:
            seconds = _seconds(fault, runs, [f for f in faults if f.at < fault.at])
            by_kind.setdefault(fault.kind, []).extend(seconds)
    return [Recovery(kind, counts[kind], found) for kind, found in by_kind.items()]


def _seconds(fault: Fault, runs: list[Change], earlier: list[Fault]) -> list[float]:
    """Rows in work are followed to their next change, waiting ones to their claim.

    One whose worker an `earlier` fault ended is that fault's. Without either, the first
    claim after the fault shows that work goes on.
    """
    before: dict[int, Change] = {}
    for change in runs:
        if change.at >= fault.at:
            break
        before[change.row_id] = change
    if fault.kind in _INTERRUPTS:
        touched = {
            row_id
            for row_id, change in before.items()
            if change.became == "running"
            and (fault.kind == POSTGRES or change.who == fault.victim)
            and not any(f.victim == change.who and f.at > change.at for f in earlier)
        }
    else:
        touched = {
            row_id
            for row_id, change in before.items()
            if change.became == "queued" and change.facts["due_at"] <= fault.at
        }
    found = []
    for change in runs:
        if change.at >= fault.at and change.row_id in touched:
            found.append(change.at - fault.at)
            touched.discard(change.row_id)
    if not found and fault.kind not in (WORKER, CHILD, PAUSE):
        claims = (c.at for c in runs if c.at >= fault.over_at and c.became == "running")
        found = [at - fault.at for at in claims][:1]
    return found


def start_delays(changes: list[Change]) -> list[float]:
    """Seconds from due to the first claim of each run."""
    return [
        change.at - change.facts["due_at"]
        for change in changes
        if change.kind == "run"
        and change.became == "running"
        and change.facts["attempts"] == 1
    ]


def chart(samples: list[Sample], faults: list[Fault]) -> str:
    """Draw due rows over time, a line down for each fault, as SVG."""
    width, height, left, bottom = 900, 260, 50, 40
    start = samples[0].at if samples else 0.0
    span = max((samples[-1].at - start) if samples else 1.0, 1.0)
    most = max((sample.due for sample in samples), default=1) or 1

    def x(at: float) -> float:
        return left + (at - start) / span * (width - left - 10)

    def y(due: int) -> float:
        return height - bottom - due / most * (height - bottom - 20)

    points = " ".join(f"{x(s.at):.1f},{y(s.due):.1f}" for s in samples)
    marks = "".join(
        f'<line x1="{x(f.at):.1f}" x2="{x(f.at):.1f}" y1="20" y2="{height - bottom}" '
        f'stroke="#c33" stroke-width="0.5"><title>{f.kind}: {f.victim}</title></line>'
        for f in faults
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'font-family="sans-serif" font-size="12"><rect width="{width}" '
        f'height="{height}" fill="#fff"/>{marks}<polyline points="{points}" '
        f'fill="none" stroke="#036" stroke-width="1.5"/>'
        f'<text x="{left - 8}" y="26" text-anchor="end">{most}</text>'
        f'<text x="{left - 8}" y="{height - bottom}" text-anchor="end">0</text>'
        f'<text x="{left}" y="{height - 12}">due rows over {span:.0f} s; red: a fault'
        f"</text></svg>\n"
    )
