"""What was uploaded is looked up after the nightly sync (D18), the cut-off kept (D21)."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from asyncssh import SFTPFailure
from django.db.models import F
from django.utils import timezone
from pytest_django import Settings

from connections.models import Activity, Alert, Channel, Delivery, Schedule, SyncRun
from connections.runs import execute
from connections.stock import intake, proof
from connections.tasks import WORK, tick
from dropstream.sandbox.http_server import json_response
from dropstream.sandbox.ip_columns import FOLDERS
from stores.models import Account, Store
from tests import factories
from tests.engine import run_now
from tests.factories import Line
from tests.lab import failpoints
from tests.lab.script import at_step, refuse

ACCOUNT = "123456"
STOCK = "sku,facility,available\n"
Proof = Delivery.Proof


@pytest.fixture
def uploaded(line: Line) -> Delivery:
    """A file of two SKUs that Inventory Planner knows, not read there yet."""
    line.clear_reports()
    line.report("inv_1.csv", STOCK + "SKU-00001,RENO,5\nSKU-00002,RENO,2.5\n")
    run_now(line.stock, "stock_changes")
    Schedule.objects.update(next_due_at=None)
    return Delivery.objects.get()


def look_up(*, nights: int = 1) -> SyncRun:
    """Let the time of the look have come, and look as workers do."""
    for _night in range(nights):
        waiting = Delivery.objects.filter(proof_due_at__isnull=False)
        waiting.update(proof_due_at=timezone.now() - timedelta(seconds=1))
        proof.ask()
        queued = SyncRun.objects.filter(job="stock_proof", state=SyncRun.State.QUEUED)
        for run in list(queued):
            execute.execute(run.pk, WORK)
            run.refresh_from_db()
            assert (run.state, run.error_code) == ("succeeded", "")
    return run


def open_alerts() -> list[tuple[str, str]]:
    return list(Alert.objects.open().values_list("code", "detail"))


def test_a_file_that_was_read_is_confirmed(line: Line, uploaded: Delivery) -> None:
    """D18: uploaded, then proved; one look is enough."""
    assert (uploaded.proof, uploaded.proved_at) == (Proof.WAITING, None)
    line.sandbox.ip.sync_now(ACCOUNT)
    run = look_up()
    assert run.counts == {"files_confirmed": 1}
    uploaded.refresh_from_db()
    assert (uploaded.proof, uploaded.proof_due_at) == (Proof.CONFIRMED, None)
    assert uploaded.proved_at is not None
    assert uploaded.proof_facts == {"asked": 2, "shown": 2, "differ": []}
    assert Activity.objects.filter(event="stock_confirmed").count() == 1
    proof.ask()
    assert not SyncRun.objects.unfinished().exists()
    assert open_alerts() == []


def test_a_file_that_was_skipped_without_a_word_is_not_confirmed(
    line: Line, uploaded: Delivery, monkeypatch: pytest.MonkeyPatch
) -> None:
    """D18: told with what differs; the next night's proof closes it."""
    whole = FOLDERS["variant_warehouse"]
    known = {name: kind for name, kind in whole.required.items() if name != "REMOVED"}
    with monkeypatch.context() as stricter:
        stricter.setitem(FOLDERS, "variant_warehouse", replace(whole, required=known))
        [report] = line.sandbox.ip.sync_now(ACCOUNT)
    assert report.outcome == "skipped"
    look_up()
    uploaded.refresh_from_db()
    assert uploaded.proof == Proof.NOT_CONFIRMED
    assert sorted(uploaded.proof_facts.pop("differ")) == [
        ["SKU-00001", "5", "0"],
        ["SKU-00002", "2.5", "0"],
    ]
    assert uploaded.proof_facts == {"asked": 2, "shown": 0}
    assert open_alerts() == [("not_confirmed", uploaded.name)]
    assert Activity.objects.filter(event="stock_not_confirmed").exists()

    run_now(line.stock, "stock_full")
    line.sandbox.ip.sync_now(ACCOUNT)
    look_up()
    assert set(Delivery.objects.values_list("proof", flat=True)) == {Proof.CONFIRMED}
    assert open_alerts() == []


def test_one_row_that_was_dropped_is_named(line: Line) -> None:
    """Stock of an id that it does not know is ignored there."""
    line.clear_reports()
    line.report("inv_1.csv", STOCK + "SKU-00001,RENO,5\nNOBODY-KNOWS,RENO,2\n")
    run_now(line.stock, "stock_changes")
    line.sandbox.ip.sync_now(ACCOUNT)
    look_up()
    facts = Delivery.objects.get().proof_facts
    assert facts == {
        "asked": 2,
        "shown": 1,
        "differ": [["NOBODY-KNOWS", "2", None]],
    }


def test_figures_that_changed_since_say_nothing(line: Line, uploaded: Delivery) -> None:
    """A later file of the same night has overwritten them."""
    line.report("inv_2.csv", STOCK + "SKU-00001,RENO,6\n")
    run_now(line.stock, "stock_changes")
    line.sandbox.ip.sync_now(ACCOUNT)
    look_up()
    first, second = Delivery.objects.order_by("pk")
    assert (first.proof, first.proof_facts["asked"]) == (Proof.CONFIRMED, 1)
    assert second.proof == Proof.CONFIRMED


def test_a_file_of_which_all_has_changed_cannot_be_told(
    line: Line, uploaded: Delivery
) -> None:
    line.report("inv_2.csv", STOCK + "SKU-00001,RENO,6\nSKU-00002,RENO,7\n")
    run_now(line.stock, "stock_changes")
    line.sandbox.ip.sync_now(ACCOUNT)
    look_up()
    uploaded.refresh_from_db()
    assert uploaded.proof == Proof.CANNOT_TELL
    assert uploaded.proof_facts["why"] == "overtaken"
    assert open_alerts() == []


def test_two_warehouses_of_a_store_add_up(line: Line, uploaded: Delivery) -> None:
    """The API tells one figure for all warehouses of a variant."""
    line.sandbox.ip.accounts[ACCOUNT].warehouses.add("WH2")
    other = factories.warehouse(
        line.warehouse.merchant,
        line.sandbox.facts["try"]["connection_string"],
        code="WH2",
    )
    factories.approve_host_key(line.account, other.file_exchange.host, by=line.person)
    second = factories.connection(line.store, other)
    folder = line.sandbox.warehouse.users["try"].outgoing
    for path in folder.iterdir():
        path.unlink()
    (folder / "inv_1.csv").write_text(STOCK + "SKU-00001,ELKO,100\n")
    run_now(second.channels.get(type=Channel.Type.INVENTORY), "stock_changes")
    line.sandbox.ip.sync_now(ACCOUNT)
    look_up()
    assert set(Delivery.objects.values_list("proof", flat=True)) == {Proof.CONFIRMED}


def test_an_api_that_is_away_is_asked_again_and_stops_no_stock(
    line: Line, uploaded: Delivery
) -> None:
    """Neither the channel's gate nor its alerts hear of it; in the end nobody can tell."""
    line.sandbox.ip.sync_now(ACCOUNT)
    line.sandbox.ip.answers.append(lambda _request: json_response({}, 503))
    look_up(nights=6)
    uploaded.refresh_from_db()
    assert uploaded.proof == Proof.WAITING
    assert uploaded.proof_due_at is not None
    assert uploaded.proof_due_at > timezone.now() + timedelta(minutes=50)
    line.stock.refresh_from_db()
    assert line.stock.gate_until is None
    assert open_alerts() == []
    Delivery.objects.update(delivered_at=F("delivered_at") - proof.PATIENCE)
    look_up()
    uploaded.refresh_from_db()
    assert uploaded.proof == Proof.CANNOT_TELL
    assert uploaded.proof_due_at is None
    assert uploaded.proof_facts["why"] == "api_server_error"


def test_a_list_that_ignores_the_filter_proves_nothing(
    line: Line, uploaded: Delivery
) -> None:
    """inventory-planner.md §2.4: unknown filters are most likely ignored."""
    others = [{"id": f"c1_X{n}", "sku": f"X{n}", "in_stock": 1} for n in range(3)]
    line.sandbox.ip.answers.append(lambda _request: json_response({"variants": others}))
    look_up()
    uploaded.refresh_from_db()
    assert uploaded.proof == Proof.CANNOT_TELL
    assert uploaded.proof_facts["why"] == "not_shown"


def test_whoever_cannot_wait_for_the_sync_does_no_harm(
    line: Line, uploaded: Delivery
) -> None:
    """Before it a difference means nothing."""
    due_at = uploaded.proof_due_at
    run_now(line.stock, "stock_proof")
    uploaded.refresh_from_db()
    assert uploaded.proof == Proof.WAITING
    assert uploaded.proof_due_at == due_at
    assert (uploaded.proof_facts["early"], uploaded.proof_facts["shown"]) == (True, 0)
    assert open_alerts() == []
    line.sandbox.ip.sync_now(ACCOUNT)
    run_now(line.stock, "stock_proof")
    uploaded.refresh_from_db()
    assert uploaded.proof == Proof.CONFIRMED


def test_a_store_whose_key_is_missing_is_not_asked(line: Line) -> None:
    line.store.inventory_planner.sealed_api_key = None
    line.store.inventory_planner.save()
    run_now(line.stock, "stock_changes")
    uploaded = Delivery.objects.get()
    assert (uploaded.proof, uploaded.proof_due_at) == (Proof.NONE, None)


# --- The cut-off


def test_a_file_still_on_its_way_at_the_cut_off_is_told_once(line: Line) -> None:
    """D21: it goes on, and says that tomorrow night's sync reads it."""
    at_step(line.sandbox.ip.sftp_faults, "write", refuse(SFTPFailure("quota exceeded")))
    run_now(line.stock, "stock_changes")
    Schedule.objects.update(next_due_at=None)
    late = Delivery.objects.get()
    assert late.upload_by is not None
    assert late.upload_by > timezone.now()
    Delivery.objects.update(upload_by=timezone.now() - timedelta(seconds=1))
    for _ in range(2):
        tick()
    assert open_alerts() == [("cut_off_missed", late.name)]
    assert Activity.objects.filter(event="cut_off_missed").count() == 1
    late.refresh_from_db()
    assert late.upload_by > timezone.now()

    run_now(line.stock, "stock_changes")
    line.sandbox.ip.sync_now(ACCOUNT)
    look_up()
    late.refresh_from_db()
    assert (late.state, late.proof) == ("delivered", Proof.CONFIRMED)
    assert open_alerts() == []


def test_an_upload_that_ends_after_its_cut_off_says_so(line: Line) -> None:
    """D21: no tick came in between."""

    def pass_cut_off() -> None:
        Delivery.objects.update(upload_by=timezone.now() - timedelta(seconds=1))

    with failpoints.at("delivery.announced", pass_cut_off):
        run_now(line.stock, "stock_changes")
    late = Delivery.objects.get()
    assert open_alerts() == [("cut_off_missed", late.name)]
    assert late.upload_by is not None
    assert late.upload_by > timezone.now()


NIGHT = "2026-11-26"


@pytest.mark.parametrize(
    ("zone", "sync_at", "uploaded_at", "upload_by", "read_at"),
    [
        (
            "Europe/Berlin",
            "02:00",
            f"{NIGHT}T20:00",
            "2026-11-27T00:58",
            "2026-11-27T02:00",
        ),
        (
            "Europe/Berlin",
            "02:00",
            "2026-11-27T00:58",
            "2026-11-28T00:58",
            "2026-11-28T02:00",
        ),
        (
            "America/New_York",
            "00:30",
            f"{NIGHT}T20:00",
            f"{NIGHT}T23:28",
            "2026-11-27T00:30",
        ),
        # The clock skips two o'clock: the sync follows at three (D22).
        (
            "Europe/Berlin",
            "02:00",
            "2026-03-28T20:00",
            "2026-03-29T00:58",
            "2026-03-29T03:00",
        ),
        # It shows two o'clock twice: the first one counts.
        (
            "Europe/Berlin",
            "02:00",
            "2026-10-24T20:00",
            "2026-10-25T00:58",
            "2026-10-25T02:00",
        ),
    ],
)
def test_the_cut_off_is_an_hour_before_the_sync_on_the_accounts_clock(
    line: Line, zone: str, sync_at: str, uploaded_at: str, upload_by: str, read_at: str
) -> None:
    """inventory-planner.md §4.2, and two minutes for the file's own way."""
    factories.change_store(line.store, sync_at=sync_at, sync_zone=zone)
    clock = ZoneInfo(zone)
    at = datetime.fromisoformat(uploaded_at).replace(tzinfo=clock)
    found = intake.following(line.store, at.astimezone(UTC))

    def shown(moment: datetime) -> str:
        return moment.astimezone(clock).strftime("%Y-%m-%dT%H:%M")

    assert (shown(found.upload_by), shown(found.at)) == (upload_by, read_at)


def test_the_accounts_own_zone_is_taken_when_none_is_set(line: Line) -> None:
    Account.objects.update(time_zone="Asia/Tokyo")
    assert (
        intake.following(Store.objects.get(), timezone.now()).zone.key == "Asia/Tokyo"
    )


def test_each_part_of_a_large_update_is_proved(line: Line, settings: Settings) -> None:
    """The last part alone carries the update's change number."""
    settings.STOCK_FILE_ROWS = 1
    line.clear_reports()
    line.report("inv_1.csv", STOCK + "SKU-00001,RENO,5\nSKU-00002,RENO,2.5\n")
    run_now(line.stock, "stock_changes")
    line.sandbox.ip.sync_now(ACCOUNT)
    look_up()
    proofs = Delivery.objects.values_list("part", "parts", "proof")
    assert sorted(proofs) == [(1, 2, Proof.CONFIRMED), (2, 2, Proof.CONFIRMED)]
