"""Bring one delivery to its end: sent under its one name, or found to be there already.

Every step is committed before it is done outside, so that whatever dies in between, the
next run knows what it may find (design.md §3, Runs and deliveries).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from enum import Enum
from typing import NoReturn

from django.utils import timezone

from connections.deliveries import bytes as file_bytes
from connections.failpoints import failpoint
from connections.models import Delivery
from connections.problems import Problem
from connections.runs.context import DUPLICATES_PREVENTED, RunContext
from connections.wire.errors import WireError
from connections.wire.sftp import Sftp, join_path

OnEnd = Callable[[Delivery], None]
State = Delivery.State

# A file that vanished before anybody could look is sent once more, not for ever (D4).
MOST_SENDS = 2


class Visibility(Enum):
    """How the far side shows a file that is being written."""

    ON_CLOSE = "on-close"  # object stores: straight to the final name
    RENAME = "rename"  # POSIX folders: hidden temporary name, then rename


def send(
    context: RunContext,
    delivery: Delivery,
    sftp: Sftp,
    *,
    folder: Callable[[], str],
    visibility: Visibility,
    on_delivered: OnEnd,
    on_doubt: OnEnd,
) -> None:
    """Send, or resolve and then send again, the same bytes under the same name.

    `folder` tells where to; a later attempt looks where the first one wrote.
    `on_delivered` and `on_doubt` run in the transaction that records what became of it.
    Raises WireError; Problem("name_taken") when a foreign file has the name, and
    Problem("delivery_unknown") when nobody can tell: whether a new one may be built then
    is for `on_doubt` to say.
    """
    with _failure_kept(context, delivery):
        has_moved = delivery.peer not in ("", sftp.peer)
        if has_moved and delivery.announced:
            # What became of it is to be seen only where it was sent.
            _give_up(context, delivery, on_doubt)
        known = "" if has_moved else delivery.folder
        where = known or folder()
        path = join_path(where, delivery.name)
        if _is_missing(context, delivery, sftp, path, on_doubt):
            _start(context, delivery, sftp, where)
            if visibility is Visibility.ON_CLOSE:
                _upload_and_close(context, delivery, sftp, path)
            else:
                _upload_and_rename(context, delivery, sftp, path, on_doubt)
            _check_size(delivery, sftp, path)
        _record(context, delivery, on_delivered)


def _is_missing(
    context: RunContext, delivery: Delivery, sftp: Sftp, path: str, on_doubt: OnEnd
) -> bool:
    """Whether it is to be sent (again), by a look; raises Problem where it must not be."""
    size = _size(sftp, path)
    if delivery.state == State.BUILT:
        if size is not None:
            _end_as_foreign(context, delivery)
        return True
    if size is not None:
        delivery.size_seen = size
    if size == delivery.size or (
        size is None
        and delivery.state == State.RENAMING
        and _was_renamed(delivery, sftp, path)
    ):
        context.count(DUPLICATES_PREVENTED)
        return False
    is_changed = size is not None and delivery.state == State.RENAMING
    if is_changed or (size is None and delivery.announced >= MOST_SENDS):
        _give_up(context, delivery, on_doubt)
    return True


@contextmanager
def _failure_kept(context: RunContext, delivery: Delivery) -> Iterator[None]:
    """Let the file's page say why an attempt failed, and what it saw."""
    try:
        yield
    except (WireError, Problem) as error:
        with context.fenced():
            delivery.error_code = error.code
            delivery.save(update_fields=["error_code", "size_seen"])
        raise


def hidden_path(path: str) -> str:
    """The temporary name beside the final one; no warehouse picks up dot files."""
    folder, _, name = path.rpartition("/")
    return f"{folder}/.{name}.part"


def _was_renamed(delivery: Delivery, sftp: Sftp, path: str) -> bool:
    """Resolve an announced rename by looking for the hidden file (reliability.md P3, D4).

    It was complete when the state was committed. If it is gone, the rename took place
    and the warehouse has taken the file. A server that lets nobody look proves nothing
    and stops the run.
    """
    if sftp.size_of(hidden_path(path)) is None:
        return True
    delivery.announced -= 1  # committed with the next attempt
    return False


def _start(context: RunContext, delivery: Delivery, sftp: Sftp, folder: str) -> None:
    with context.effect():
        delivery.state = State.SENDING
        delivery.attempts += 1
        delivery.folder, delivery.peer = folder, sftp.peer
        delivery.size_seen = None
        delivery.first_attempt_at = delivery.first_attempt_at or timezone.now()
        delivery.save(
            update_fields=[
                *("state", "attempts", "announced", "folder", "peer"),
                *("size_seen", "first_attempt_at"),
            ]
        )
    failpoint("delivery.started")


def _upload_and_close(
    context: RunContext, delivery: Delivery, sftp: Sftp, path: str
) -> None:
    def on_progress(answered: int) -> None:
        failpoint("delivery.bytes_sent")
        if answered == delivery.size:
            _announce(context, delivery, State.CLOSING)

    with _retracted(context, delivery, if_so=lambda: _size(sftp, path) is None):
        sftp.upload(path, file_bytes.read(delivery), on_progress=on_progress)
    failpoint("delivery.visible")


def _upload_and_rename(
    context: RunContext, delivery: Delivery, sftp: Sftp, path: str, on_doubt: OnEnd
) -> None:
    hidden = hidden_path(path)
    with _taken_back(delivery, sftp, hidden):
        sftp.upload(
            hidden,
            file_bytes.read(delivery),
            on_progress=lambda _: failpoint("delivery.bytes_sent"),
        )
        _check_size(delivery, sftp, hidden)
        if _size(sftp, path) is not None:
            sftp.remove(hidden)
            if delivery.attempts > 1 or delivery.announced:
                # A rename of ours may have come through late, or before a restore.
                _give_up(context, delivery, on_doubt)
            _end_as_foreign(context, delivery)
        _announce(context, delivery, State.RENAMING)
        with _retracted(
            context, delivery, if_so=lambda: _size(sftp, hidden) == delivery.size
        ):
            sftp.rename(hidden, path)
    failpoint("delivery.visible")


def _announce(context: RunContext, delivery: Delivery, step: State) -> None:
    """Commit that the file may be seen from here on."""
    with context.effect():
        delivery.state = step
        delivery.announced += 1
        delivery.save(update_fields=["state", "announced", "size_seen"])
    failpoint("delivery.announced")


@contextmanager
def _retracted(
    context: RunContext, delivery: Delivery, *, if_so: Callable[[], bool]
) -> Iterator[None]:
    """Unsay an announced step that failed when a look shows that it did not happen."""
    try:
        yield
    except WireError:
        with suppress(WireError):  # the line is cut: the next run looks
            if delivery.state != State.SENDING and if_so():
                with context.fenced():
                    delivery.state = State.SENDING
                    delivery.announced -= 1
                    delivery.save(update_fields=["state", "announced"])
        raise


@contextmanager
def _taken_back(delivery: Delivery, sftp: Sftp, hidden: str) -> Iterator[None]:
    """Leave no temporary file behind after a failure (D5).

    One whose rename was announced stays: its absence would prove the rename.
    """
    try:
        yield
    except WireError:
        if delivery.state == State.SENDING:
            # The next try writes over it if this one does not get through.
            with suppress(WireError):
                sftp.remove(hidden)
        raise


def _check_size(delivery: Delivery, sftp: Sftp, path: str) -> None:
    """Every reply was checked already; a size that differs is a failure all the same.

    Missing or hidden is fine: far sides take files away, or let nobody look.
    """
    size = _size(sftp, path)
    if size is not None:
        delivery.size_seen = size
        if size != delivery.size:
            raise WireError("size_mismatch", f"{size} of {delivery.size} bytes")
    failpoint("delivery.size_checked")


def _size(sftp: Sftp, path: str) -> int | None:
    try:
        return sftp.size_of(path)
    except WireError as error:
        if error.code == "permission_denied":
            return None
        raise


def _give_up(context: RunContext, delivery: Delivery, on_doubt: OnEnd) -> NoReturn:
    """Nobody can tell. The bytes are kept: people can look what was in it."""
    with context.fenced():
        _end(delivery, State.UNKNOWN)
        on_doubt(delivery)
    raise Problem("delivery_unknown", delivery.name)


def _end_as_foreign(context: RunContext, delivery: Delivery) -> NoReturn:
    """Somebody else's file has the name, and ours was never begun under it."""
    with context.fenced():
        _end(delivery, State.FOREIGN)
        file_bytes.drop(delivery)
    raise Problem("name_taken", delivery.name)


def _end(delivery: Delivery, state: State) -> None:
    """End a delivery that is not known to be delivered.

    The parts that follow it reach no bound any more: what it held is not told yet.
    """
    delivery.state = state
    delivery.save(update_fields=["state"])
    Delivery.objects.unfinished().filter(
        channel=delivery.channel_id,
        entity=delivery.entity,
        subject=delivery.subject,
    ).update(upper_bound=0, repeated_through=None)


def _record(context: RunContext, delivery: Delivery, on_delivered: OnEnd) -> None:
    with context.fenced():
        delivery.state = State.DELIVERED
        delivery.delivered_at = timezone.now()
        delivery.save(update_fields=["state", "delivered_at", "size_seen"])
        on_delivered(delivery)
        failpoint("delivery.recording")
    failpoint("delivery.recorded")
