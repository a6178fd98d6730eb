"""What a run's work is given."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from connections.models import Channel, Connection, SyncRun
from connections.models.activity import note
from connections.problems import Problem
from connections.runs.lease import Lease
from connections.wire.errors import WireError
from connections.wire.ssh import Deadline
from stores.models import Store, Warehouse

# Run deadline: 300 s plus the file's bytes at 64 kB/s (design.md §3, Queue).
BASE_SECONDS = 300.0
SLOWEST_BYTES_PER_S = 64_000

# What would have been done a second time if nobody had looked (reliability.md O2).
DUPLICATES_PREVENTED = "duplicates_prevented"


class SwitchedOffError(Exception):
    """The connection or its channel was turned off while the run worked."""


class RunContext:
    """One run, its rows, its lease and its deadline."""

    def __init__(self, run: SyncRun, lease: Lease) -> None:
        self.run = run
        self.channel: Channel = run.channel
        self.connection: Connection = run.connection
        self.store: Store = run.connection.store
        self.warehouse: Warehouse = run.connection.warehouse
        # What its earlier turns have counted; after a failure it counts anew.
        self.counts: dict[str, Any] = {} if run.error_code else dict(run.counts)
        # Set by work that has done its share and is not at its end: the run comes again
        # behind those of other stores.
        self.goes_on = False
        self._of_warehouse: list[WireError | Problem] = []
        self._lease = lease

    def fenced(self) -> AbstractContextManager[None]:
        """A transaction that fails unless this run still holds the store's lease."""
        return self._lease.fenced()

    @contextmanager
    def effect(self) -> Iterator[None]:
        """A fenced transaction that commits the intent of an effect on a far side.

        Off means off: raises SwitchedOffError when the switch was turned meanwhile.
        """
        with self.fenced():
            if not Channel.objects.live().filter(pk=self.channel.pk).exists():
                raise SwitchedOffError
            yield

    @contextmanager
    def at_warehouse(self) -> Iterator[None]:
        """Talk to the warehouse: a failure inside is shown as the warehouse's."""
        try:
            yield
        except (WireError, Problem) as error:
            self._of_warehouse.append(error)
            raise

    def do_all(self, *parts: Callable[[RunContext], None]) -> None:
        """Do every part, one side's trouble or not; then raise the first failure."""
        failures: list[WireError | Problem] = []
        for part in parts:
            try:
                part(self)
            except (WireError, Problem) as failure:
                failures.append(failure)
        if failures:
            raise failures[0]

    def check_warehouse(self) -> None:
        """Raise what went wrong at the warehouse in this try, if something did."""
        if self._of_warehouse:
            raise self._of_warehouse[0]

    def side_of(self, error: Exception | None) -> SyncRun.Side:
        """Which far side a failure came from."""
        of_warehouse = any(error is known for known in self._of_warehouse)
        return SyncRun.Side.WAREHOUSE if of_warehouse else SyncRun.Side.STORE

    def deadline(self, size: int = 0) -> Deadline:
        """A fresh deadline for one conversation that moves `size` bytes."""
        return Deadline(BASE_SECONDS + size / SLOWEST_BYTES_PER_S)

    def count(self, name: str, by: int = 1) -> None:
        """Add to the numbers that the run's page shows."""
        self.counts[name] = self.counts.get(name, 0) + by

    def note(self, event: str, **facts: Any) -> None:
        """Append a line to the connection's timeline."""
        note(event, connection=self.connection, run=self.run, **facts)
