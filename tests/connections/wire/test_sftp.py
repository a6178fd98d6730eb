"""Uploads, reads and listings against servers that fail (reliability §3)."""

from __future__ import annotations

import asyncio
import os
import struct
import unicodedata
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import asyncssh
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connections.wire.errors import WireError
from connections.wire.sftp import PIECE_BYTES, WINDOW, Sftp, join_path
from connections.wire.ssh import Deadline, connect
from tests.lab.wire_servers import Faults, RawSession, SftpServer

DATA = bytes(range(256)) * 4096  # 1 MiB


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "drop"
    path.mkdir()
    return path


@pytest.fixture
def server(folder: Path) -> Iterator[SftpServer]:
    with SftpServer(folder) as lab:
        yield lab


@pytest.fixture
def sftp(server: SftpServer) -> Iterator[Sftp]:
    with connect(server.target(), deadline=Deadline(20)) as session:
        yield session


def in_chunks(data: bytes, size: int) -> Iterator[bytes]:
    return (data[at : at + size] for at in range(0, len(data), size))


# Chunks of a CSV row, of a piece to the byte and one more, and of a stored chunk.
@pytest.mark.parametrize("size", [53, PIECE_BYTES, PIECE_BYTES + 1, 1 << 20])
def test_upload_is_byte_faithful_whatever_the_chunks(
    sftp: Sftp, folder: Path, size: int
) -> None:
    data = DATA + b"tail"
    assert sftp.upload("a.csv", in_chunks(data, size)) == len(data)
    assert (folder / "a.csv").read_bytes() == data


def test_upload_of_nothing_makes_an_empty_file(sftp: Sftp, folder: Path) -> None:
    assert sftp.upload("a.csv", []) == 0
    assert (folder / "a.csv").read_bytes() == b""


def test_upload_truncates_and_asks_for_nothing_else(
    sftp: Sftp, server: SftpServer, folder: Path
) -> None:
    """design.md §3, visibility: never read, never exclusive, no setstat."""
    (folder / "a.csv").write_bytes(b"x" * 100)
    sftp.upload("a.csv", [b"new"])
    assert (folder / "a.csv").read_bytes() == b"new"
    write, create, truncate = 0x02, 0x08, 0x10
    assert [flags for _, flags in server.seen.opened] == [write | create | truncate]
    assert server.seen.changed_attributes == 0
    assert server.seen.closed == 1


def test_progress_counts_answered_bytes(sftp: Sftp) -> None:
    told: list[int] = []
    sftp.upload("a.csv", in_chunks(DATA, 1000), on_progress=told.append)
    assert told == sorted(told)
    assert told[-1] == len(DATA)


def test_read_brings_the_same_bytes(sftp: Sftp, folder: Path) -> None:
    data = DATA * 3 + b"tail"
    (folder / "in.csv").write_bytes(data)
    assert b"".join(sftp.read("in.csv", limit=len(data))) == data


def test_read_stops_at_the_limit(sftp: Sftp, folder: Path) -> None:
    (folder / "in.csv").write_bytes(b"x" * 11)
    with pytest.raises(WireError) as refused:
        list(sftp.read("in.csv", limit=10))
    assert refused.value.code == "file_too_large"


def test_a_read_given_up_does_not_disturb_what_follows(
    sftp: Sftp, folder: Path
) -> None:
    (folder / "in.csv").write_bytes(DATA)
    reading = sftp.read("in.csv", limit=len(DATA))
    next(reading)
    assert isinstance(reading, Generator)
    reading.close()
    assert sftp.size_of("in.csv") == len(DATA)
    assert sftp.upload("b.csv", [DATA]) == len(DATA)


def test_two_reads_side_by_side(sftp: Sftp, folder: Path) -> None:
    (folder / "a").write_bytes(DATA)
    (folder / "b").write_bytes(DATA[::-1])
    pairs = list(
        zip(
            sftp.read("a", limit=len(DATA)),
            sftp.read("b", limit=len(DATA)),
            strict=True,
        )
    )
    assert b"".join(a for a, _ in pairs) == DATA
    assert b"".join(b for _, b in pairs) == DATA[::-1]


def test_listing_tells_files_from_folders(sftp: Sftp, folder: Path) -> None:
    (folder / "sub").mkdir()
    (folder / "a.csv").write_bytes(b"12345")
    os.utime(folder / "a.csv", (1_000_000, 1_700_000_000))
    found = {file.name: file for file in sftp.list_folder("/")}
    assert set(found) == {"sub", "a.csv"}
    assert found["sub"].is_folder
    assert not found["a.csv"].is_folder
    assert (found["a.csv"].size, found["a.csv"].modified_at) == (5, 1_700_000_000.0)


def test_rename_replaces_and_remove_removes(sftp: Sftp, folder: Path) -> None:
    (folder / "a").write_bytes(b"new")
    (folder / "b").write_bytes(b"old")
    sftp.rename("a", "b")
    assert [path.name for path in folder.iterdir()] == ["b"]
    assert (folder / "b").read_bytes() == b"new"
    sftp.remove("b")
    assert list(folder.iterdir()) == []


def test_missing_things_are_told_apart(sftp: Sftp) -> None:
    """D6: which person is asked depends on what is missing."""
    assert sftp.size_of("none.csv") is None
    codes = []
    for act in (
        lambda: sftp.upload("no/such/a.csv", [b"x"]),
        lambda: sftp.list_folder("no"),
        lambda: sftp.remove("none"),
        lambda: sftp.rename("none", "b"),
        lambda: list(sftp.read("none", limit=9)),
    ):
        with pytest.raises(WireError) as refused:
            act()
        codes.append(refused.value.code)
    assert codes == [
        "folder_missing",
        "folder_missing",
        "no_such_file",
        "no_such_file",
        "no_such_file",
    ]


@pytest.mark.parametrize("offset", [0, 4096, 65_536, 524_288, len(DATA) - 1])
def test_d1_a_cut_upload_fails_and_a_second_one_succeeds(
    folder: Path, offset: int
) -> None:
    """D1: cut at an offset; the retry leaves one file with our bytes."""
    faults = Faults(drop_at=offset)
    with SftpServer(folder, faults=faults) as lab:
        with (
            pytest.raises(WireError) as lost,
            connect(lab.target(), deadline=Deadline(20)) as sftp,
        ):
            sftp.upload("a.csv", [DATA])
        assert lost.value.code == "network_lost"
        assert (folder / "a.csv").stat().st_size < len(DATA)
        faults.drop_at = None
        with connect(lab.target(), deadline=Deadline(20)) as sftp:
            sftp.upload("a.csv", [DATA])
    assert [path.name for path in folder.iterdir()] == ["a.csv"]
    assert (folder / "a.csv").read_bytes() == DATA


def upload_and_rename(sftp: Sftp) -> None:
    sftp.upload(".a.tmp", in_chunks(DATA, 1000))
    sftp.rename(".a.tmp", "a.csv")


@pytest.mark.parametrize(
    "fault",
    [
        asyncssh.SFTPFailure("write: No space left on device"),
        asyncssh.SFTPFailure("Disk full"),
        asyncssh.SFTPFailure("Quota exceeded"),
    ],
)
@pytest.mark.parametrize("moment", ["write", "close", "rename"])
def test_d5_a_full_disk_is_named_and_no_file_is_claimed(
    folder: Path, fault: asyncssh.SFTPError, moment: str
) -> None:
    """D5: at write, at close and at rename; the same session can clean up."""
    faults = Faults(fail_at=65_536)
    setattr(faults, moment, fault)
    with (
        SftpServer(folder, faults=faults) as lab,
        connect(lab.target(), deadline=Deadline(20)) as sftp,
    ):
        with pytest.raises(WireError) as refused:
            upload_and_rename(sftp)
        assert refused.value.code == "disk_full"
        sftp.remove(".a.tmp")
    assert list(folder.iterdir()) == []


def test_d5_a_short_file_is_refused_too(folder: Path) -> None:
    """D5: one write in the window fails, and close would be fine."""
    faults = Faults(write=asyncssh.SFTPFailure("no"), fail_at=1000)
    with (
        SftpServer(folder, faults=faults) as lab,
        connect(lab.target(), deadline=Deadline(20)) as sftp,
    ):
        with pytest.raises(WireError) as refused:
            sftp.upload("a.csv", [b"x" * 2000])
        assert refused.value.code == "remote_failure"
        assert lab.seen.closed == 0, "half a file must not be published by closing it"


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (asyncssh.SFTPPermissionDenied("no"), "permission_denied"),
        (asyncssh.SFTPNoSuchFile("no"), "folder_missing"),
        (asyncssh.SFTPFailure("Read-only file system"), "permission_denied"),
        (asyncssh.SFTPFailure("no idea"), "remote_failure"),
        (asyncssh.SFTPFailure("File already exists"), "file_exists"),
    ],
)
def test_d6_refused_opens(folder: Path, fault: asyncssh.SFTPError, code: str) -> None:
    """D6: codes 3, 2 and 4."""
    with (
        SftpServer(folder, faults=Faults(open=fault)) as lab,
        connect(lab.target(), deadline=Deadline(20)) as sftp,
    ):
        with pytest.raises(WireError) as refused:
            sftp.upload("a.csv", [b"x"])
        assert refused.value.code == code


def test_d3_a_lost_reply_to_rename_is_a_lost_network(folder: Path) -> None:
    """D3: the caller must look; the file is there."""
    with SftpServer(folder, faults=Faults(rename_reply_lost=True)) as lab:
        with (
            connect(lab.target(), deadline=Deadline(20)) as sftp,
            pytest.raises(WireError) as lost,
        ):
            upload_and_rename(sftp)
        assert lost.value.code == "network_lost"
    assert [path.name for path in folder.iterdir()] == ["a.csv"]


def test_h8_status_text_is_made_harmless(folder: Path) -> None:
    """H8: one line, nothing invisible, short."""
    text = "\x1b[31mno\r\nERROR forged <img src=x>\u202e" + "x" * 5000
    with (
        SftpServer(folder, faults=Faults(open=asyncssh.SFTPFailure(text))) as lab,
        connect(lab.target(), deadline=Deadline(20)) as sftp,
        pytest.raises(WireError) as refused,
    ):
        sftp.upload("a.csv", [b"x"])
    shown = str(refused.value)
    assert shown.isprintable()
    assert len(refused.value.detail) <= 200


# What follows needs a server that speaks SFTP wrongly, so it is written by hand.

OK, FAILURE = 0, 4


def packet(kind: int, body: bytes) -> bytes:
    return struct.pack(">IB", len(body) + 1, kind) + body


def status(request: int, code: int, text: bytes = b"") -> bytes:
    message = struct.pack(">I", len(text)) + text + b"\0\0\0\0"
    return packet(101, struct.pack(">II", request, code) + message)


async def read_packet(stream: Any) -> tuple[int, int, bytes]:
    size = int.from_bytes(await stream.readexactly(4), "big")
    body = await stream.readexactly(size)
    return body[0], int.from_bytes(body[1:5], "big"), body[5:]


class HandWritten:
    """Answer opens at once and writes as told; note how many were unanswered."""

    def __init__(self, *, bad_write: int | None = None) -> None:
        self.bad_write = bad_write
        self.most_in_flight = 0

    async def run(self, session: RawSession) -> None:
        send = session.send
        await read_packet(session.stdin)
        send(packet(2, struct.pack(">I", 3)))
        held: list[int] = []
        writes = 0
        while True:
            try:
                kind, request, _ = await asyncio.wait_for(
                    read_packet(session.stdin), 0.1
                )
            except TimeoutError:
                # Nothing more comes: answer everything held, the last one first.
                for number in reversed(held):
                    send(status(number, OK))
                held.clear()
                continue
            except (asyncio.IncompleteReadError, asyncssh.Error, OSError):
                return
            if kind == 3:
                send(packet(102, struct.pack(">II", request, 1) + b"h"))
            elif kind == 6:
                writes += 1
                if writes == self.bad_write:
                    send(status(request, FAILURE, b"no space"))
                    continue
                held.append(request)
                self.most_in_flight = max(self.most_in_flight, len(held))
            else:
                send(status(request, OK))


def test_answers_may_come_in_any_order(folder: Path) -> None:
    """performance.md §1: paramiko drops the later answer and then waits for it."""
    script = HandWritten()
    data = b"x" * (PIECE_BYTES * (WINDOW + 40))
    with (
        SftpServer(folder, raw_session=script.run) as lab,
        connect(lab.target(), deadline=Deadline(20)) as sftp,
    ):
        assert sftp.upload("a.csv", [data]) == len(data)
    assert script.most_in_flight == WINDOW


def test_the_last_write_of_many_is_checked_as_well(folder: Path) -> None:
    script = HandWritten(bad_write=100)
    with (
        SftpServer(folder, raw_session=script.run) as lab,
        connect(lab.target(), deadline=Deadline(20)) as sftp,
    ):
        with pytest.raises(WireError) as refused:
            sftp.upload("a.csv", [b"x" * (PIECE_BYTES * 100)])
        assert refused.value.code == "disk_full"


@pytest.mark.parametrize(
    "greeting",
    [
        b"Welcome! Please use the web page.\r\n" * 3,
        packet(2, struct.pack(">I", 2)),
        packet(2, b""),
        packet(101, b"\0" * 12),
    ],
)
def test_something_that_is_not_sftp_is_said_to_be_so(
    folder: Path, greeting: bytes
) -> None:
    async def script(session: RawSession) -> None:
        session.send(greeting)
        await asyncio.sleep(5)

    with (
        SftpServer(folder, raw_session=script) as lab,
        pytest.raises(WireError) as refused,
        connect(lab.target(), deadline=Deadline(20)),
    ):
        pass
    assert refused.value.code == "sftp_unavailable"
    assert "SFTP" in refused.value.detail


NAMES = st.text(min_size=1, max_size=40)


@given(
    folder=st.sampled_from(["", ".", "/", "in", "/in/", "in//out", "/a/./b"]),
    name=NAMES,
)
@settings(max_examples=300, deadline=None, derandomize=True)
def test_f1_a_joined_path_is_inside_its_folder_or_refused(
    folder: str, name: str
) -> None:
    try:
        path = join_path(folder, name)
    except ValueError:
        return
    base = os.path.normpath("/root/" + folder.lstrip("/"))
    full = os.path.normpath("/root/" + path.lstrip("/"))
    assert os.path.dirname(full) == base
    assert not any(unicodedata.category(char).startswith("C") for char in path)


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("..", "a"),
        ("in/../..", "a"),
        ("~", "a"),
        ("~root/in", "a"),
        ("in\\out", "a"),
        ("in\n", "a"),
        ("in", ""),
        ("in", "."),
        ("in", ".."),
        ("in", "a/b"),
        ("in", "../../x"),
        ("in", "a\\b"),
        ("in", "a\0b"),
        ("in", "a\u202eb"),
        ("in", "\ud800"),
        ("in", "x" * 2000),
    ],
)
def test_f1_odd_paths_are_refused(folder: str, name: str) -> None:
    with pytest.raises(ValueError, match=r"can be used|too long"):
        join_path(folder, name)


def test_f1_plain_paths_are_joined() -> None:
    assert join_path("", "a.csv") == "a.csv"
    assert join_path("in/", "a.csv") == "in/a.csv"
    assert join_path("/in//stock", "a b.csv") == "/in/stock/a b.csv"
    assert join_path("/", "a.csv") == "/a.csv"
