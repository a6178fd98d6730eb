from __future__ import annotations

from django.apps import AppConfig


class InventoryPlannerConfig(AppConfig):
    """The first store platform: the folder that a second one copies."""

    name = "inventory_planner"
    verbose_name = "Inventory Planner"

    def ready(self) -> None:
        from inventory_planner.definition import InventoryPlanner
        from stores import platforms

        platforms.register(InventoryPlanner())
