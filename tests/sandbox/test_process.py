"""The sandbox as a process: ready file, restarts, what it binds and imports."""

from __future__ import annotations

import json
import signal
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from dropstream.sandbox import seed
from tests.sandbox.conftest import StartSandbox
from tests.sandbox.far_side import (
    ApiClient,
    ask,
    drop,
    folder,
    in_own_loop,
    new_key,
    order_file,
    public_line,
    put,
    stock_file,
)

ROOT = Path(__file__).resolve().parents[2]


def wait_for(check: Any, seconds: float = 60.0) -> None:
    """Wait until ``check()`` is true; fail after some seconds."""
    end = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.02)


@pytest.mark.parametrize("options", [[], ["--no-ip"]])
def test_command_serves_until_sigterm(tmp_path: Path, options: list[str]) -> None:
    command = [sys.executable, "-m", "dropstream.sandbox", "--state", str(tmp_path)]
    facts_file = tmp_path / "facts.json"
    with subprocess.Popen(
        [*command, "--http-port", "0", *options], cwd=ROOT
    ) as process:
        try:
            wait_for(facts_file.exists)
            facts = json.loads(facts_file.read_text())
            assert stat.S_IMODE(facts_file.stat().st_mode) == 0o600
            assert ask(f"{facts['url']}/healthz").status == 200
            assert ("api_url" in facts) is not bool(options)
            hosts = facts["outbound_hosts"].split(",")
            warehouses = [host for host in hosts if ".warehouse.sandbox." in host]
            assert len(warehouses) == len(seed.MERCHANTS)
            assert (len(hosts) > len(warehouses)) is not bool(options)
            assert hosts[0].startswith("demo.warehouse.sandbox.example=127.0.0.1:")
            text = facts["demo"]["connection_string"]
            assert text.endswith("@demo.warehouse.sandbox.example:22")
            if options:
                assert ask(f"{facts['url']}/ip/").status == 404
                assert ask(f"{facts['url']}/api/v1/purchase-orders").status == 404
                done = ask(f"{facts['url']}/report.json").json["main_job"]["done"]
                assert done is False
            else:
                assert facts["demo"]["account_id"] == "123456"
                assert len(facts["try"]["api_key"]) == 64
        finally:
            process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=10) == 0
    assert not facts_file.exists()


def test_restart_keeps_everything(start_sandbox: StartSandbox) -> None:
    """Keys, ports, passwords, drops, stock, orders: all as before."""
    key = new_key()
    first = start_sandbox()
    facts = first.facts
    connection = first.ip.connect("123456", public_line(key))
    (connection.folder / "variant_warehouse" / "a.csv").write_text(
        stock_file("SKU-00001,WH1,5")
    )
    first.ip.sync_now("123456")
    api = ApiClient(first)
    body = {"purchase-order": {"status": "CLOSED"}}
    api.send("PATCH", f"purchase-orders/{api.order('1042')['id']}", body)
    user = first.warehouse.users["demo"]
    (user.incoming / "po_1.csv").write_text(order_file("abc", "l1,S,T,4"))
    first.warehouse.tick()
    first.stop()

    second = start_sandbox()
    assert second.facts == facts
    account = second.ip.accounts["123456"]
    assert account.stock_rows() == 1
    assert [report.name for report in account.reports] == ["a.csv"]
    assert ApiClient(second).order("1042")["status"] == "CLOSED"
    again = second.warehouse.users["demo"]
    assert again.orders == user.orders
    assert again.stock == user.stock

    async def visit() -> None:
        async with drop(second, key) as sftp:
            await put(sftp, "/variant_warehouse/b.csv", "x")

    in_own_loop(visit())
    assert second.ip.connect("123456", public_line(key)).endpoint == connection.endpoint


def test_clocks_do_everything_by_themselves(start_sandbox: StartSandbox) -> None:
    """Sync, stock changes, orders and receipts run without anybody's hand."""
    sandbox = start_sandbox(tick_s=0.02, sync_s=0.02, stock_interval_s=0.02)
    key = new_key()
    sandbox.ip.connect("123456", public_line(key))
    user = sandbox.warehouse.users["demo"]

    async def visit() -> None:
        async with drop(sandbox, key) as sftp:
            await put(sftp, "/variant_warehouse/a.csv", stock_file("SKU-00001,WH1,5"))
        async with folder(sandbox) as sftp:
            await put(sftp, "/in/.po_1.part", order_file("abc", "l1,S,T,4"))
            await sftp.posix_rename("/in/.po_1.part", "/in/po_1.csv")

    in_own_loop(visit())
    wait_for(lambda: sandbox.ip.accounts["123456"].stock_rows() == 1)
    wait_for(lambda: (user.outgoing / "rcp_1042_1.csv").exists())
    wait_for(lambda: len(list(user.outgoing.glob("inv_*.csv"))) >= 3)


def test_it_listens_on_one_loopback_address_only(
    start_sandbox: StartSandbox,
) -> None:
    sandbox = start_sandbox()
    http_port = int(sandbox.facts["url"].rpartition(":")[2])
    for port in (http_port, sandbox.ip.ssh.port, sandbox.warehouse.ssh.port):
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
        with pytest.raises((ConnectionError, TimeoutError)):
            socket.create_connection(("127.0.0.2", port), timeout=1)


def test_taken_port_is_named(start_sandbox: StartSandbox, tmp_path: Path) -> None:
    port = start_sandbox().facts["url"].rpartition(":")[2]
    command = [sys.executable, "-m", "dropstream.sandbox", "--state"]
    ended = subprocess.run(
        [*command, str(tmp_path / "other"), "--http-port", port],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert ended.returncode == 1
    assert "cannot start" in ended.stderr


def test_it_imports_nothing_of_the_product() -> None:
    """The sandbox is a far side: no Django, nothing of ours but itself."""
    code = (
        "import sys, dropstream.sandbox.__main__\n"
        "ours = ('django', 'celery', 'connections', 'stores', 'inventory_planner')\n"
        "print([m for m in sys.modules if m.split('.')[0] in ours"
        " or m.startswith('dropstream.') and '.sandbox' not in m])"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=20,
        check=True,
    )
    assert ended.stdout.strip() == "[]"
