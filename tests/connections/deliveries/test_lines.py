"""Lines that are bad, busy or dead: one file in the end, or none, and in time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
from django.db import connection as database
from django.utils import timezone
from pytest_django import Settings

from connections.deliveries.names import new_name
from connections.models import Delivery, SyncRun
from connections.runs import execute
from connections.tasks import WORK
from connections.wire.errors import WireError
from connections.wire.sftp import Sftp
from connections.wire.ssh import Deadline, connect
from tests import factories
from tests.engine import enqueue, run_now
from tests.factories import Line
from tests.lab import clock
from tests.lab.proxy import Proxy, Way
from tests.lab.script import Hold, at_step
from tests.lab.wire_servers import SftpServer, policy_for

LONGEST_S = 60
LARGE = b"x" * 4_000_000
STEP_BYTES = 4096
ROWS = 800  # some 28 kB, after 4 kB of handshake


def dial_through(line: Line, proxy: Proxy, settings: Settings) -> None:
    """Let the product reach Inventory Planner's drop by the proxy alone."""
    port = line.sandbox.ip.ssh.port
    settings.OUTBOUND_HOSTS = settings.OUTBOUND_HOSTS.replace(
        f"{line.drop.endpoint}=127.0.0.1:{port}",
        f"{line.drop.endpoint}=127.0.0.1:{proxy.port}",
    )


def test_a_line_cut_at_any_4_kib_ends_as_one_file(
    line: Line, settings: Settings
) -> None:
    """D1: whatever byte of the conversation is the last one that gets through."""
    line.clear_reports()
    errors = set()
    with Proxy(line.sandbox.ip.ssh.port) as proxy:
        dial_through(line, proxy, settings)
        byte = 0
        while True:
            byte += STEP_BYTES
            rows = "".join(f"SKU-{n:05d},RENO,{byte + n}\n" for n in range(ROWS))
            line.report(f"inv_{byte:06d}.csv", "sku,facility,available\n" + rows)
            proxy.cut_at(Way.UP, byte)
            run = run_now(line.stock, "stock_changes")
            if run.state == "succeeded":
                break  # the conversation is shorter than that
            errors.add(run.error_code)
            assert len(line.dropped()) <= 1
            SyncRun.objects.filter(pk=run.pk).update(due_at=timezone.now())
            execute.execute(run.pk, WORK)
            [content] = line.dropped()
            delivery = Delivery.objects.latest("pk")
            assert (delivery.state, delivery.size) == ("delivered", len(content))
            line.sandbox.ip.sync_now("123456")
    assert byte > 8 * STEP_BYTES
    assert errors <= {"network_lost", "handshake_failed"}


def upload(sftp: Sftp, after_a_bit: Callable[[], None]) -> None:
    sftp.upload("a.csv", [LARGE], on_progress=lambda _answered: after_a_bit())


def read(sftp: Sftp, after_a_bit: Callable[[], None]) -> None:
    for _piece in sftp.read("b.csv", limit=len(LARGE)):
        after_a_bit()


@pytest.mark.parametrize("move", [upload, read])
def test_a_peer_that_vanished_ends_by_the_deadline(
    tmp_path: Path, move: Callable[[Sftp, Callable[[], None]], None]
) -> None:
    """D11: the line says nothing more, neither bytes nor an end."""
    (tmp_path / "b.csv").write_bytes(LARGE)
    with SftpServer(tmp_path) as lab, Proxy(lab.port) as proxy:
        target = lab.target(policy=policy_for(proxy.port))
        started, cpu = time.monotonic(), time.thread_time()
        with (
            pytest.raises(WireError) as ended,
            connect(target, deadline=Deadline(1.5)) as sftp,
        ):
            move(sftp, proxy.fall_silent)
        assert ended.value.code == "deadline_exceeded"
        assert 1 < time.monotonic() - started < 15
        assert time.thread_time() - cpu < 1


def test_rekeying_on_a_slow_line_does_no_harm(tmp_path: Path) -> None:
    """D12: a low rekey limit, 60 ms and 8 Mbit/s; large windows are under way."""
    data = bytes(range(256)) * 6000
    with (
        SftpServer(tmp_path, rekey_bytes=200_000) as lab,
        Proxy(lab.port, rtt_s=0.06, bytes_per_s=1_000_000) as proxy,
        connect(
            lab.target(policy=policy_for(proxy.port)), deadline=Deadline(60)
        ) as sftp,
    ):
        sftp.upload("a.csv", [data])
        assert b"".join(sftp.read("a.csv", limit=len(data))) == data
    assert (tmp_path / "a.csv").read_bytes() == data


def test_a_host_that_moved_is_reached_and_its_key_still_decides(
    line: Line, settings: Settings
) -> None:
    """D13: another address with the same key is the same server; with another, not."""
    with Proxy(line.sandbox.ip.ssh.port) as moved:
        dial_through(line, moved, settings)
        assert run_now(line.stock, "stock_changes").state == "succeeded"
        assert moved.connections == 1
        line.sandbox.rotate_host_key("ip")
        run = run_now(line.stock, "stock_full")
    assert (run.state, run.error_code) == ("needs_person", "host_key_changed")


def test_ten_tasks_together_are_one_upload_over_one_session(line: Line) -> None:
    """D16, D19: all jobs of a store, two connections of it, rung twice each."""
    second = factories.connection(
        line.store, factories.warehouse(line.warehouse.merchant, code="WH2")
    )
    upload = enqueue(line.stock, "stock_changes")
    others = [
        enqueue(line.stock, "stock_full"),
        enqueue(line.orders, "orders_import"),
        enqueue(line.orders, "orders_status"),
        enqueue(second.channels.get(type="inventory"), "stock_changes"),
    ]
    hold = Hold()
    at_step(line.sandbox.ip.sftp_faults, "wrote", hold)

    def work(run: SyncRun) -> None:
        try:
            execute.execute(run.pk, WORK)
        finally:
            database.close()

    with ThreadPoolExecutor(max_workers=10) as pool:
        first = pool.submit(work, upload)
        hold.wait()
        seen = len(line.sandbox.journal.of("login"))
        assert len(line.sandbox.journal.of("login", side="ip")) == 1
        rung = [pool.submit(work, run) for run in [upload, *others, upload, *others]]
        for done in rung[:9]:
            done.result(LONGEST_S)
        assert len(line.sandbox.journal.of("login")) == seen
        hold.go_on()
        first.result(LONGEST_S)
    assert len(line.opened("open_write")) == 1
    upload.refresh_from_db()
    assert (upload.state, upload.attempts) == ("succeeded", 1)
    for run in others:
        run.refresh_from_db()
        assert (run.state, run.attempts) == ("queued", 0)


def test_a_thousand_names_in_a_tight_loop_are_all_distinct() -> None:
    """D20: also at one and the same moment, in four threads."""
    names: list[str] = []
    gate = threading.Barrier(4)

    def make() -> None:
        gate.wait(LONGEST_S)
        names.extend(new_name("variant_warehouse") for _ in range(250))

    with clock.stopped(timezone.now()), ThreadPoolExecutor() as pool:
        for done in [pool.submit(make) for _ in range(4)]:
            done.result(LONGEST_S)
    assert len(set(names)) == 1000


@pytest.mark.parametrize(
    "jump", [timedelta(hours=-2), timedelta(days=1)], ids=["back", "forward"]
)
def test_a_clock_that_jumps_between_two_files_orders_nothing_anew(
    line: Line, jump: timedelta
) -> None:
    """D22: the change number decides what is newer, and the far side reads in order."""
    run_now(line.stock, "stock_changes")
    line.report("inv_9.csv", "sku,facility,available\nSKU-00001,RENO,6\n")
    with clock.shifted(jump):
        assert run_now(line.stock, "stock_changes").state == "succeeded"
    first, second = Delivery.objects.order_by("pk")
    assert first.upper_bound < second.upper_bound == line.stock.sent_through
    line.report("inv_10.csv", "sku,facility,available\nSKU-00001,RENO,7\n")
    run = run_now(line.stock, "stock_changes")
    assert (run.state, run.counts["rows_sent"]) == ("succeeded", 1)
