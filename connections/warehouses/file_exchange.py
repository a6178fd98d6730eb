"""Warehouses that exchange files over SFTP (dropstream.md §3, Warehouses)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from django.utils.translation import gettext_lazy as _

from connections import dialling
from connections.checks.findings import Finding, sftp_findings
from connections.problems import Problem
from connections.wire.errors import WireError
from connections.wire.outbound import check_host_name
from connections.wire.sftp import Sftp
from connections.wire.ssh import Deadline
from stores import audit
from stores.models import Account, FileExchangeSettings, Merchant, User, Warehouse
from stores.secret import Secret

DEFAULT_PORT = 22
LONGEST = 255  # what the column of a user name holds
EXAMPLE = "sftp://username:password@hostname:22"


@dataclass(frozen=True)
class ConnectionString:
    """`sftp://username:password@hostname:port`, taken apart and percent-decoded."""

    host: str
    port: int
    username: str
    password: Secret


def parse(text: str) -> ConnectionString:
    """Read a connection string. Raises ValueError with a sentence for the person.

    The sentence never repeats what was typed: it holds a password.
    """
    text = text.strip()
    if not text.lower().startswith("sftp://"):
        if text.lower().startswith(("ftp://", "ftps://")):
            raise ValueError(
                _("Only SFTP is supported here. Ask the warehouse for an SFTP log-in.")
            )
        raise ValueError(_("The connection string starts with sftp://."))
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise ValueError(
            _(
                "The part after the last @ must read hostname:port. In user name and "
                "password, write @ as %40, : as %3A, / as %2F and # as %23."
            )
        ) from None
    if not parts.username or not parts.password:
        raise ValueError(
            _(
                "User name and password stand before the host: username:password@hostname."
            )
        )
    if parts.path.strip("/") or parts.query or parts.fragment:
        raise ValueError(
            _(
                "Nothing follows the port. If the password holds / ? or #, write them "
                "as %2F, %3F and %23."
            )
        )
    try:
        host = check_host_name((parts.hostname or "").rstrip("."))
    except WireError:
        raise ValueError(
            _("The host must be a full name such as files.example.com, not an address.")
        ) from None
    username, password = unquote(parts.username), unquote(parts.password)
    if not (username + password).isprintable():
        raise ValueError(
            _("User name or password holds a character that nobody can type.")
        )
    if max(len(username), len(password)) > LONGEST:
        raise ValueError(
            _("User name and password have at most %(n)s characters.") % {"n": LONGEST}
        )
    return ConnectionString(
        host=host,
        port=port or DEFAULT_PORT,
        username=username,
        password=Secret(password),
    )


def masked(text: str) -> str:
    """What may be shown of a typed connection string; of a malformed one, nothing.

    Where the parts of a malformed one begin is a guess, and the password is a part.
    """
    try:
        string = parse(text)
    except ValueError:
        return "•••"
    return f"sftp://{string.username}:•••@{string.host}:{string.port}"


def shared_log_in(
    string: ConnectionString, merchant: Merchant | None, by: User
) -> list[str]:
    """Warn of a log-in that another merchant's warehouse uses (dropstream.md §3).

    Looks only where the person may look: it tells a merchant's name.
    """
    others = Warehouse.objects.for_user(by).filter(
        file_exchange__host=string.host,
        file_exchange__port=string.port,
        file_exchange__username=string.username,
    )
    other = others.exclude(merchant=merchant).select_related("merchant").first()
    if other is None:
        return []
    text = _(
        "%(merchant)s uses this log-in already, for “%(warehouse)s”. Each merchant needs "
        "its own: with one for both, each would get the other's stock and receipts. "
        "Ask the warehouse for a second log-in."
    )
    return [text % {"merchant": other.merchant, "warehouse": other}]


def save(
    warehouse: Warehouse, string: ConnectionString, *, by: User | None
) -> FileExchangeSettings:
    """Write the settings row and audit it. Runs in the caller's transaction."""
    row = FileExchangeSettings.objects.filter(warehouse=warehouse).first()
    before = {"target": str(row)} if row else {}
    if row is None:
        row = FileExchangeSettings(account_id=warehouse.account_id, warehouse=warehouse)
    row.host, row.port, row.username = string.host, string.port, string.username
    row.seal("password", string.password.reveal())
    row.save()
    fingerprint = row.fingerprint("password", string.password.reveal())
    audit.record(
        "warehouse.connection_string",
        warehouse,
        by=by,
        before=before,
        after={"target": str(row), "password": fingerprint},
    )
    return row


def settings_of(warehouse: Warehouse) -> FileExchangeSettings:
    """Return the settings row. Raises Problem("warehouse_settings_missing")."""
    row = FileExchangeSettings.objects.filter(warehouse=warehouse).first()
    if row is None:
        raise Problem("warehouse_settings_missing")
    return row


def open_warehouse(
    warehouse: Warehouse, deadline: Deadline
) -> AbstractContextManager[Sftp]:
    """Log in to the warehouse's folders. Raises WireError, Problem."""
    return dialling.open_sftp(_access(settings_of(warehouse)), deadline)


def findings(warehouse: Warehouse, deadline: Deadline) -> Iterator[Finding]:
    """Check a saved warehouse: reach, host key, log-in, /in and /out."""
    row = settings_of(warehouse)
    return sftp_findings(
        _access(row), deadline, lambda sftp: _look(sftp, row.in_folder, row.out_folder)
    )


def draft_findings(
    account: Account, string: ConnectionString, deadline: Deadline
) -> Iterator[Finding]:
    """Check a connection string that is not saved yet."""
    access = dialling.SftpAccess(
        account.pk, string.host, string.port, string.username, password=string.password
    )
    blank = FileExchangeSettings()
    return sftp_findings(
        access, deadline, lambda sftp: _look(sftp, blank.in_folder, blank.out_folder)
    )


def _access(row: FileExchangeSettings) -> dialling.SftpAccess:
    with dialling.readable_secrets():
        password = row.unseal("password")
    return dialling.SftpAccess(
        row.account_id, row.host, row.port, row.username, password=password
    )


def _look(sftp: Sftp, *folders: str) -> str:
    for folder in folders:
        try:
            sftp.list_folder(folder)
        except WireError as error:
            if error.code in ("no_such_file", "folder_missing"):
                raise WireError("folder_missing", folder) from error
            raise
    return " ".join(folders)
