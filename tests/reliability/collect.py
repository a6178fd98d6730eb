"""Which test holds which fault: read from the tests, and compared with their results."""

from __future__ import annotations

import ast
import re
import tomllib
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

ROOT = Path(__file__).resolve().parents[2]
TESTS = ROOT / "tests"
# Tests of our own stand-ins and instruments prove nothing of the product.
INSTRUMENTS = ("sandbox/", "lab/", "soak/", "reliability/", "bench/")
ID = r"[A-Z]{1,2}\d+"
CITED = re.compile(rf"\s*({ID}(?:\s*(?:,|;|/|and|to)\s*{ID})*)")
NAMED = re.compile(r"test_([diqro]\d+)_")


@dataclass(frozen=True)
class Faults:
    """The lists, and why some of them are not held yet."""

    sections: dict[str, str]
    faults: dict[str, str]
    reasons: dict[str, str]

    @classmethod
    def load(cls) -> Faults:
        return cls(**tomllib.loads((Path(__file__).parent / "faults.toml").read_text()))


@dataclass(frozen=True, order=True)
class Proof:
    """A test by its file, seen from tests/, and its name without parameters."""

    file: str
    name: str

    def __str__(self) -> str:
        return f"{self.file}::{self.name}"


def proofs(faults: Faults, folder: Path) -> dict[str, list[Proof]]:
    """Return the tests of each id. Raises ValueError for one that no list knows."""
    found: dict[str, set[Proof]] = defaultdict(set)
    for path in sorted(folder.rglob("test_*.py")):
        file = str(path.relative_to(folder))
        if file.startswith(INSTRUMENTS):
            continue
        for function in _functions(ast.parse(path.read_text(encoding="utf-8"))):
            for cited in _ids(function, faults.sections):
                if cited not in faults.faults:
                    raise ValueError(f"{file}::{function.name} cites {cited}")
                found[cited].add(Proof(file, function.name))
    return {cited: sorted(tests) for cited, tests in found.items()}


def unheld(faults: Faults, held: dict[str, list[Proof]]) -> list[str]:
    """Say which ids have neither a test nor a reason, or both."""
    problems = []
    for cited in faults.faults:
        if cited in held and cited in faults.reasons:
            problems.append(f"{cited} has a test: drop its reason")
        if cited not in held and cited not in faults.reasons:
            problems.append(
                f"{cited} has no test and no reason: {faults.faults[cited]}"
            )
    return problems


def failures(report: Path, held: dict[str, list[Proof]]) -> list[str]:
    """Say which ids were not held in a run of the tests, by its JUnit report.

    A skipped test proves nothing: another one of the id must have passed.
    """
    outcomes = _outcomes(report)
    problems = []
    for cited, tests in held.items():
        seen = {test: outcomes.get(test, set()) for test in tests}
        problems += [
            f"{cited}: {test} failed" for test in tests if "failed" in seen[test]
        ]
        if not any("passed" in outcome for outcome in seen.values()):
            problems.append(f"{cited}: none of its tests passed")
    return problems


def page(faults: Faults, held: dict[str, list[Proof]]) -> str:
    """Write docs/reliability.md."""
    lines = [
        "# What goes wrong, and the tests that hold",
        "",
        "Made from the tests by `.venv/bin/python -m tests.reliability --write`; do not",
        "edit. `python3 run.py check` fails when a line has neither a test nor a reason,",
        "when this page is older than the tests, and when a test named here did not pass.",
        "Files are seen from `tests/`. The ids are those of `tests/reliability/faults.toml`;",
        "a test cites them first in its docstring.",
    ]
    for letter, title in faults.sections.items():
        lines += [
            "",
            f"## {title}",
            "",
            "| | Fault | Result | Tests |",
            "|---|---|---|---|",
        ]
        lines += [
            _row(cited, fault, held.get(cited, []), faults.reasons.get(cited, ""))
            for cited, fault in faults.faults.items()
            if cited.startswith(letter)
        ]
    return "\n".join(lines) + "\n"


def _row(cited: str, fault: str, tests: list[Proof], reason: str) -> str:
    by_file: dict[str, list[str]] = defaultdict(list)
    for test in tests:
        by_file[test.file].append(f"`{test.name}`")
    named = "<br>".join(
        f"{file}: {', '.join(names)}" for file, names in by_file.items()
    )
    result = "held" if tests else f"not yet: {reason}"
    return f"| {cited} | {fault} | {result} | {named} |"


def _functions(tree: ast.Module) -> Iterator[ast.FunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            yield node


def _ids(function: ast.FunctionDef, sections: dict[str, str]) -> set[str]:
    """The ids of our lists; those of security.md and others are not counted here."""
    cited = CITED.match(ast.get_docstring(function) or "")
    named = NAMED.match(function.name)
    words = re.findall(ID, cited[1]) if cited else []
    if named:
        words.append(named[1].upper())
    return {word for word in words if word.rstrip("0123456789") in sections}


def _outcomes(report: Path) -> dict[Proof, set[str]]:
    outcomes: dict[Proof, set[str]] = defaultdict(set)
    # Our own pytest has written it a moment ago.
    for case in ET.parse(report).iter("testcase"):  # noqa: S314
        module = case.get("classname", "").removeprefix("tests.")
        test = Proof(
            module.replace(".", "/") + ".py", case.get("name", "").partition("[")[0]
        )
        kinds = {child.tag for child in case}
        if kinds & {"failure", "error"}:
            outcomes[test].add("failed")
        elif "skipped" not in kinds:
            outcomes[test].add("passed")
    return outcomes
