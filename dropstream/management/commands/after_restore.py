"""The step between restoring the database and starting a worker again."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from connections import restore


class Command(BaseCommand):
    """See docs/operations.md, Backup and restore."""

    help = "Run once after restoring the database, before beat and workers start."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="counts as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        doubted = restore.doubt()
        if options["json"]:
            self.stdout.write(json.dumps(asdict(doubted)))
            return
        self.stdout.write(
            f"{doubted.orders} orders are held: they may have been sent since the "
            f"backup.\n{doubted.files} files will be looked for before they are sent.\n"
            f"{doubted.connections} connections say so, and hold what they do not know."
        )
