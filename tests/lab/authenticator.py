"""A person's authenticator app."""

from __future__ import annotations

import base64
import hmac
import struct
import time


def totp_now(secret: str) -> str:
    """Return the code that it would show (RFC 6238, SHA-1)."""
    counter = struct.pack(">Q", int(time.time()) // 30)
    digest = hmac.digest(base64.b32decode(secret), counter, "sha1")
    offset = digest[-1] & 15
    number = struct.unpack(">I", digest[offset : offset + 4])[0] & 0x7FFFFFFF
    return f"{number % 1_000_000:06}"
