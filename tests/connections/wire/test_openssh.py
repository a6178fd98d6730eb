"""The way to a real OpenSSH server, where the machine has one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from connections.wire.errors import WireError
from connections.wire.ssh import Deadline, connect, generate_key_pair
from tests.lab.openssh import KEYGEN, SSHD, OpenSsh, openssh

pytestmark = pytest.mark.skipif(not (SSHD and KEYGEN), reason="no OpenSSH server here")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenSsh]:
    with openssh(tmp_path_factory.mktemp("sshd")) as running:
        yield running


def test_the_whole_way_works(server: OpenSsh) -> None:
    data = bytes(range(256)) * 20_000
    with connect(server.target(), deadline=Deadline(20)) as sftp:
        assert sftp.upload("a.tmp", [data]) == len(data)
        sftp.rename("a.tmp", "a.csv")
        assert sftp.size_of("a.csv") == len(data)
        assert b"".join(sftp.read("a.csv", limit=len(data))) == data
        assert [file.name for file in sftp.list_folder("")] == ["a.csv"]
        sftp.remove("a.csv")
        assert sftp.list_folder(".") == []


def test_an_rsa_key_of_ours_is_accepted(server: OpenSsh) -> None:
    private, public = generate_key_pair("rsa")
    server.let_in(public)
    with connect(server.target(private_key=private), deadline=Deadline(20)) as sftp:
        assert sftp.size_of("none") is None


def test_d15_a_key_that_is_not_registered_is_refused(server: OpenSsh) -> None:
    stranger = server.target(private_key=generate_key_pair("ed25519")[0])
    with pytest.raises(WireError) as refused, connect(stranger, deadline=Deadline(20)):
        pass
    assert refused.value.code == "auth_refused"


def test_d6_a_folder_that_is_not_there(server: OpenSsh) -> None:
    with (
        connect(server.target(), deadline=Deadline(20)) as sftp,
        pytest.raises(WireError) as refused,
    ):
        sftp.upload("none/a.csv", [b"x"])
    assert refused.value.code == "folder_missing"


def test_d5_a_device_that_is_full_is_an_error(server: OpenSsh, tmp_path: Path) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("no /dev/full here")
    with (
        connect(server.target(), deadline=Deadline(20)) as sftp,
        pytest.raises(WireError) as refused,
    ):
        sftp.upload(str(full), [b"x" * 200_000])
    assert refused.value.code in ("disk_full", "remote_failure")
