"""Read files from a warehouse's /out: whole ones only, oldest first."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from io import StringIO
from itertools import chain

from django.utils import timezone

from connections.alerts.ledger import raise_alert
from connections.models import Receipt, StockReport, SyncRun
from connections.runs.context import RunContext
from connections.wire.errors import WireError, clean_detail
from connections.wire.sftp import RemoteFile, Sftp, join_path
from stores.models import Warehouse

SETTLED_AFTER = timedelta(minutes=15)
# A report is streamed, a receipt is held in memory.
REPORT_LIMIT_BYTES = 512 * 1024 * 1024
RECEIPT_LIMIT_BYTES = 16 * 1024 * 1024
LINE_LIMIT_BYTES = 1024 * 1024


class UnfinishedFileError(Exception):
    """The warehouse is still writing the file, or took it back; the next run looks."""


class UnreadableFileError(Exception):
    """The warehouse's server keeps us from reading the file; the next run looks."""


class UnusableFileError(Exception):
    """The file will never be read; the message says why."""


@dataclass(frozen=True)
class OutFile:
    """A file in /out that was not read before."""

    name: str
    path: str
    size: int
    modified_at: datetime
    limit: int  # bytes

    @property
    def is_settled(self) -> bool:
        """Nobody has written to it for longer than an upload pauses."""
        return timezone.now() - self.modified_at > SETTLED_AFTER


def unread(
    sftp: Sftp, warehouse: Warehouse, prefix: str, reader: type[StockReport | Receipt]
) -> list[OutFile]:
    """List `<prefix>*.csv` files of /out that nobody read yet, oldest first.

    Files stay where they are: each is read once, known by warehouse and name.
    """
    folder = warehouse.file_exchange.out_folder
    limit = REPORT_LIMIT_BYTES if reader is StockReport else RECEIPT_LIMIT_BYTES
    found = [
        _out_file(folder, file, limit)
        for file in sftp.list_folder(folder)
        if _is_wanted(file, prefix)
    ]
    names = [file.name for file in found]
    field = "name" if reader is StockReport else "file_name"
    rows = reader._default_manager.filter(
        warehouse=warehouse, **{f"{field}__in": names}
    )
    read = set(rows.values_list(field, flat=True))
    new = (file for file in found if file.name not in read)
    return sorted(new, key=lambda file: (file.modified_at, file.name))


def rows_of(sftp: Sftp, file: OutFile) -> Iterator[list[str]]:
    """Stream a file's rows, the header first.

    Raises WireError, UnusableFileError, UnreadableFileError, UnicodeDecodeError,
    csv.Error; UnfinishedFileError when it is gone, and at its end when it grew or stops
    in mid-line.
    """
    return _rows(_checked(sftp, file))


def tell_unreadable(context: RunContext, names: list[str]) -> None:
    """Alert about files that may not be read, for as long as runs find them."""
    if not names:
        return
    context.count("files_unreadable", len(names))
    raise_alert(
        "file_unreadable",
        channel=context.channel,
        side=SyncRun.Side.WAREHOUSE,
        detail=clean_detail(", ".join(names)),
    )


def rows_of_pieces(pieces: Iterable[bytes]) -> Iterator[list[str]]:
    """The rows of a file that is here as a whole. Raises UnicodeDecodeError, csv.Error."""
    return _rows(pieces)


def _is_wanted(file: RemoteFile, prefix: str) -> bool:
    """A name with a control character or a separator is no file of ours (F1)."""
    return (
        not file.is_folder
        and file.name.startswith(prefix)
        and file.name.endswith(".csv")
        and file.name.isprintable()
        and not {"/", "\\"} & set(file.name)
    )


def _out_file(folder: str, file: RemoteFile, limit: int) -> OutFile:
    return OutFile(
        name=file.name,
        path=join_path(folder, file.name),
        size=file.size,
        modified_at=datetime.fromtimestamp(file.modified_at, UTC),
        limit=limit,
    )


def _checked(sftp: Sftp, file: OutFile) -> Iterator[bytes]:
    size, last = 0, b""
    with _refusals_told(file):
        for piece in sftp.read(file.path, limit=file.limit):
            size += len(piece)
            last = piece[-1:] or last
            yield piece
        grew = size != file.size or sftp.size_of(file.path) != size
    # A file that stopped in mid-line, or empty, is taken as it is when nobody has
    # touched it for a while.
    if grew or (last != b"\n" and not file.is_settled):
        raise UnfinishedFileError(file.name)


@contextmanager
def _refusals_told(file: OutFile) -> Iterator[None]:
    """Tell what concerns this one file from what concerns the line."""
    try:
        yield
    except WireError as error:
        if error.code == "no_such_file":
            raise UnfinishedFileError(file.name) from error
        # A failure without a name is the file's own when the server answers with it;
        # an answer that nobody understands is the line's.
        answered = error.code == "remote_failure" and error.status is not None
        if answered or error.code == "permission_denied":
            raise UnreadableFileError(file.name) from error
        if error.code == "file_too_large":
            raise UnusableFileError(f"larger than {file.limit} bytes") from error
        raise


def _rows(pieces: Iterable[bytes]) -> Iterator[list[str]]:
    return csv.reader(chain.from_iterable(_blocks(pieces)), strict=True)


def _blocks(pieces: Iterable[bytes]) -> Iterator[Iterable[str]]:
    """Whole lines, split at line feeds only: a quoted field may hold other separators.

    Raises csv.Error for a line that would fill the memory.
    """
    rest = b""
    encoding = "utf-8-sig"  # the first may begin with a byte order mark
    for piece in pieces:
        whole, feed, begun = piece.rpartition(b"\n")
        if feed:
            yield StringIO((rest + whole + feed).decode(encoding), newline="\n")
            rest, encoding = begun, "utf-8"
        else:
            rest += begun
        if len(rest) > LINE_LIMIT_BYTES:
            raise csv.Error(f"a line is longer than {LINE_LIMIT_BYTES} bytes")
    if rest:
        yield StringIO(rest.decode(encoding), newline="\n")
