"""Secrets at rest: AES-256-GCM, bound to the row and field that holds them.

Format, final: version byte 0x01 | length of key id | key id | 12-byte nonce |
ciphertext and tag. Associated data: account id, the row's UUID and the field, so a
sealed value moved to another row or tenant does not open (security.md K4).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import re
import uuid
from dataclasses import dataclass
from functools import lru_cache

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

VERSION = b"\x01"
NONCE_BYTES = 12
KEY_BYTES = 32
# The key that .env.example shows; a deployment that kept it has no secret at all.
EXAMPLE_KEY = base64.b64encode(b"example-key-do-not-use-example!!").decode()


class SealError(Exception):
    """A sealed value does not open: wrong key, wrong row, or altered."""


@dataclass(frozen=True)
class Place:
    """Where a sealed value lives."""

    account_id: int
    row: uuid.UUID
    field: str

    def associated_data(self) -> bytes:
        return f"{self.account_id}:{self.row}:{self.field}".encode()


@lru_cache(maxsize=4)
def parse_keys(text: str) -> dict[str, bytes]:
    """Read "id:base64,…"; the first key seals, all of them open.

    Raises ImproperlyConfigured for missing, short, repeated or example keys (K5).
    """
    keys: dict[str, bytes] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        key_id, _, encoded = part.partition(":")
        try:
            key = base64.b64decode(encoded, validate=True)
        except binascii.Error:
            key = b""
        if not re.fullmatch(r"[A-Za-z0-9_-]{1,32}", key_id) or len(key) != KEY_BYTES:
            raise ImproperlyConfigured(
                "SEALING_KEYS must read id:base64 of 32 bytes, several with commas."
            )
        if encoded == EXAMPLE_KEY:
            raise ImproperlyConfigured("SEALING_KEYS still holds the example key.")
        if key_id in keys:
            raise ImproperlyConfigured(f"SEALING_KEYS names {key_id} twice.")
        keys[key_id] = key
    if not keys:
        raise ImproperlyConfigured("SEALING_KEYS is empty.")
    return keys


def seal(plaintext: bytes, place: Place) -> bytes:
    """Encrypt for one place with the first key."""
    key_id, key = next(iter(parse_keys(settings.SEALING_KEYS).items()))
    nonce = os.urandom(NONCE_BYTES)
    label = key_id.encode()
    sealed = AESGCM(key).encrypt(nonce, plaintext, place.associated_data())
    return VERSION + bytes([len(label)]) + label + nonce + sealed


def unseal(sealed: bytes, place: Place) -> bytes:
    """Decrypt what `seal` made for the same place.

    Raises SealError when the key is not there or the value is not what was sealed.
    """
    key_id, body = _split(bytes(sealed))
    key = parse_keys(settings.SEALING_KEYS).get(key_id)
    if key is None:
        raise SealError(f"Sealed with key {key_id!r}, which is not configured.")
    try:
        return AESGCM(key).decrypt(
            body[:NONCE_BYTES], body[NONCE_BYTES:], place.associated_data()
        )
    except InvalidTag:
        raise SealError(f"The sealed {place.field} does not open here.") from None


def key_id_of(sealed: bytes) -> str:
    """Name the key that a value was sealed with (rotation, doctor)."""
    return _split(bytes(sealed))[0]


def fingerprint(value: str, place: Place) -> str:
    """Last four characters and a keyed hash: all of a secret that is shown (K8)."""
    key = next(iter(parse_keys(settings.SEALING_KEYS).values()))
    text = place.associated_data() + b"\0" + value.encode()
    digest = hmac.new(key, text, hashlib.sha256).hexdigest()
    return f"{tail(value)} ({digest[:8]})"


def tail(value: str) -> str:
    """The last four characters of a secret; a short one shows none (K8)."""
    return f"…{value[-4:]}" if len(value) >= 12 else "…"


def _split(sealed: bytes) -> tuple[str, bytes]:
    if len(sealed) < 2 or sealed[:1] != VERSION:
        raise SealError("Not a sealed value.")
    end = 2 + sealed[1]
    if len(sealed) < end + NONCE_BYTES:
        raise SealError("Not a sealed value.")  # cut short
    return sealed[2:end].decode("ascii", "replace"), sealed[end:]
