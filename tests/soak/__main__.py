"""`python3 run.py soak`: break everything at random for a while, then judge."""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
from pathlib import Path

from tests.soak.session import Order, soak

SEEDS = Path(__file__).with_name("seeds.txt")
PLANTS = (
    "record-before-close",
    "mark-before-delivery",
    "no-lease-check",
    "retry-under-new-name",
    "acknowledge-before-commit",
)


def main(arguments: list[str]) -> int:
    """Return 0 without violations (with --plants: when each bug was found)."""
    parser = argparse.ArgumentParser(prog="soak", description=__doc__)
    parser.add_argument("--stores", type=int, default=8)
    parser.add_argument("--minutes", type=float, default=1.5)
    parser.add_argument("--seed", type=int, help="a random one when left out")
    parser.add_argument("--plant", choices=PLANTS, default="", help="one known bug")
    parser.add_argument("--plants", action="store_true", help="each bug is found")
    parser.add_argument("--regressions", action="store_true", help="seeds that failed")
    options = parser.parse_args(arguments)
    seed = random.randrange(1, 10**6) if options.seed is None else options.seed
    if options.plants:
        return _find_plants(options.stores, options.minutes, seed)
    if options.regressions:
        return _repeat(*SEEDS.read_text().splitlines())
    order = Order(options.stores, options.minutes, seed, options.plant)
    return 1 if soak(order) else 0


def _find_plants(stores: int, minutes: float, seed: int) -> int:
    """Soak once with each bug, in a process of its own; each must be reported."""
    missed = []
    for plant in PLANTS:
        command = [sys.executable, "-m", "tests.soak", "--plant", plant]
        command += ["--stores", str(stores), "--minutes", str(minutes)]
        done = subprocess.run([*command, "--seed", str(seed)], check=False)
        if done.returncode != 1:
            missed.append(plant)
    print(f"bugs that were missed: {', '.join(missed) or 'none'}", flush=True)
    return 1 if missed else 0


def _repeat(*lines: str) -> int:
    """Soak again with each `stores minutes seed` that ever failed."""
    failed = 0
    for line in lines:
        values = line.partition("#")[0].split()
        if not values:
            continue
        command = [sys.executable, "-m", "tests.soak", "--stores", values[0]]
        command += ["--minutes", values[1], "--seed", values[2]]
        failed += subprocess.run(command, check=False).returncode != 0
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
