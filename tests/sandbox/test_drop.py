"""The SFTP drop behaves like AWS Transfer over S3 (domain/inventory-planner.md §5)."""

from __future__ import annotations

import asyncio

import asyncssh
import pytest

from dropstream.sandbox import Sandbox
from dropstream.sandbox.ssh_server import DropConnection
from tests.sandbox.far_side import drop, in_own_loop, new_key, public_line, put

FOLDER = "/variant_warehouse"
WRITE = asyncssh.FXF_WRITE | asyncssh.FXF_CREAT | asyncssh.FXF_TRUNC


@pytest.fixture
def key(sandbox: Sandbox) -> asyncssh.SSHKey:
    key = new_key()
    sandbox.ip.connect("123456", public_line(key))
    return key


async def names(sftp: asyncssh.SFTPClient, path: str) -> list[str]:
    return sorted(name for name in await sftp.listdir(path) if name[0] != ".")


def test_nine_folders_and_no_others(sandbox: Sandbox, key: asyncssh.SSHKey) -> None:
    async def visit() -> None:
        async with drop(sandbox, key) as sftp:
            assert len(await names(sftp, "/")) == 9
            with pytest.raises(asyncssh.SFTPPermissionDenied):
                await sftp.mkdir("/more")
            with pytest.raises(asyncssh.SFTPNoSuchFile):
                await put(sftp, "/more/a.csv", "x")
            with pytest.raises(asyncssh.SFTPPermissionDenied):
                await put(sftp, "/a.csv", "x")

    in_own_loop(visit())


def test_file_is_visible_only_after_close(
    sandbox: Sandbox, key: asyncssh.SSHKey
) -> None:
    """D1: an on-close target shows a whole file or none."""

    async def visit() -> None:
        async with drop(sandbox, key) as sftp:
            file = await sftp.open(f"{FOLDER}/a.csv", WRITE, encoding=None)
            await file.write(b"x" * 300_000)
            assert await names(sftp, FOLDER) == []
            assert not await sftp.exists(f"{FOLDER}/a.csv")
            await file.close()
            assert await names(sftp, FOLDER) == ["a.csv"]
            assert await sftp.getsize(f"{FOLDER}/a.csv") == 300_000

    in_own_loop(visit())


@pytest.mark.parametrize("partial", [False, True])
def test_upload_that_is_cut_off(
    sandbox: Sandbox, key: asyncssh.SSHKey, partial: bool
) -> None:
    """D1: a line that breaks leaves nothing, or what came so far if so set."""
    sandbox.ip.ssh.partial_objects = partial

    async def visit() -> None:
        async with drop(sandbox, key) as sftp:
            file = await sftp.open(f"{FOLDER}/a.csv", WRITE, encoding=None)
            await file.write(b"half")
        async with drop(sandbox, key) as sftp:
            for _ in range(50):
                if not partial or await names(sftp, FOLDER):
                    break
                await asyncio.sleep(0.02)
            assert await names(sftp, FOLDER) == (["a.csv"] if partial else [])

    in_own_loop(visit())


@pytest.mark.parametrize(
    "flags",
    [
        WRITE | asyncssh.FXF_READ,
        WRITE | asyncssh.FXF_EXCL,
        asyncssh.FXF_WRITE | asyncssh.FXF_CREAT | asyncssh.FXF_APPEND,
        asyncssh.FXF_WRITE,
        asyncssh.FXF_WRITE | asyncssh.FXF_CREAT,
    ],
    ids=["read and write", "exclusive", "append", "change", "change or create"],
)
def test_opens_that_s3_refuses(
    sandbox: Sandbox, key: asyncssh.SSHKey, flags: int
) -> None:
    async def visit() -> None:
        async with drop(sandbox, key) as sftp:
            await put(sftp, f"{FOLDER}/a.csv", "old")
            with pytest.raises(asyncssh.SFTPError):
                await sftp.open(f"{FOLDER}/a.csv", flags)
            async with sftp.open(f"{FOLDER}/a.csv") as file:
                assert await file.read() == "old"

    in_own_loop(visit())


def test_steps_that_s3_refuses(sandbox: Sandbox, key: asyncssh.SSHKey) -> None:
    async def visit() -> None:
        async with drop(sandbox, key) as sftp:
            path = f"{FOLDER}/a.csv"
            await put(sftp, path, "x")
            with pytest.raises(asyncssh.SFTPError):
                await sftp.chmod(path, 0o600)
            with pytest.raises(asyncssh.SFTPError):
                await sftp.posix_rename(path, f"{FOLDER}/b.csv")
            with pytest.raises(asyncssh.SFTPError):
                await sftp.symlink(path, f"{FOLDER}/c.csv")
            with pytest.raises(asyncssh.SFTPError):
                await sftp.rename(FOLDER, "/elsewhere")
            file = await sftp.open(path, WRITE, encoding=None)
            with pytest.raises(asyncssh.SFTPError):
                await file.write(b"y", offset=5)
            with pytest.raises(asyncssh.SFTPError):
                await file.setstat(asyncssh.SFTPAttrs(permissions=0o600))
            await file.close()
            await sftp.rename(path, f"{FOLDER}/b.csv")
            assert await names(sftp, FOLDER) == ["b.csv"]

    in_own_loop(visit())


def test_key_decides_which_drop_opens(sandbox: Sandbox, key: asyncssh.SSHKey) -> None:
    """Two drops never share, whatever the user name."""
    other = new_key("ecdsa-sha2-nistp256")
    sandbox.ip.connect("654321", public_line(other))

    async def visit() -> None:
        async with drop(sandbox, key, "anything@at.all-1") as sftp:
            await put(sftp, f"{FOLDER}/a.csv", "x")
            with pytest.raises(asyncssh.SFTPNoSuchFile):
                await sftp.listdir("/../../654321")
        async with drop(sandbox, other) as sftp:
            assert await names(sftp, FOLDER) == []

    in_own_loop(visit())


@pytest.mark.parametrize("username", ["ab", "root", "with space", "x" * 101])
def test_user_names_that_are_refused(
    sandbox: Sandbox, key: asyncssh.SSHKey, username: str
) -> None:
    """D15."""

    async def visit() -> None:
        with pytest.raises(asyncssh.PermissionDenied):
            async with drop(sandbox, key, username):
                pass

    in_own_loop(visit())


def test_unknown_key_and_password_are_refused(sandbox: Sandbox) -> None:
    """D15: a refused key counts as an attempt, not as a log-in."""

    async def visit() -> None:
        with pytest.raises(asyncssh.PermissionDenied):
            async with drop(sandbox, new_key()):
                pass
        with pytest.raises(asyncssh.PermissionDenied):
            await asyncssh.connect(
                "127.0.0.1",
                sandbox.ip.ssh.port,
                username="123456",
                password="anything",
                client_keys=None,
                known_hosts=None,
                config=None,
            )

    in_own_loop(visit())
    assert len(sandbox.journal.of("auth", "ip")) == 2
    assert sandbox.journal.of("login", "ip") == []


def test_no_shell_no_command(sandbox: Sandbox, key: asyncssh.SSHKey) -> None:
    async def visit() -> None:
        async with asyncssh.connect(
            "127.0.0.1",
            sandbox.ip.ssh.port,
            username="123456",
            client_keys=[key],
            known_hosts=None,
            config=None,
        ) as connection:
            with pytest.raises(asyncssh.ChannelOpenError):
                await connection.run("ls")

    in_own_loop(visit())


def test_faults_can_be_scripted(sandbox: Sandbox, key: asyncssh.SSHKey) -> None:
    """D5, D6: a step fails as told, before or after it took effect."""
    answers: dict[str, Exception] = {}

    def fault(op: str, path: str) -> None:
        if op in answers:
            raise answers[op]

    sandbox.ip.sftp_faults.append(fault)

    async def visit() -> None:
        async with drop(sandbox, key) as sftp:
            answers["open_write"] = PermissionError(13, "denied")
            with pytest.raises(asyncssh.SFTPPermissionDenied):
                await put(sftp, f"{FOLDER}/a.csv", "x")
            answers.clear()
            answers["close"] = OSError(28, "disk full")
            with pytest.raises(asyncssh.SFTPError, match="disk full"):
                await put(sftp, f"{FOLDER}/a.csv", "x")
            assert await names(sftp, FOLDER) == []
            answers.clear()
            answers["closed"] = DropConnection()
            with pytest.raises(asyncssh.Error):
                await put(sftp, f"{FOLDER}/a.csv", "x")
            answers.clear()
        async with drop(sandbox, key) as sftp:
            assert await names(sftp, FOLDER) == ["a.csv"]

    in_own_loop(visit())


def test_log_in_can_be_refused_by_script(
    sandbox: Sandbox, key: asyncssh.SSHKey
) -> None:
    def refuse(op: str, path: str) -> None:
        if op == "login":
            raise PermissionError

    sandbox.ip.sftp_faults.append(refuse)

    async def visit() -> None:
        with pytest.raises(asyncssh.PermissionDenied):
            async with drop(sandbox, key):
                pass

    in_own_loop(visit())


def test_host_key_can_be_rotated(sandbox: Sandbox, key: asyncssh.SSHKey) -> None:
    """H2, D14: the same port shows another key."""

    async def host_key() -> bytes:
        async with drop(sandbox, key):
            pass
        shown = await asyncssh.get_server_host_key("127.0.0.1", sandbox.ip.ssh.port)
        assert shown is not None
        return shown.public_data

    port = sandbox.ip.ssh.port
    before = in_own_loop(host_key())
    sandbox.rotate_host_key("ip")
    assert sandbox.ip.ssh.port == port
    assert in_own_loop(host_key()) != before


def test_everything_is_logged(sandbox: Sandbox, key: asyncssh.SSHKey) -> None:
    async def visit() -> None:
        async with drop(sandbox, key, "a123456") as sftp:
            await put(sftp, f"{FOLDER}/a.csv", "12345")

    in_own_loop(visit())
    endpoint = sandbox.ip.accounts["123456"].drops[0].endpoint
    (login,) = sandbox.journal.of("login", "ip")
    assert (login.who, login.path) == (endpoint, "a123456")
    (closed,) = sandbox.journal.of("closed")
    assert (closed.path, closed.size) == (f"{FOLDER}/a.csv", 5)
    assert sandbox.journal.log_ins("ip", endpoint) == 1
