"""The warehouse's SSH server: user name and password, a folder for each user."""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING, Any

import asyncssh

from dropstream.sandbox.journal import Journal
from dropstream.sandbox.ssh_server import Files, Handler, Session, SshSide, Visitor
from dropstream.sandbox.state import Secrets, StateFolder

if TYPE_CHECKING:
    from dropstream.sandbox.warehouse import User, Warehouse


class WarehouseSide(SshSide):
    """The warehouse's SSH server: user name and password."""

    def __init__(
        self,
        name: str,
        warehouse: Warehouse,
        state: StateFolder,
        secrets: Secrets,
        journal: Journal,
    ) -> None:
        super().__init__(name, state, secrets, journal)
        self.warehouse = warehouse

    def connection(self) -> Visitor:
        return WarehouseServer(self)


class WarehouseServer(Visitor):
    """One connection to the warehouse."""

    def __init__(self, side: WarehouseSide) -> None:
        super().__init__(side)
        self._side = side
        self._user: User | None = None

    def begin_auth(self, username: str) -> bool:
        self._side.journal.add("warehouse", username, "auth")
        return True

    def password_auth_supported(self) -> bool:
        return True

    async def validate_password(self, username: str, password: str) -> bool:
        self._user = None
        user = self._side.warehouse.users.get(username)
        if user is None or await self._side.refuses(username):
            return False
        if hmac.compare_digest(user.password.encode(), password.encode()):
            self._user = user
        return self._user is not None

    def auth_completed(self) -> None:
        if self._user is not None:
            self._side.journal.add("warehouse", self._user.name, "login")

    def session_requested(self) -> Session:
        return Session(self._files, Handler)

    def _files(self, chan: Any) -> Files:
        if self._user is None:
            raise asyncssh.SFTPPermissionDenied("not logged in")
        return Files(chan, self._user.folder, self._user.name, self._side)
