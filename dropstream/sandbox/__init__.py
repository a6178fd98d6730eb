"""Stand-ins for the far sides: Inventory Planner and a warehouse.

A process of its own with its own state on disk. It imports nothing of the product and
the product imports nothing of it.
"""

from __future__ import annotations

from dropstream.sandbox.server import Sandbox

__all__ = ["Sandbox"]
