"""Secrets at rest open in their own place and nowhere else (security.md K4, K5, K9)."""

from __future__ import annotations

import base64
import copy
import json
import logging
import pickle
import uuid

import pytest
from django.core.exceptions import ImproperlyConfigured
from pytest_django import Settings

from stores import sealing
from stores.sealing import Place, SealError
from stores.secret import Secret
from tests import factories

ROW = uuid.UUID("5c0d5a3e-56f4-4a5c-8f86-3d0f4c1f2a11")
PLACE = Place(7, ROW, "store.api_key")
CANARY = "hunter2-canary"


def key(letter: str) -> str:
    return base64.b64encode(letter.encode() * 32).decode()


def test_what_is_sealed_opens_in_its_place() -> None:
    sealed = sealing.seal(CANARY.encode(), PLACE)
    assert CANARY.encode() not in sealed
    assert sealing.unseal(sealed, PLACE) == CANARY.encode()
    assert sealing.key_id_of(sealed) == "k1"


def test_the_same_text_is_never_sealed_alike() -> None:
    assert sealing.seal(b"same", PLACE) != sealing.seal(b"same", PLACE)


@pytest.mark.parametrize(
    "elsewhere",
    [
        Place(8, ROW, PLACE.field),
        Place(7, uuid.UUID(int=1), PLACE.field),
        Place(7, ROW, "store.password"),
    ],
)
def test_a_value_moved_to_another_tenant_row_or_field_does_not_open(
    elsewhere: Place,
) -> None:
    """K4."""
    sealed = sealing.seal(b"text", PLACE)
    with pytest.raises(SealError):
        sealing.unseal(sealed, elsewhere)


def test_any_altered_byte_is_noticed() -> None:
    """K4."""
    sealed = sealing.seal(b"text", PLACE)
    for at in range(len(sealed)):
        altered = bytearray(sealed)
        altered[at] ^= 1
        with pytest.raises(SealError):
            sealing.unseal(bytes(altered), PLACE)
    for length in range(len(sealed)):
        with pytest.raises(SealError):
            sealing.unseal(sealed[:length], PLACE)


def test_the_first_key_seals_and_every_key_opens(settings: Settings) -> None:
    """K5: rotation."""
    settings.SEALING_KEYS = f"old:{key('a')}"
    sealed = sealing.seal(b"text", PLACE)
    settings.SEALING_KEYS = f"new:{key('b')},old:{key('a')}"
    assert sealing.unseal(sealed, PLACE) == b"text"
    assert sealing.key_id_of(sealing.seal(b"text", PLACE)) == "new"
    settings.SEALING_KEYS = f"new:{key('b')}"
    with pytest.raises(SealError, match="'old', which is not configured"):
        sealing.unseal(sealed, PLACE)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " , ",
        "k1",
        "k1:",
        f"k1:{base64.b64encode(b'short').decode()}",
        f"k1:{key('a')}x",
        f"k 1:{key('a')}",
        f"k1:{key('a')},k1:{key('b')}",
        f"k1:{sealing.EXAMPLE_KEY}",
    ],
)
def test_missing_short_repeated_and_example_keys_stop_the_start(text: str) -> None:
    """K5."""
    with pytest.raises(ImproperlyConfigured) as refusal:
        sealing.parse_keys(text)
    assert key("a") not in str(refusal.value)


def test_a_fingerprint_shows_four_characters_of_a_long_secret_alone() -> None:
    """K8."""
    shown = sealing.fingerprint("a-long-api-key-4f2c", PLACE)
    assert shown.startswith("…4f2c (")
    assert sealing.fingerprint("short", PLACE).startswith("… (")
    assert shown != sealing.fingerprint("a-long-api-key-4f2c", Place(8, ROW, "x"))


def test_a_secret_shows_itself_nowhere(caplog: pytest.LogCaptureFixture) -> None:
    """K9."""
    secret = Secret(CANARY)
    with caplog.at_level(logging.INFO):
        logging.getLogger("test").info("secret %s %r", secret, secret)
    shown = [str(secret), repr(secret), f"{secret:>10}", repr([secret]), caplog.text]
    assert not any(CANARY in text for text in shown)
    assert not hasattr(secret, "__dict__")
    assert secret.reveal() == CANARY


@pytest.mark.parametrize("way", [pickle.dumps, copy.copy, copy.deepcopy, json.dumps])
def test_a_secret_is_not_carried_away(way: object) -> None:
    """K9."""
    with pytest.raises(TypeError):
        way(Secret(CANARY))  # type: ignore[operator]


def test_secrets_compare_by_value_and_are_not_hashed() -> None:
    assert Secret("a") == Secret("a")
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert not Secret("")
    with pytest.raises(TypeError):
        hash(Secret("a"))


@pytest.mark.django_db
def test_a_stores_secrets_are_sealed_in_the_database() -> None:
    """K1: neither the API key nor the private key is readable there."""
    store = factories.store(
        factories.merchant(factories.account()), api_key=CANARY, ip_account="123456"
    )
    row = store.inventory_planner
    pair = store.ssh_keys.get()
    assert row.sealed_api_key is not None
    assert pair.sealed_private_key is not None
    assert CANARY.encode() not in bytes(row.sealed_api_key)
    assert b"PRIVATE KEY" not in bytes(pair.sealed_private_key)
    assert row.unseal("api_key").reveal() == CANARY
    assert "PRIVATE KEY" in pair.unseal("private_key").reveal()


@pytest.mark.django_db
def test_a_sealed_value_copied_to_another_row_does_not_open() -> None:
    """K4, in the database."""
    brand = factories.merchant(factories.account())
    one = factories.store(brand, api_key=CANARY).inventory_planner
    other = factories.store(brand).inventory_planner
    other.sealed_api_key = one.sealed_api_key
    with pytest.raises(SealError):
        other.unseal("api_key")
