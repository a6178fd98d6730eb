"""A liveness probe for a worker's container."""

from __future__ import annotations

from typing import Any

from celery.utils.nodenames import default_nodename
from django.core.management.base import BaseCommand, CommandError, CommandParser

from connections.runs import heartbeat


class Command(BaseCommand):
    """Exits 1 when the worker's consumer has not turned lately (Q6)."""

    help = "Say whether this host's worker takes messages; exits 1 when it does not."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--name", default=default_nodename(""), help="the worker's -n"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if not heartbeat.worker_is_alive(options["name"]):
            raise CommandError(f"No sign of life of {options['name']}: restart it.")
        self.stdout.write("alive")
