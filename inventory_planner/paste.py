"""Understand what people paste: whole URLs, user@host, stray spaces (ux.md U8)."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

from connections.wire.errors import WireError
from connections.wire.outbound import check_host_name


@dataclass(frozen=True)
class Endpoint:
    """An SFTP endpoint taken apart; blank and 0 where nothing was given."""

    host: str
    port: int
    username: str


def tidy(text: str) -> str:
    """Drop spaces around and characters that nobody sees (zero-width, controls)."""
    kept = (char for char in text if unicodedata.category(char) not in ("Cf", "Cc"))
    return "".join(kept).strip()


def read_endpoint(text: str) -> Endpoint:
    """Read `host`, `user@host`, `sftp://user@host:port/path`. Raises ValueError.

    A path is dropped: the folder is matched, not typed.
    """
    text = tidy(text)
    if not text:
        return Endpoint("", 0, "")
    if re.match(r"[a-z]+://", text, re.IGNORECASE) is None:
        text = f"sftp://{text}"
    parts = urlsplit(text)
    if parts.scheme.lower() != "sftp":
        raise ValueError("scheme")
    if parts.password:
        raise ValueError("password")
    try:
        host = check_host_name((parts.hostname or "").rstrip("."))
    except WireError as error:
        raise ValueError("host") from error
    try:
        port = parts.port or 0
    except ValueError:
        raise ValueError("port") from None
    return Endpoint(host, port, parts.username or "")


def read_account_id(text: str) -> str:
    """Take the `a=` value of a pasted Inventory Planner URL, else the text (§2.2)."""
    text = tidy(text)
    if "=" not in text:
        return text
    parts = urlsplit(text)
    # The value stands in the query, or in the fragment after its own question mark.
    for query in (parts.query, parts.fragment.rpartition("?")[2], text):
        found = parse_qs(query).get("a")
        if found:
            return found[0].strip()
    return text
