"""A connection string is understood or refused with the next action (issue 2 c)."""

from __future__ import annotations

import pytest

from connections.warehouses import file_exchange
from stores.models import AuditEvent
from tests import factories

SECRET = "hunter2-canary"


@pytest.mark.parametrize(
    ("text", "host", "port", "username", "password"),
    [
        ("sftp://u:p@wh.example.com:2222", "wh.example.com", 2222, "u", "p"),
        (" SFTP://u:p@WH.Example.com/ ", "wh.example.com", 22, "u", "p"),
        (
            "sftp://u%40x:p%3A%2F%23@wh.example.com.",
            "wh.example.com",
            22,
            "u@x",
            "p:/#",
        ),
        ("sftp://u:p:q@wh.example.com", "wh.example.com", 22, "u", "p:q"),
        ("sftp://u:pa@ss@wh.example.com", "wh.example.com", 22, "u", "pa@ss"),
    ],
)
def test_a_string_is_taken_apart(
    text: str, host: str, port: int, username: str, password: str
) -> None:
    found = file_exchange.parse(text)
    assert (found.host, found.port) == (host, port)
    assert (found.username, found.password.reveal()) == (username, password)
    assert repr(found.password) == "***"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "starts with sftp://"),
        (f"wh.example.com:{SECRET}", "starts with sftp://"),
        (f"ftps://u:{SECRET}@wh.example.com", "Only SFTP"),
        (f"sftp://u:{SECRET}@wh.example.com:port", "hostname:port"),
        (f"sftp://u:{SECRET}@wh.example.com:99999", "hostname:port"),
        (f"sftp://u:{SECRET}#x@wh.example.com", "hostname:port"),
        (f"sftp://u:{SECRET}@wh.example.com/out", "Nothing follows the port"),
        (f"sftp://{SECRET}@wh.example.com", "User name and password"),
        (f"sftp://:{SECRET}@wh.example.com", "User name and password"),
        (f"sftp://u:{SECRET}@127.0.0.1", "not an address"),
        (f"sftp://u:{SECRET}@[::1]", "not an address"),
        (f"sftp://u:{SECRET}@localhost", "full name"),
        (f"sftp://u%00:{SECRET}@wh.example.com", "nobody can type"),
        (f"sftp://u:{SECRET}%0a@wh.example.com", "nobody can type"),
        (f"sftp://{'u' * 256}:{SECRET}@wh.example.com", "at most 255"),
    ],
)
def test_a_malformed_string_is_refused_without_repeating_it(
    text: str, words: str
) -> None:
    with pytest.raises(ValueError, match=words) as refusal:
        file_exchange.parse(text)
    assert SECRET not in str(refusal.value)


@pytest.mark.django_db
def test_the_password_is_sealed_and_shown_nowhere() -> None:
    """K1, A1."""
    brand = factories.merchant(factories.account())
    made = factories.warehouse(brand, f"sftp://u:{SECRET}@wh.example.com")
    row = made.file_exchange
    assert row.sealed_password is not None
    assert SECRET.encode() not in bytes(row.sealed_password)
    assert row.unseal("password").reveal() == SECRET
    assert str(row) == "sftp://u:***@wh.example.com:22"
    event = AuditEvent.objects.get(action="warehouse.connection_string")
    assert event.after["target"] == str(row)
    assert SECRET not in str(event.after)
