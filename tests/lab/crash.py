"""Workers that die at a chosen commit: what a kill -9 leaves, without the wait."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from connections.models import SyncRun
from connections.runs import execute, queue
from connections.runs.context import RunContext
from connections.runs.execute import Work
from connections.runs.lease import Lease
from connections.tasks import WORK


class KilledError(BaseException):
    """The worker is gone: nothing of the product may catch this."""


class MortalContext(RunContext):
    """Dies right before or right after its n-th commit; counts them otherwise."""

    def __init__(self, run: SyncRun, lease: Lease, *, at: int, before: bool) -> None:
        super().__init__(run, lease)
        self.commits = 0
        self._at = at
        self._before = before

    @contextmanager
    def fenced(self) -> Iterator[None]:
        self.commits += 1
        dies = self.commits == self._at
        with super().fenced():
            yield
            if dies and self._before:
                raise KilledError
        if dies:
            raise KilledError


def work_and_die(run: SyncRun, *, at: int, before: bool = False) -> bool:
    """Do a run; die at its commit number `at`. False when it has no such commit."""

    def mortal(context: RunContext) -> None:
        # The lease of the run is not the test's to know by any other way.
        lease = context._lease
        WORK[run.job](MortalContext(context.run, lease, at=at, before=before))

    work: Mapping[str, Work] = {run.job: mortal}
    try:
        execute.execute(run.pk, work)
    except KilledError:
        return True
    return False


def rise_again(run: SyncRun) -> None:
    """Find the run that its worker left, as the tick does, and do it to its end."""
    queue.reap()
    execute.execute(run.pk, WORK)
    run.refresh_from_db()
