"""django-allauth's seams: closed sign-up, sealed TOTP secrets."""

from __future__ import annotations

import base64
import uuid

from allauth.account.adapter import DefaultAccountAdapter
from allauth.mfa.adapter import DefaultMFAAdapter
from django.http import HttpRequest

from stores import sealing

# allauth hands over the text alone, without its row; the place names the use instead.
_TOTP = sealing.Place(0, uuid.UUID(int=0), "mfa.totp")


class AccountAdapter(DefaultAccountAdapter):
    """People are invited by an account's administrator; nobody signs up alone."""

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return False


class MFAAdapter(DefaultMFAAdapter):
    """TOTP secrets and recovery seeds are sealed like every other secret."""

    def encrypt(self, text: str) -> str:
        return base64.b64encode(sealing.seal(text.encode(), _TOTP)).decode()

    def decrypt(self, encrypted_text: str) -> str:
        return sealing.unseal(base64.b64decode(encrypted_text), _TOTP).decode()
