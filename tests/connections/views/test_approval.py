"""One click approves a host key, tests again and lets what waited go on (H1, H3)."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse

from connections.checks import execute as checks
from connections.checks import subjects
from connections.models import CheckRun, SyncRun
from dropstream.sandbox import Sandbox
from stores.models import HostKey
from tests import factories
from tests.connections.wizard.walk import log_in
from tests.engine import drain, run_now
from tests.factories import Line


@pytest.fixture
def line(transactional_db: None, sandbox: Sandbox) -> Line:
    """A connection that is on; nobody has approved a key of either far side."""
    administrator = factories.person("ada@acme.example", factories.account())
    return factories.line(sandbox, administrator, approved=False)


def approve_by_test(client: Client, line: Line, side: str) -> CheckRun:
    """Test one side, as its page does, and approve the key that it shows."""
    subject = (
        {"store": line.store} if side == "store" else {"warehouse": line.warehouse}
    )
    test = CheckRun(account=line.account, requested_by=line.person, **subject)
    checks.execute(checks.start(test).pk, subjects.findings)
    test.refresh_from_db()
    [offered] = [r["host_key"] for r in test.results if r.get("host_key")]
    url = reverse("connections:check_approve", args=[test.public_id, offered])
    assert client.post(url).status_code == 302
    return CheckRun.objects.latest("pk")


@pytest.mark.parametrize("side", ["warehouse", "store"])
def test_h3_what_stopped_at_the_key_is_queued_by_its_approval(
    line: Line, side: str
) -> None:
    """No wait for the schedule: the run is due at once, and the test runs again."""
    other = (
        line.drop.endpoint if side == "warehouse" else line.warehouse.file_exchange.host
    )
    factories.approve_host_key(line.account, other, by=line.person)
    stopped = run_now(line.stock, "stock_changes")
    assert (stopped.error_code, stopped.error_side) == ("host_key_unknown", side)
    SyncRun.objects.exclude(pk=stopped.pk).delete()

    again = approve_by_test(log_in(line.person), line, side)
    assert again.state == "queued"
    queued = SyncRun.objects.filter(state="queued", trigger="change")
    assert set(queued.values_list("job", flat=True)) == {
        "stock_changes",
        "orders_import",
    }
    assert {run.state for run in drain()} == {"succeeded"}
    assert len(line.dropped()) == 1
    checks.execute(again.pk, subjects.findings)
    again.refresh_from_db()
    assert again.state == "passed"


def test_h3_a_connection_that_is_off_stays_off(line: Line) -> None:
    """dropstream.md §9, row 3: nothing runs until it is enabled."""
    line.connection.enabled_at = None
    line.connection.save(update_fields=["enabled_at"])
    SyncRun.objects.all().delete()
    approve_by_test(log_in(line.person), line, "store")
    assert HostKey.objects.approved().count() == 1
    assert not SyncRun.objects.exists()


def test_e10_an_approval_that_may_not_test_again_says_so(line: Line) -> None:
    """The key is approved all the same; the box tells what to do, not nothing."""
    for _ in range(checks.PER_MINUTE - 1):
        checks.start(
            CheckRun(
                account=line.account, requested_by=line.person, warehouse=line.warehouse
            )
        )
    test = CheckRun(account=line.account, requested_by=line.person, store=line.store)
    checks.execute(checks.start(test).pk, subjects.findings)
    test.refresh_from_db()
    [offered] = [r["host_key"] for r in test.results if r.get("host_key")]
    url = reverse("connections:check_approve", args=[test.public_id, offered])
    client = log_in(line.person)
    box = client.post(url, headers={"HX-Request": "true"}).content.decode()
    assert "That was the tenth test in a minute." in box
    assert "The key is approved. Test the connection again." in box
    assert "Approve this key" not in box
    assert HostKey.objects.approved().count() == 1
