"""Named checks say which step fails, why, and which key to compare (security.md H1)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from connections.checks import execute as checks
from connections.checks import subjects
from connections.checks.findings import Finding, State
from connections.models import CheckRun, ConnectionDraft
from connections.wire.ssh import Deadline
from dropstream.sandbox import Sandbox
from dropstream.sandbox.ssh_server import DropConnection
from stores.models import HostKey
from tests import factories
from tests.factories import Cast, Line

SFTP = ["reach", "host_key", "log_in", "folders"]


def store_check(line: Line) -> CheckRun:
    return CheckRun(account=line.account, requested_by=line.person, store=line.store)


def warehouse_check(line: Line) -> CheckRun:
    return CheckRun(
        account=line.account, requested_by=line.person, warehouse=line.warehouse
    )


def draft_check(cast: Cast, step: str, **answers: str) -> CheckRun:
    """A check of a step of somebody's half-finished wizard."""
    draft = ConnectionDraft(account=cast.acme, created_by=cast.staff)
    typed = {f"{step}-{name}": [value] for name, value in answers.items()}
    draft.ssh_key = factories.key_pair(cast.acme)
    draft.keep({"step_data": {step: typed}})
    draft.save()
    return CheckRun(
        account=cast.acme, requested_by=cast.staff, draft=draft, draft_step=step
    )


def done(check: CheckRun) -> CheckRun:
    """Start a check and do it, as its worker does."""
    checks.execute(checks.start(check).pk, subjects.findings)
    check.refresh_from_db()
    return check


def states(check: CheckRun) -> dict[str, str]:
    """Check to state; each is named once."""
    names = [result["check"] for result in check.results]
    assert len(names) == len(set(names)), names
    return {result["check"]: result["state"] for result in check.results}


def failed(check: CheckRun) -> dict[str, Any]:
    [found] = [result for result in check.results if result["state"] == "failed"]
    assert isinstance(found, dict)
    return found


def test_a_store_that_works_passes_every_check(line: Line) -> None:
    check = done(store_check(line))
    assert check.state == "passed"
    assert states(check) == dict.fromkeys(["api", *SFTP], "passed")
    notes = {result["check"]: result["note"] for result in check.results}
    assert notes["log_in"] == "123456"
    assert notes["folders"] == "/variant_warehouse"


def test_a_warehouse_that_works_passes_every_check(line: Line) -> None:
    check = done(warehouse_check(line))
    assert (check.state, states(check)) == ("passed", dict.fromkeys(SFTP, "passed"))


def test_an_unknown_host_key_is_offered_for_approval(line: Line) -> None:
    """H1: what follows is not tried."""
    HostKey.objects.filter(host=line.drop.endpoint).delete()
    check = done(store_check(line))
    assert check.state == "failed"
    assert states(check) == {
        "api": "passed",
        "reach": "passed",
        "host_key": "failed",
        "log_in": "skipped",
        "folders": "skipped",
    }
    found = failed(check)
    offered = HostKey.objects.get(host=line.drop.endpoint)
    assert found["code"] == "host_key_unknown"
    assert found["host_key"] == str(offered.public_id)
    assert not line.sandbox.journal.of("auth", side="ip")


def test_a_changed_host_key_is_named_as_changed(line: Line) -> None:
    """H2."""
    line.sandbox.rotate_host_key("ip")
    assert failed(done(store_check(line)))["code"] == "host_key_changed"


def refuse_key(line: Line) -> None:
    line.sandbox.ip.accounts["123456"].drops.clear()


def refuse_api_key(line: Line) -> None:
    factories.change_store(line.store, api_key="f" * 64)


def lose_folder(line: Line) -> None:
    (line.drop.folder / "variant_warehouse").rmdir()


def stop_listening(line: Line) -> None:
    line.sandbox._run(line.sandbox.ip.ssh.close())


def cut_the_line(line: Line) -> None:
    def fault(op: str, _path: str) -> None:
        if op == "list":
            raise DropConnection

    line.sandbox.ip.sftp_faults.append(fault)


@pytest.mark.parametrize(
    ("trouble", "check", "code"),
    [
        (refuse_key, "log_in", "auth_refused"),
        (refuse_api_key, "api", "api_key_refused"),
        (lose_folder, "folders", "stock_folder_unknown"),
        (stop_listening, "reach", "connect_refused"),
        (cut_the_line, "folders", "network_lost"),
    ],
)
def test_each_trouble_fails_its_own_check(
    line: Line, trouble: Callable[[Line], None], check: str, code: str
) -> None:
    trouble(line)
    ended = done(store_check(line))
    assert ended.state == "failed"
    found = failed(ended)
    assert (found["check"], found["code"]) == (check, code)
    assert set(states(ended)) == {"api", *SFTP}


def test_without_an_endpoint_the_drop_is_skipped_and_nothing_fails(
    line: Line,
) -> None:
    factories.change_store(line.store, sftp_endpoint="")
    check = done(store_check(line))
    assert check.state == "passed"
    assert states(check)["api"] == "passed"
    assert {states(check)[name] for name in SFTP} == {"skipped"}
    assert check.results[1]["code"] == "endpoint_missing"


def test_a_missing_out_folder_is_named(line: Line) -> None:
    line.clear_reports()
    line.far_warehouse.outgoing.rmdir()
    found = failed(done(warehouse_check(line)))
    assert (found["check"], found["code"]) == ("folders", "folder_missing")
    assert found["detail"] == "/out"


def test_a_warehouse_without_settings_says_so(line: Line) -> None:
    line.warehouse.file_exchange.delete()
    assert failed(done(warehouse_check(line)))["code"] == "warehouse_settings_missing"


@pytest.mark.django_db(transaction=True)
def test_what_is_typed_in_a_draft_is_checked_before_it_is_saved(
    cast: Cast, sandbox: Sandbox
) -> None:
    facts = sandbox.facts["try"]
    string = facts["connection_string"]
    check = done(draft_check(cast, "warehouse", connection_string=string))
    assert failed(check)["code"] == "host_key_unknown"
    key = HostKey.objects.get(account=cast.acme)
    assert failed(check)["host_key"] == str(key.public_id)

    draft = draft_check(
        cast,
        "store",
        platform="inventory_planner",
        api_key=facts["api_key"],
        ip_account=facts["account_id"],
    )
    check = done(draft)
    assert check.state == "passed"
    assert states(check)["api"] == "passed"
    assert facts["api_key"] not in str(check.results)


@pytest.mark.django_db
def test_a_malformed_connection_string_is_not_dialled(cast: Cast) -> None:
    check = done(draft_check(cast, "warehouse", connection_string="sftp://nobody"))
    assert check.results[0]["code"] == "connection_string_invalid"


def in_memory(cast: Cast) -> CheckRun:
    return draft_check(cast, "warehouse")


@pytest.mark.django_db
def test_a_person_starts_ten_checks_a_minute(cast: Cast) -> None:
    """E10."""
    for _ in range(checks.PER_MINUTE):
        checks.start(in_memory(cast))
    with pytest.raises(checks.TooManyChecksError):
        checks.start(in_memory(cast))
    CheckRun.objects.update(created_at=timezone.now() - timedelta(minutes=2))
    checks.start(in_memory(cast))


@pytest.mark.django_db
def test_a_cancelled_check_keeps_what_was_found(cast: Cast) -> None:
    check = checks.start(in_memory(cast))

    def slow(_check: CheckRun, _deadline: Deadline) -> Any:
        yield Finding("reach", State.PASSED)
        checks.cancel(check)
        yield Finding("host_key", State.PASSED)
        raise AssertionError("nobody looks any more")

    checks.execute(check.pk, slow)
    check.refresh_from_db()
    assert (check.state, states(check)) == ("cancelled", {"reach": "passed"})


@pytest.mark.django_db
def test_a_check_that_breaks_ends_as_failed(cast: Cast) -> None:
    check = checks.start(in_memory(cast))

    def broken(_check: CheckRun, _deadline: Deadline) -> Any:
        yield Finding("reach", State.PASSED)
        raise RuntimeError("hunter2")

    checks.execute(check.pk, broken)
    check.refresh_from_db()
    assert (check.state, failed(check)["code"]) == ("failed", "internal_error")
    assert "hunter2" not in str(check.results)


@pytest.mark.django_db
def test_a_check_is_done_once(cast: Cast) -> None:
    check = checks.start(in_memory(cast))
    looked: list[int] = []

    def look(_check: CheckRun, _deadline: Deadline) -> Any:
        looked.append(1)
        yield Finding("reach", State.PASSED)

    checks.execute(check.pk, look)
    checks.execute(check.pk, look)
    assert looked == [1]


@pytest.mark.django_db
def test_a_check_whose_worker_is_gone_ends(cast: Cast) -> None:
    check = checks.start(in_memory(cast))
    CheckRun.objects.update(
        state=CheckRun.State.RUNNING, started_at=timezone.now() - timedelta(hours=1)
    )
    checks.tend()
    check.refresh_from_db()
    assert check.state == "failed"
    assert check.finished_at is not None
