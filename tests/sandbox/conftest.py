"""A sandbox whose clocks stand still: tests say when something happens."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from dropstream.sandbox import Sandbox
from tests.sandbox.far_side import ApiClient

StartSandbox = Callable[..., Sandbox]


@pytest.fixture
def start_sandbox(tmp_path: Path) -> Iterator[StartSandbox]:
    """Start sandboxes that share one state folder; stop what is left at the end."""
    with ExitStack() as stack:

        def start(**options: Any) -> Sandbox:
            still = {"tick_s": None, "sync_s": None, "stock_interval_s": None}
            small = {"skus": 30, "receipt_delay_s": 0.0}
            return stack.enter_context(
                Sandbox(tmp_path / "state", **(still | small | options))
            )

        yield start


@pytest.fixture
def sandbox(start_sandbox: StartSandbox) -> Sandbox:
    return start_sandbox()


@pytest.fixture
def api(sandbox: Sandbox) -> ApiClient:
    return ApiClient(sandbox)
