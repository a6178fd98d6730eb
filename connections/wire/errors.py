"""The one error that leaves this package, and the closed table of its codes.

Every failure of a socket, of paramiko, of requests or of a far side's answer is
translated once, where it happens. Callers branch on ``code`` or ``kind``; the wording
for people lives with the pages.
"""

from __future__ import annotations

import unicodedata
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from connections.wire.ssh import HostKey

DETAIL_LIMIT = 200


class Kind(StrEnum):
    """Say who can do something about an error (reliability R1)."""

    TRANSIENT = "transient"
    THROTTLED = "throttled"
    NEEDS_PERSON = "needs_person"
    BUG = "bug"


CODES: dict[str, Kind] = {
    # Before a socket is connected.
    "name_not_found": Kind.TRANSIENT,
    "address_blocked": Kind.NEEDS_PERSON,
    "host_name_invalid": Kind.NEEDS_PERSON,
    "port_not_allowed": Kind.NEEDS_PERSON,
    # The network.
    "connect_timeout": Kind.TRANSIENT,
    "connect_refused": Kind.TRANSIENT,
    "network_lost": Kind.TRANSIENT,
    "deadline_exceeded": Kind.TRANSIENT,
    # SSH, until somebody is logged in.
    "handshake_timeout": Kind.TRANSIENT,
    "handshake_failed": Kind.NEEDS_PERSON,
    "host_key_unknown": Kind.NEEDS_PERSON,
    "host_key_changed": Kind.NEEDS_PERSON,
    "auth_refused": Kind.NEEDS_PERSON,
    "too_many_connections": Kind.TRANSIENT,
    "private_key_invalid": Kind.BUG,
    # SFTP.
    "sftp_unavailable": Kind.TRANSIENT,
    "permission_denied": Kind.NEEDS_PERSON,
    "folder_missing": Kind.NEEDS_PERSON,
    "no_such_file": Kind.NEEDS_PERSON,
    # Put there between our look and our rename: the next try looks again.
    "file_exists": Kind.TRANSIENT,
    "disk_full": Kind.TRANSIENT,
    "remote_failure": Kind.TRANSIENT,
    "size_mismatch": Kind.TRANSIENT,
    "file_too_large": Kind.NEEDS_PERSON,
    # HTTP.
    "api_key_refused": Kind.NEEDS_PERSON,
    "api_not_found": Kind.NEEDS_PERSON,
    "api_throttled": Kind.THROTTLED,
    "api_server_error": Kind.TRANSIENT,
    "api_error_answer": Kind.NEEDS_PERSON,
    "api_unexpected_answer": Kind.TRANSIENT,
    "api_too_large": Kind.NEEDS_PERSON,
    "api_redirect": Kind.NEEDS_PERSON,
    "api_timeout": Kind.TRANSIENT,
    "api_header_invalid": Kind.NEEDS_PERSON,
    "tls_failed": Kind.NEEDS_PERSON,
}


def clean_detail(text: str | bytes, limit: int = DETAIL_LIMIT) -> str:
    """Make far-side text safe for one log line (H8): capped, nothing invisible.

    Control, format (bidirectional overrides), surrogate and unassigned characters
    become one space. Escaping for HTML stays with the page.
    """
    if isinstance(text, bytes):
        text = text[: limit * 4].decode("utf-8", "replace")
    # Cut before cleaning, so that a huge banner costs nothing.
    kept = (
        " " if unicodedata.category(char).startswith(("C", "Zl", "Zp")) else char
        for char in text[: limit * 4]
    )
    cleaned = " ".join("".join(kept).split())
    return cleaned if len(cleaned) <= limit else cleaned[: limit - 1] + "…"


class WireError(Exception):
    """Report that the outside did not do what was asked.

    ``detail`` is untrusted but harmless text and never holds a secret.
    ``offered_key`` comes with host_key_unknown and host_key_changed;
    ``status``: the number of the far side's own answer, where it gave one.
    """

    def __init__(
        self,
        code: str,
        detail: str | bytes = "",
        *,
        retry_after_s: float | None = None,
        offered_key: HostKey | None = None,
        status: int | None = None,
    ) -> None:
        self.code = code
        self.kind = CODES[code]
        self.detail = clean_detail(detail)
        self.retry_after_s = retry_after_s
        self.offered_key = offered_key
        self.status = status
        super().__init__(f"{code}: {self.detail}" if self.detail else code)
