"""What Test connection says of the API key, the Account ID and the filter."""

from __future__ import annotations

from typing import Any

import pytest

from connections.checks import execute as checks
from connections.checks import subjects
from connections.models import CheckRun
from dropstream.sandbox import seed
from tests import factories
from tests.factories import Line

ACCOUNT = "123456"


def api_check(line: Line) -> dict[str, Any]:
    """Test the store as its page does; return what was found of the API."""
    run = CheckRun(account=line.account, requested_by=line.person, store=line.store)
    checks.execute(checks.start(run).pk, subjects.findings)
    run.refresh_from_db()
    [found] = [result for result in run.results if result["check"] == "api"]
    assert isinstance(found, dict)
    return found


def test_e3_digits_that_lack_their_letter_are_told_from_a_wrong_key(line: Line) -> None:
    """inventory-planner.md §2.2: real ids read a123456."""
    line.sandbox.ip.api.letter_required = True
    found = api_check(line)
    assert (found["state"], found["code"]) == ("failed", "account_id_letter")
    assert found["detail"] == f"a{ACCOUNT}"
    factories.change_store(line.store, ip_account=f"a{ACCOUNT}")
    assert api_check(line)["state"] == "passed"


@pytest.mark.parametrize("account", [ACCOUNT, f"a{ACCOUNT}"])
def test_e3_a_wrong_key_stays_a_wrong_key(line: Line, account: str) -> None:
    """One assisted retry at most, and none where the letter is there."""
    line.sandbox.ip.api.letter_required = True
    factories.change_store(line.store, api_key="0" * 64, ip_account=account)
    found = api_check(line)
    assert found["code"] == "api_key_refused"
    assert "0" * 64 not in str(found)
    asked = len(line.sandbox.ip.requests)
    assert asked == (2 if account == ACCOUNT else 1)


@pytest.mark.parametrize(
    ("status_filter", "says"),
    [
        ("ORDERED", "The filter (ORDERED) matches 3 orders now."),
        (" ordered ", "The filter (ordered) matches 3 orders now."),
        ("partially received", "The filter (partially received) matches 1 order now."),
        ("NOBODY", "The filter (NOBODY) matches 0 orders now."),
    ],
)
def test_the_preview_says_what_the_filter_matches(
    line: Line, status_filter: str, says: str
) -> None:
    """dropstream.md §7: the Import Status Filter, tried before it counts."""
    factories.change_store(line.store, import_status_filter=status_filter)
    assert api_check(line)["note"] == says


def test_the_preview_without_a_filter_counts_every_purchase_order(line: Line) -> None:
    """§7, rule 1; transfers and assemblies are none."""
    assert api_check(line)["note"].startswith("The filter (all orders) matches ")


def test_the_preview_of_a_long_list_says_how_much_it_read(line: Line) -> None:
    line.sandbox.ip.accounts[ACCOUNT].orders[:] = [
        seed.order(ACCOUNT, str(n), "ORDERED", [(1, 2, 0)]) for n in range(150)
    ]
    factories.change_store(line.store, import_status_filter="ORDERED")
    says = "Of the newest 100 orders, the filter (ORDERED) matches 100."
    assert api_check(line)["note"] == says


def test_the_statuses_seen_are_suggested_each_once(line: Line) -> None:
    suggested = api_check(line)["suggestions"]
    assert "ORDERED" in suggested
    assert len(suggested) == len(set(suggested))
    there = {doc["status"] for doc in line.sandbox.ip.accounts[ACCOUNT].orders}
    assert set(suggested) == there
