"""Run measures: `python -m tests.bench [NAME ...] [--json]`; a line for each."""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import json
import logging
import pkgutil
import sys

import tests.bench
from tests.bench.registry import MEASURES, Result, run


def main(arguments: list[str]) -> int:
    """Return 0 when every goal that could be measured holds, 1 otherwise, 2 on a typo."""
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--json", action="store_true", help="one object a line")
    options = parser.parse_args(arguments)
    _register_all()
    unknown = [name for name in options.names if name not in MEASURES]
    if unknown:
        parser.error(f"no such measure: {', '.join(unknown)}; there are {_names()}")
    missed = False
    for name in options.names or sorted(MEASURES):
        result = run(MEASURES[name])
        missed = missed or result.holds is False
        line = json.dumps(dataclasses.asdict(result), ensure_ascii=False)
        sys.stdout.write((line if options.json else _sentence(result)) + "\n")
        sys.stdout.flush()
    return 1 if missed else 0


def _register_all() -> None:
    """Import every module beside this one; importing registers its measures."""
    for module in pkgutil.iter_modules(tests.bench.__path__):
        if module.name != "__main__" and not module.name.startswith("test_"):
            importlib.import_module(f"tests.bench.{module.name}")


def _names() -> str:
    return ", ".join(sorted(MEASURES))


def _sentence(result: Result) -> str:
    if result.ratio is None:
        return f"{result.name}: {result.detail} (goal {result.goal})"
    word = "holds" if result.holds else "MISSED"
    return f"{result.name}: {result.ratio:g} × (goal {result.goal}: {word}); {result.detail}"


if __name__ == "__main__":
    # Runs and servers tell of each step; here the lines of the measures count.
    logging.disable(logging.INFO)
    sys.exit(main(sys.argv[1:]))
