"""Say what is wrong with this installation, and what to do."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from dropstream import doctor
from dropstream.health import State

EXIT_CODES = {State.OK: 0, State.DEGRADED: 1, State.FAILING: 2}


class Command(BaseCommand):
    """Reads only, but for the probe that a row can be written."""

    help = "Say what is wrong and what to do. Exits 0, 1 (look at it) or 2 (broken)."
    # It must be able to speak about what Django's own checks would stop at.
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="one object as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        findings = list(doctor.examine())
        worst = max((f.state for f in findings), key=list(State).index)
        if options["json"]:
            answer = {"state": worst, "findings": [asdict(f) for f in findings]}
            self.stdout.write(json.dumps(answer))
        else:
            for found in findings:
                self._tell(found)
        if worst != State.OK:
            sys.exit(EXIT_CODES[worst])

    def _tell(self, found: doctor.Finding) -> None:
        says = f": {found.says}" if found.says else ""
        self.stdout.write(f"{found.state:<9}{found.name}{says}")
        if found.do:
            self.stdout.write(f"{'':<9}→ {found.do}")
