"""The lab's own tests use the line of the engine's tests."""

from tests.connections.conftest import line

__all__ = ["line"]
