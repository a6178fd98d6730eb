"""No delay is left to the broker: a due time lives in its row (reliability.md Q2)."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
APPS = ("connections", "inventory_planner", "stores", "dropstream")
DELAYS = {"eta", "countdown"}


def delays(source: str) -> list[int]:
    """Return the lines of calls that hand a delay to Celery, or let it retry."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        named: set[object] = {keyword.arg for keyword in node.keywords}
        options = [a for k in node.keywords if k.arg is None for a in ast.walk(k.value)]
        named |= {a.value for a in options if isinstance(a, ast.Constant)}
        is_retry = isinstance(node.func, ast.Attribute) and node.func.attr == "retry"
        if named & DELAYS or is_retry:
            found.append(node.lineno)
    return found


def test_no_product_code_hands_a_delay_to_the_broker() -> None:
    """Q2: four executions of one task with a countdown were measured."""
    files = [path for app in APPS for path in (ROOT / app).rglob("*.py")]
    assert len(files) > 100
    assert {str(path): delays(path.read_text()) for path in files} == {
        str(path): [] for path in files
    }


@pytest.mark.parametrize(
    "call",
    [
        "task.apply_async(args=[1], countdown=5)",
        "task.apply_async(args=[1], eta=at)",
        "self.retry(exc=error)",
        "app.send_task('a', **{'countdown': 5})",
    ],
)
def test_the_lint_sees_each_way(call: str) -> None:
    """Q2."""
    assert delays(call) == [1]
