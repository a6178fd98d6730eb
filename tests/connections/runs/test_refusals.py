"""What stops a run is named on it, and nothing stored is lost (issue 2, "done when")."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from connections.models import Activity, Channel, Delivery, StockLevel, SyncRun
from connections.wire import outbound
from dropstream.sandbox.http_server import Request, Response
from stores.models import HostKey
from tests import factories
from tests.engine import run_now
from tests.factories import Line


def stock(line: Line) -> SyncRun:
    return run_now(line.stock, "stock_changes")


def orders(line: Line) -> SyncRun:
    return run_now(line.orders, "orders_import")


def attempts_to_log_in(line: Line, side: str) -> int:
    return len(line.sandbox.journal.of("auth", side=side))


def test_an_unknown_host_key_is_offered_and_nothing_is_sent(line: Line) -> None:
    """H1: no credential before somebody approved the fingerprint."""
    HostKey.objects.filter(host=line.drop.endpoint).delete()
    run = stock(line)
    assert (run.state, run.error_code) == ("needs_person", "host_key_unknown")
    assert attempts_to_log_in(line, "ip") == 0
    offered = HostKey.objects.get(host=line.drop.endpoint)
    assert offered.approved_at is None
    told = Activity.objects.get(event="run_stopped").facts
    assert told == {"job": "stock_changes", "code": "host_key_unknown"}
    factories.approve_host_key(line.account, line.drop.endpoint, by=line.person)
    assert stock(line).state == "succeeded"


def test_a_changed_host_key_stops_the_run(line: Line) -> None:
    """H2, D14."""
    assert stock(line).state == "succeeded"
    line.report("inv_9.csv", "sku,facility,available\nSKU-00001,RENO,6\n")
    seen = attempts_to_log_in(line, "ip")
    line.sandbox.rotate_host_key("ip")
    run = stock(line)
    assert (run.state, run.error_code) == ("needs_person", "host_key_changed")
    assert attempts_to_log_in(line, "ip") == seen
    keys = HostKey.objects.of(line.account.pk, line.drop.endpoint, 22)
    assert (keys.approved().count(), keys.pending().count()) == (1, 1)
    assert line.stock.sent_through == 1


def test_another_accounts_approval_does_not_count(line: Line) -> None:
    """H5: trust is an account's own."""
    other = factories.account("Other 3PL")
    HostKey.objects.filter(host=line.drop.endpoint).update(account=other)
    assert stock(line).error_code == "host_key_unknown"


def test_a_key_that_is_not_registered_is_refused(line: Line) -> None:
    """D15."""
    line.sandbox.ip.accounts["123456"].drops.clear()
    run = stock(line)
    assert (run.state, run.error_code) == ("needs_person", "auth_refused")
    assert StockLevel.objects.count() == 6
    assert Delivery.objects.get().state == "built"


def test_a_wrong_warehouse_password_is_refused(line: Line) -> None:
    line.far_warehouse.password = "another"
    run = stock(line)
    assert (run.state, run.error_code) == ("needs_person", "auth_refused")
    assert "another" not in run.error_detail


@pytest.mark.parametrize("status", [401, 403])
def test_a_wrong_api_key_is_refused_once(line: Line, status: int) -> None:
    """I1: no retry storm."""
    line.sandbox.ip.api.refusal_status = status
    factories.change_store(line.store, api_key="0" * 64)
    run = orders(line)
    assert (run.state, run.error_code) == ("needs_person", "api_key_refused")
    assert len(line.sandbox.ip.requests) == 1
    assert "0" * 64 not in run.error_detail


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (Response(403, b"<html>no</html>", "text/html"), "api_unexpected_answer"),
        (Response(200, b"<html>hi</html>", "text/html"), "api_unexpected_answer"),
        (Response(200, b""), "api_unexpected_answer"),
        (Response(200, b'{"purchase-orders": ['), "api_unexpected_answer"),
        (Response(200, b'{"purchase-orders": 3}'), "api_unexpected_answer"),
        (Response(200, b"[]"), "api_unexpected_answer"),
        (Response(503, b"{}"), "api_server_error"),
        (Response(drop=True), "network_lost"),
        (Response(429, b"{}", headers={"Retry-After": "60"}), "api_throttled"),
    ],
)
def test_an_answer_that_is_none_is_never_taken_for_no_orders(
    line: Line, answer: Response, code: str
) -> None:
    """I2, I5, I6: tried again later, nothing changes meanwhile."""

    def script(_request: Request) -> Response:
        return answer

    line.sandbox.ip.answers.append(script)
    run = orders(line)
    assert (run.state, run.error_code) == ("queued", code)


def resolver(address: str | None) -> Callable[..., list[tuple[Any, ...]]]:
    """A DNS that knows one answer for every name, or none at all."""

    def resolve(*_args: object, **_kwargs: object) -> list[tuple[Any, ...]]:
        if address is None:
            raise OSError("Name or service not known")
        return [(2, 1, 6, "", (address, 22))]

    return resolve


@pytest.mark.parametrize(
    ("address", "code", "state"),
    [
        (None, "name_not_found", "queued"),
        ("10.0.0.7", "address_blocked", "needs_person"),
        ("127.0.0.1", "address_blocked", "needs_person"),
        ("169.254.169.254", "address_blocked", "needs_person"),
    ],
)
def test_an_endpoint_without_a_public_address_is_not_dialled(
    line: Line,
    monkeypatch: pytest.MonkeyPatch,
    address: str | None,
    code: str,
    state: str,
) -> None:
    """E2, D13: the world's DNS is what is replaced."""
    defaults = outbound.open_socket.__kwdefaults__
    assert defaults is not None
    monkeypatch.setitem(defaults, "resolve", resolver(address))
    factories.change_store(line.store, sftp_endpoint="sftp.somewhere.example")
    run = stock(line)
    assert (run.state, run.error_code) == (state, code)
    assert StockLevel.objects.count() == 6
    assert line.stock.sent_through == 0


def test_a_stock_folder_that_is_not_there_is_named(line: Line) -> None:
    """inventory-planner.md §4.3: never made, never guessed."""
    (line.drop.folder / "variant_warehouse").rename(line.drop.folder / "elsewhere")
    run = stock(line)
    assert (run.state, run.error_code) == ("needs_person", "stock_folder_unknown")
    assert "elsewhere" in run.error_detail


def test_a_secret_of_another_sealing_key_is_named(line: Line, settings: Any) -> None:
    """K5: after a rotation that lost a key."""
    settings.SEALING_KEYS = "k2:" + "QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE="
    assert stock(line).error_code == "secret_unreadable"


def test_a_warehouse_without_settings_is_named(line: Line) -> None:
    line.warehouse.file_exchange.delete()
    run = stock(line)
    assert (run.state, run.error_code) == ("needs_person", "warehouse_settings_missing")


@pytest.mark.parametrize("missing", ["api_key_missing", "account_id_missing"])
def test_orders_wait_for_their_credentials_without_an_error(
    line: Line, missing: str
) -> None:
    row = line.store.inventory_planner
    if missing == "api_key_missing":
        row.sealed_api_key = None
    else:
        row.ip_account = ""
    row.save()
    run = orders(line)
    assert (run.state, run.counts["waiting_for"]) == ("succeeded", missing)
    assert not line.sandbox.ip.requests
    assert Channel.objects.live().count() == 2
