"""The SFTP drop of an Advanced CSV connection: a file system that is really S3."""

from __future__ import annotations

import os
import re
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import asyncssh

from dropstream.sandbox.journal import Journal
from dropstream.sandbox.ssh_server import (
    Files,
    PlainHandler,
    Session,
    SshSide,
    Visitor,
)
from dropstream.sandbox.state import Secrets, StateFolder

if TYPE_CHECKING:
    from dropstream.sandbox.ip import Drop, InventoryPlanner

USERNAME = re.compile(r"[\w@.-]{3,100}")


@dataclass
class Upload:
    """A file being written: nobody sees it before it is closed."""

    path: bytes
    final: Path
    spool: Path
    file: BinaryIO
    size: int = 0


class DropFiles(Files):
    """Objects, not files: written once from front to end, visible when closed."""

    side: DropSide

    def shown_path(self, file: object) -> bytes:
        return file.path if isinstance(file, Upload) else super().shown_path(file)

    async def open(self, path: bytes, pflags: int, attrs: asyncssh.SFTPAttrs) -> object:
        changing = asyncssh.FXF_WRITE | asyncssh.FXF_APPEND | asyncssh.FXF_CREAT
        if not pflags & (changing | asyncssh.FXF_TRUNC):
            return await super().open(path, pflags, attrs)
        async with self.turn:
            await self.step("open_write", path)
            return self._upload(path, pflags)

    def _upload(self, path: bytes, pflags: int) -> Upload:
        if pflags & asyncssh.FXF_APPEND:
            raise asyncssh.SFTPOpUnsupported("append is not supported")
        if pflags & asyncssh.FXF_EXCL:
            raise asyncssh.SFTPOpUnsupported("exclusive open is not supported")
        if pflags & asyncssh.FXF_READ or not pflags & asyncssh.FXF_WRITE:
            raise asyncssh.SFTPOpUnsupported("open for reading or for writing")
        final = Path(os.fsdecode(self.map_path(path)))
        root = Path(os.fsdecode(self.map_path(b"/")))
        if final.is_dir():
            raise asyncssh.SFTPFailure("is a folder")
        if not final.parent.is_dir():
            raise asyncssh.SFTPNoSuchFile("no such folder")
        if final.parent == root:
            raise asyncssh.SFTPPermissionDenied("write into one of the folders")
        if not pflags & asyncssh.FXF_CREAT and not final.exists():
            raise asyncssh.SFTPNoSuchFile("no such file")
        if not pflags & asyncssh.FXF_TRUNC and final.exists():
            raise asyncssh.SFTPOpUnsupported("changing a file is not supported")
        spool = self.side.spool / uuid.uuid4().hex
        return Upload(path, final, spool, spool.open("wb"))

    async def write(self, file_obj: object, offset: int, data: bytes) -> int:
        if not isinstance(file_obj, Upload):
            raise asyncssh.SFTPPermissionDenied("not open for writing")
        async with self.turn:
            await self.step("write", file_obj.path, len(data))
            if offset != file_obj.size:
                raise asyncssh.SFTPOpUnsupported("write from front to end")
            file_obj.file.write(data)
            file_obj.size += len(data)
            await self.step("wrote", file_obj.path, len(data))
            return len(data)

    async def close(self, file_obj: object) -> None:
        if not isinstance(file_obj, Upload):
            return await super().close(file_obj)
        async with self.turn:
            try:
                await self._publish(file_obj)
            finally:
                file_obj.file.close()
                file_obj.spool.unlink(missing_ok=True)

    async def _publish(self, upload: Upload) -> None:
        if self.cut_off and not self.side.partial_objects:
            self.side.journal.add("ip", self.who, "cut", upload.path.decode())
            return
        if not self.cut_off:
            await self.step("close", upload.path, upload.size)
        upload.file.close()
        os.utime(upload.spool)  # uploaded now, not when the last bytes came
        self.appeared(upload.path, upload.spool)
        with self.side.planner.lock:
            os.replace(upload.spool, upload.final)
        if not self.cut_off:
            await self.step("closed", upload.path, upload.size)

    async def rename(self, oldpath: bytes, newpath: bytes) -> None:
        if os.path.isdir(self.map_path(oldpath)):
            raise asyncssh.SFTPOpUnsupported("folders cannot be renamed")
        await super().rename(oldpath, newpath)

    async def posix_rename(self, oldpath: bytes, newpath: bytes) -> None:
        raise asyncssh.SFTPOpUnsupported("posix-rename is not supported")

    async def mkdir(self, path: bytes, attrs: asyncssh.SFTPAttrs) -> None:
        await self.step("mkdir", path)
        raise asyncssh.SFTPPermissionDenied("folders are given")

    async def rmdir(self, path: bytes) -> None:
        raise asyncssh.SFTPPermissionDenied("folders are given")

    async def fstat(self, file_obj: object) -> Any:
        if isinstance(file_obj, Upload):
            return asyncssh.SFTPAttrs(size=file_obj.size, permissions=0o100644)
        return super().fstat(file_obj)

    async def setstat(self, path: bytes, attrs: asyncssh.SFTPAttrs) -> None:
        await self.step("setstat", path)
        raise asyncssh.SFTPFailure("SETSTAT is not supported")

    async def lsetstat(self, path: bytes, attrs: asyncssh.SFTPAttrs) -> None:
        await self.setstat(path, attrs)

    async def fsetstat(self, file_obj: object, attrs: asyncssh.SFTPAttrs) -> None:
        await self.setstat(self.shown_path(file_obj), attrs)


class DropSide(SshSide):
    """One server for all endpoints: the key that logs in decides which drop opens."""

    def __init__(
        self,
        name: str,
        planner: InventoryPlanner,
        state: StateFolder,
        secrets: Secrets,
        journal: Journal,
    ) -> None:
        super().__init__(name, state, secrets, journal)
        self.planner = planner
        self.spool = state.folder("ip", "spool")
        self.partial_objects = False
        """Whether an upload that is cut off leaves what came so far."""
        for left_over in self.spool.iterdir():
            left_over.unlink()

    def connection(self) -> Visitor:
        return DropServer(self)


class DropServer(Visitor):
    """One connection: public key only, almost any user name."""

    def __init__(self, side: DropSide) -> None:
        super().__init__(side)
        self._side = side
        self._drop: Drop | None = None
        self._username = ""

    def begin_auth(self, username: str) -> bool:
        self._username = username
        self._side.journal.add("ip", username, "auth")
        return True

    def public_key_auth_supported(self) -> bool:
        return True

    async def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        self._drop = None
        if not USERNAME.fullmatch(username) or username == "root":
            return False
        if await self._side.refuses(username):
            return False
        with self._side.planner.lock:
            self._drop = self._side.planner.drop_of(key)
        return self._drop is not None

    def auth_completed(self) -> None:
        if self._drop is not None:
            self._side.journal.add("ip", self._drop.endpoint, "login", self._username)

    def session_requested(self) -> Session:
        return Session(self._files, PlainHandler)

    def _files(self, chan: Any) -> DropFiles:
        if self._drop is None:
            raise asyncssh.SFTPPermissionDenied("not logged in")
        return DropFiles(chan, self._drop.folder, self._drop.endpoint, self._side)
