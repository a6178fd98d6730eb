"""A rolling upgrade: workers of the version before go on, on the new version's schema."""

from __future__ import annotations

import subprocess
import tarfile
from pathlib import Path

import pytest

from connections.models import Delivery, SyncRun
from connections.runs import switch
from tests.connections.processes.work import assert_one_right_file
from tests.factories import Line
from tests.lab.workers import ROOT, Workers

MIGRATIONS = ":(glob)*/migrations/0*.py"


@pytest.fixture
def version_before(tmp_path: Path) -> Path:
    """The tree as it stood before the newest migration came."""
    newest = git("log", "-1", "--format=%H", "--", MIGRATIONS)
    archive, tree = tmp_path / "before.tar", tmp_path / "before"
    git("archive", "--output", str(archive), f"{newest}^")
    with tarfile.open(archive) as content:
        content.extractall(tree, filter="data")
    return tree


def git(*arguments: str) -> str:
    if not (ROOT / ".git").exists():
        pytest.skip("no history here to take the version before from")
    done = subprocess.run(
        ["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_a_worker_of_the_version_before_does_both_flows(
    stock_line: Line, workers: Workers, version_before: Path
) -> None:
    """Q15: a migration takes nothing away that the version before still uses."""
    switch.enable_channel(stock_line.orders, by=stock_line.person)
    workers.start_tick()
    workers.tree = version_before
    workers.start_worker()
    workers.wait_for("both flows", both_are_done)
    assert_one_right_file(stock_line)
    assert Delivery.objects.filter(entity="purchase_order").exists()
    assert not SyncRun.objects.exclude(error_code="").exists()


def both_are_done() -> bool:
    done = SyncRun.objects.filter(state=SyncRun.State.SUCCEEDED)
    return {"stock_changes", "orders_import"} <= set(done.values_list("job", flat=True))
