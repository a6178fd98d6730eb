"""Names for the moments at which a run may be interrupted; the product does nothing there.

Tests hook in (tests/lab/failpoints.py) and kill, fail or hold the worker at a moment of
their choice. No setting and no environment variable arms anything.
"""

from __future__ import annotations

from collections.abc import Callable

hooks: list[Callable[[str], None]] = []


def failpoint(name: str) -> None:
    """Say that the run has come to this moment."""
    for hook in hooks:
        hook(name)
