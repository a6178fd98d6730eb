"""Workers that die at a fail-point: what a kill -9 leaves, without the wait."""

from __future__ import annotations

from connections.models import SyncRun
from connections.runs import execute, queue
from connections.tasks import WORK
from tests.lab import failpoints


class KilledError(BaseException):
    """The worker is gone: nothing of the product may catch this."""


def work_and_die(run: SyncRun, *, at: str, nth: int = 1) -> bool:
    """Do a run and die at a fail-point; False when it did not come by."""

    def die() -> None:
        raise KilledError

    with failpoints.at(at, die, nth=nth) as point:
        try:
            execute.execute(run.pk, WORK)
        except KilledError:
            assert point.acted
            return True
    return False


def rise_again(run: SyncRun) -> None:
    """Find the run that its worker left, as the tick does, and do it to its end."""
    queue.reap()
    execute.execute(run.pk, WORK)
    run.refresh_from_db()
