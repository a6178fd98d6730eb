"""What people paste is understood; what is wrong is said (dropstream.md §7)."""

from __future__ import annotations

import pytest

from inventory_planner import paste
from inventory_planner.forms import InventoryPlannerForm

HOST = "s-abc123.server.transfer.us-east-1.amazonaws.com"


def form(**answers: str) -> InventoryPlannerForm:
    shown = {
        name: field.initial or ""
        for name, field in InventoryPlannerForm.base_fields.items()
    }
    return InventoryPlannerForm(shown | answers)


@pytest.mark.parametrize(
    ("typed", "host", "port", "username"),
    [
        (HOST, HOST, 0, ""),
        (f"  {HOST.upper()}.  ", HOST, 0, ""),
        (f"sftp://{HOST}", HOST, 0, ""),
        (f"sftp://{HOST}:2222/variant", HOST, 2222, ""),
        (f"me@{HOST}", HOST, 0, "me"),
        (f"\u200b{HOST}\u200b", HOST, 0, ""),
    ],
)
def test_an_endpoint_is_read_however_it_is_pasted(
    typed: str, host: str, port: int, username: str
) -> None:
    """ux.md U8."""
    assert paste.read_endpoint(typed) == paste.Endpoint(host, port, username)


@pytest.mark.parametrize(
    "typed",
    [
        f"https://{HOST}",
        f"sftp://me:secret@{HOST}",
        "127.0.0.1",
        "localhost",
        "not a host",
        f"{HOST}:99999",
        "[::1]",
        "[broken",
    ],
)
def test_an_endpoint_that_is_none_is_refused_in_its_field(typed: str) -> None:
    filled = form(sftp_endpoint=typed)
    assert not filled.is_valid()
    assert set(filled.errors) == {"sftp_endpoint"}
    assert "secret" not in str(filled.errors)


@pytest.mark.parametrize(
    ("typed", "account"),
    [
        ("123456", "123456"),
        (" a123456 ", "a123456"),
        ("https://app.inventory-planner.com/#/settings/billing?a=a123456", "a123456"),
        ("https://app.inventory-planner.com/?a=123456#/home", "123456"),
        ("a=123456", "123456"),
    ],
)
def test_an_account_id_is_found_in_what_is_pasted(typed: str, account: str) -> None:
    """inventory-planner.md §2.2: kept verbatim, its letter included."""
    assert paste.read_account_id(typed) == account
    filled = form(ip_account=typed)
    assert filled.is_valid(), filled.errors
    assert filled.cleaned_data["ip_account"] == account
    assert bool(filled.notices) == (typed.strip() != account)


@pytest.mark.parametrize("key", ["two words", "ключ"])
def test_a_key_that_no_header_carries_is_refused(key: str) -> None:
    """F6."""
    filled = form(api_key=key)
    assert set(filled.errors) == {"api_key"}
    assert key not in str(filled.errors)


def test_a_line_break_around_a_key_is_dropped() -> None:
    """F6: no header is split by it."""
    filled = form(api_key=" a1b2\r\n")
    assert filled.is_valid()
    assert filled.cleaned_data["api_key"] == "a1b2"
    assert filled.notices == []


def test_what_nobody_sees_is_taken_out_of_a_key_and_that_is_said() -> None:
    """U8, K8: without repeating the key."""
    filled = form(api_key="a1\u200bb2")
    assert filled.is_valid()
    assert filled.cleaned_data["api_key"] == "a1b2"
    assert filled.notices == [
        "Characters that nobody sees were taken out of the API Key."
    ]


def test_a_port_that_is_not_allowed_is_refused() -> None:
    """E4."""
    filled = form(sftp_endpoint=f"{HOST}:25")
    assert "sftp_endpoint" in filled.errors
    allowed = form(sftp_endpoint=f"{HOST}:2222")
    assert allowed.is_valid()
    assert allowed.cleaned_data["sftp_port"] == 2222


def test_the_endpoints_own_user_name_wins() -> None:
    """inventory-planner.md §4.1."""
    filled = form(sftp_endpoint=f"there@{HOST}", sftp_username="here")
    assert filled.is_valid()
    assert filled.cleaned_data["sftp_username"] == "there"
    assert "SFTP username was read as “there”." in filled.notices


def test_a_stored_key_is_never_shown_again() -> None:
    """K8: the form makes no round trip with a secret."""
    assert "hunter2" not in str(form(api_key="hunter2"))


def test_everything_may_be_left_for_later() -> None:
    filled = form()
    assert filled.is_valid(), filled.errors


@pytest.mark.parametrize(
    ("wanted", "status", "when", "warned"),
    [
        ("ORDERED", "CLOSED", "received", []),
        ("ORDERED", " ordered", "received", ["are the same"]),
        ("Partially-Received", "partially received", "received", ["are the same"]),
        ("", "", "received", []),
        ("", "", "imported", []),
        ("ORDERED", "SENT TO 3PL", "imported", []),
        ("ORDERED", "Closed", "imported", ["may advise buying them again"]),
        ("", "cancelled", "imported", ["may advise buying them again"]),
        ("CLOSED", "CLOSED", "imported", ["are the same", "buying them again"]),
    ],
)
def test_settings_that_few_people_want_are_warned_of_and_kept(
    wanted: str, status: str, when: str, warned: list[str]
) -> None:
    """I13, inventory-planner.md §3.6."""
    filled = form(
        import_status_filter=wanted,
        acknowledgement_status=status,
        acknowledge_when=when,
    )
    assert filled.is_valid(), filled.errors
    assert len(filled.warnings) == len(warned)
    for said, part in zip(filled.warnings, warned, strict=True):
        assert part in said
