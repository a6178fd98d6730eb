"""One soak from its start to its verdict."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import django

from dropstream.local.progress import say
from tests.soak import history, report
from tests.soak.chaos import Chaos
from tests.soak.history import Change
from tests.soak.house import House
from tests.soak.pace import Pace, pace_for
from tests.soak.watch import Watch

if TYPE_CHECKING:
    from tests.soak.merchants import Days, Soaked

RESULTS = Path(".state") / "soak"
SHOWN = 20
# A planted bug shows early, or when what was interrupted is tried again.
PLANTED_DRAIN_S = 20


@dataclass(frozen=True)
class Order:
    """What one soak is to be."""

    stores: int
    minutes: float
    seed: int
    plant: str = ""

    @property
    def pace(self) -> Pace:
        return pace_for(self.minutes)

    @property
    def results(self) -> Path:
        """Where its logs, its report and its chart are kept."""
        name = f"{self.stores}-{self.minutes:g}-{self.seed}"
        return RESULTS / (f"{name}-{self.plant}" if self.plant else name)

    def __str__(self) -> str:
        bug = f", planted: {self.plant}" if self.plant else ""
        return (
            f"{self.stores} stores, {self.minutes:g} minutes, seed {self.seed}{bug}; "
            f"{self.pace}"
        )


def soak(order: Order) -> list[str]:
    """Run one soak, print what it has to tell, return the violations."""
    say(f"soak: {order}")
    shutil.rmtree(order.results, ignore_errors=True)
    order.results.mkdir(parents=True)
    with _house(order) as house:
        # The harness sets the product up through its services: it is a part of it.
        os.environ.update(house.env, PGAPPNAME="soak")
        django.setup()
        return _soak(order, house)


@contextmanager
def _house(order: Order) -> Iterator[House]:
    """The processes, on a folder that is gone afterwards; their logs are kept."""
    root = Path(tempfile.mkdtemp(prefix="ds-soak-"))
    root.chmod(0o711)  # PostgreSQL may run as nobody, who must pass through
    house = House(root, merchants=order.stores, pace=order.pace, plant=order.plant)
    try:
        house.start_servers()
        yield house
    finally:
        house.stop()
        for log in root.glob("*.log"):
            shutil.copy(log, order.results)
        house.remove()
        shutil.rmtree(root, ignore_errors=True)


def _soak(order: Order, house: House) -> list[str]:
    from tests.soak import merchants, verdict  # models: after django.setup()

    stores = merchants.set_up(house, order.stores)
    history.install(house.owner_url)
    house.start_product()
    say("all set up; the chaos begins")
    days = merchants.Days(house, stores, order.seed)
    watch = Watch(house.owner_url, order.pace.sample_s)
    chaos = Chaos(house, order.seed)
    memory_mb = house.far_memory_mb()
    days.start()
    watch.start()
    chaos.run(order.minutes * 60)
    days.stop()
    say(f"quiet after {len(chaos.faults)} faults: draining")
    longest_s = PLANTED_DRAIN_S if order.plant else order.pace.drain_s
    drained_s = _drain(house, stores, days, longest_s)
    watch.stop()
    changes = history.read(house.owner_url)
    violations = [*chaos.ended, *house.revive()]
    violations += verdict.judge_house(house, stores, changes)
    if not order.plant:
        violations += verdict.unsettled(house, stores)
    lines = [
        f"faults: {_counts(Counter(fault.kind for fault in chaos.faults))}",
        f"deeds: {_counts(days.deeds)}",
        *_of_history(changes),
        *_of_samples(watch),
        f"far sides' memory: {memory_mb:.0f} MB, at the end {house.far_memory_mb():.0f}",
        f"drained in {drained_s:.0f} s"
        if drained_s
        else f"not drained in {longest_s} s",
    ]
    found = report.recoveries(chaos.faults, changes)
    lines += [f"recovery, {recovery}" for recovery in found]
    _keep(order, lines, violations, chaos, watch)
    for line in [*lines, *violations[:SHOWN]]:
        print(line)
    print(f"report and chart: {order.results}")
    print(f"violations: {len(violations)}", flush=True)
    return violations


def _drain(
    house: House, stores: list[Soaked], days: Days, longest_s: float
) -> float | None:
    """Press "Run now" until all has come to its end; None when time runs out."""
    from tests.soak import merchants, verdict

    merchants.stop_schedules()
    started = time.monotonic()
    press_at = 0.0
    while (now_s := time.monotonic() - started) < longest_s:
        at_rest = not list(verdict.unfinished_rows(house))
        if at_rest:
            days.receive_the_rest()
            if not verdict.unsettled(house, stores):
                return now_s
            merchants.press_run_now()
        elif now_s >= press_at:
            merchants.hurry_retries()
            press_at = now_s + 2 * house.pace.tick_s
        time.sleep(1)
    return None


def _of_history(changes: list[Change]) -> list[str]:
    ended = Counter(
        change.became for change in changes if change.kind == "run" and change.was
    )
    states = ("running", "succeeded", "needs_person", "failed")
    runs = ", ".join(f"{state} {ended[state]}" for state in states)
    delivered = sum(c.kind == "delivery" and c.became == "delivered" for c in changes)
    by = Counter(
        change.who
        for change in changes
        if change.kind == "run" and change.became == "running"
    )
    delays = report.start_delays(changes)
    return [
        f"runs: {runs}; claimed by {_counts(by)}",
        f"deliveries: {delivered}",
        (
            f"start delay: p50 {report.percentile(delays, 50):.1f} s, "
            f"p95 {report.percentile(delays, 95):.1f} s, "
            f"longest {max(delays, default=0):.1f} s"
        ),
    ]


def _of_samples(watch: Watch) -> list[str]:
    samples = watch.samples
    return [
        (
            f"due rows: at most {max((s.due for s in samples), default=0)}, "
            f"oldest {max((s.oldest_s for s in samples), default=0):.1f} s"
        ),
        (
            "longest transaction: "
            f"{max((s.transaction_s for s in samples), default=0):.1f} s"
        ),
    ]


def _counts(counts: Counter[str] | dict[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))


def _keep(
    order: Order, lines: list[str], violations: list[str], chaos: Chaos, watch: Watch
) -> None:
    doc = {
        "order": str(order),
        "lines": lines,
        "violations": violations,
        "faults": [asdict(fault) for fault in chaos.faults],
    }
    (order.results / "report.json").write_text(json.dumps(doc, indent=1))
    chart = report.chart(watch.samples, chaos.faults)
    (order.results / "due.svg").write_text(chart)
