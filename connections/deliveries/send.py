"""Bring one delivery to its end: sent under its one name, or found to be there already.

Every step is committed before it is done outside, so that whatever dies in between, the
next run knows what it may find (design.md §3, Runs and deliveries).
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum

from django.utils import timezone

from connections.deliveries import bytes as file_bytes
from connections.failpoints import failpoint
from connections.models import Delivery
from connections.problems import Problem
from connections.runs.context import RunContext
from connections.wire.errors import WireError
from connections.wire.sftp import Sftp, join_path

OnDelivered = Callable[[Delivery], None]


class Visibility(Enum):
    """How the far side shows a file that is being written."""

    ON_CLOSE = "on-close"  # object stores: straight to the final name
    RENAME = "rename"  # POSIX folders: hidden temporary name, then rename


def send(
    context: RunContext,
    delivery: Delivery,
    sftp: Sftp,
    *,
    folder: str,
    visibility: Visibility,
    on_delivered: OnDelivered,
) -> None:
    """Send, or resolve and then send again, the same bytes under the same name.

    `on_delivered` runs in the transaction that records the delivery. Raises WireError;
    Problem("name_taken") when a foreign file has the name: build a new one then.
    """
    path = join_path(folder, delivery.name)
    if delivery.state == Delivery.State.BUILT:
        if _size(sftp, path) is not None:
            _set_foreign(context, delivery)
            raise Problem("name_taken", delivery.name)
    elif _is_there(delivery, sftp, path, visibility):
        _record(context, delivery, on_delivered)
        return
    _start(context, delivery, folder)
    if visibility is Visibility.ON_CLOSE:
        _upload(delivery, sftp, path)
    else:
        _upload_hidden(context, delivery, sftp, path)
    _check_size(delivery, sftp, path)
    _record(context, delivery, on_delivered)


def hidden_path(path: str) -> str:
    """The temporary name beside the final one; no warehouse picks up dot files."""
    folder, _, name = path.rpartition("/")
    return f"{folder}/.{name}.part"


def _is_there(
    delivery: Delivery, sftp: Sftp, path: str, visibility: Visibility
) -> bool:
    """Resolve *unknown* by looking (reliability.md P3)."""
    size = _size(sftp, path)
    if visibility is Visibility.ON_CLOSE:
        return size == delivery.size
    if delivery.state != Delivery.State.RENAMING:
        return False
    if size == delivery.size:
        return True
    # The hidden file was complete when the state was committed. If it is gone as well,
    # the rename took place and the warehouse has taken the file (D4).
    return size is None and _size(sftp, hidden_path(path)) is None


def _start(context: RunContext, delivery: Delivery, folder: str) -> None:
    with context.effect():
        delivery.state = Delivery.State.SENDING
        delivery.attempts += 1
        delivery.folder = folder
        delivery.first_attempt_at = delivery.first_attempt_at or timezone.now()
        delivery.save(update_fields=["state", "attempts", "folder", "first_attempt_at"])


def _upload(delivery: Delivery, sftp: Sftp, path: str) -> None:
    def on_progress(answered: int) -> None:
        failpoint("delivery.bytes_sent")
        if answered == delivery.size:
            failpoint("delivery.closing")

    failpoint("delivery.started")
    sftp.upload(path, file_bytes.read(delivery), on_progress=on_progress)
    failpoint("delivery.closed")


def _upload_hidden(
    context: RunContext, delivery: Delivery, sftp: Sftp, path: str
) -> None:
    hidden = hidden_path(path)
    _upload(delivery, sftp, hidden)
    _check_size(delivery, sftp, hidden)
    if _size(sftp, path) is not None:
        sftp.remove(hidden)
        _set_foreign(context, delivery)
        raise Problem("name_taken", delivery.name)
    with context.effect():
        delivery.state = Delivery.State.RENAMING
        delivery.save(update_fields=["state"])
    failpoint("delivery.renaming")
    sftp.rename(hidden, path)
    failpoint("delivery.renamed")


def _check_size(delivery: Delivery, sftp: Sftp, path: str) -> None:
    """Every reply was checked already; a size that differs is a failure all the same.

    Missing or hidden is fine: far sides take files away, or let nobody look.
    """
    size = _size(sftp, path)
    if size is not None and size != delivery.size:
        raise WireError("size_mismatch", f"{size} of {delivery.size} bytes")
    failpoint("delivery.size_checked")


def _size(sftp: Sftp, path: str) -> int | None:
    try:
        return sftp.size_of(path)
    except WireError as error:
        if error.code == "permission_denied":
            return None
        raise


def _set_foreign(context: RunContext, delivery: Delivery) -> None:
    with context.fenced():
        delivery.state = Delivery.State.FOREIGN
        delivery.save(update_fields=["state"])
        file_bytes.drop(delivery)


def _record(context: RunContext, delivery: Delivery, on_delivered: OnDelivered) -> None:
    with context.fenced():
        delivery.state = Delivery.State.DELIVERED
        delivery.delivered_at = timezone.now()
        delivery.error_code = ""
        delivery.save(update_fields=["state", "delivered_at", "error_code"])
        on_delivered(delivery)
        failpoint("delivery.recording")
    failpoint("delivery.recorded")
