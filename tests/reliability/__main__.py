"""`python -m tests.reliability [--write] [--report JUNIT]`: docs/reliability.md."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tests.reliability.collect import (
    ROOT,
    TESTS,
    Faults,
    failures,
    page,
    proofs,
    unheld,
)

PAGE = ROOT / "docs" / "reliability.md"


def main() -> int:
    """Write the page, or say what is wrong with it; return the exit status."""
    parser = argparse.ArgumentParser(prog="tests.reliability", description=__doc__)
    parser.add_argument("--write", action="store_true", help="make the page anew")
    parser.add_argument("--report", type=Path, help="of the last run of all tests")
    options = parser.parse_args()
    faults = Faults.load()
    try:
        held = proofs(faults, TESTS)
    except ValueError as error:
        print(f"{error}, which is in no list", file=sys.stderr)  # noqa: T201
        return 1
    text = page(faults, held)
    problems = unheld(faults, held)
    if options.write:
        PAGE.write_text(text, encoding="utf-8")
    elif not PAGE.exists() or PAGE.read_text(encoding="utf-8") != text:
        problems.append("docs/reliability.md is older than the tests: --write")
    if options.report is not None and options.report.exists():
        problems += failures(options.report, held)
    for problem in problems:
        print(problem, file=sys.stderr)  # noqa: T201
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
