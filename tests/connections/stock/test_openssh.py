"""Stock, from the warehouse's report to the drop of a real OpenSSH server."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pytest_django import Settings

from connections.models import Alert, Delivery, SyncRun
from stores.ssh_keys import current_key
from tests import factories
from tests.engine import due, run_now
from tests.factories import Line
from tests.lab.openssh import KEYGEN, SSHD, openssh

pytestmark = [
    pytest.mark.skipif(not (SSHD and KEYGEN), reason="no OpenSSH server here"),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root may change the root"),
]
HOST = "drop.openssh.example"
ROWS = 4_000  # some 180 kB, several writes


@dataclass
class RealDrop:
    """A folder that servers serve one after the other, under one name."""

    work: Path
    line: Line
    settings: Settings

    @property
    def folder(self) -> Path:
        return self.work / "drop" / "variant_warehouse"

    def files(self) -> list[bytes]:
        return [path.read_bytes() for path in sorted(self.folder.iterdir())]

    @contextmanager
    def served(self, **options: Any) -> Iterator[None]:
        with openssh(self.work, chroot=True, **options) as server:
            hosts = self.settings.OUTBOUND_HOSTS
            self.settings.OUTBOUND_HOSTS = f"{hosts},{HOST}=127.0.0.1:{server.port}"
            try:
                yield
            finally:
                self.settings.OUTBOUND_HOSTS = hosts

    def push(self, **options: Any) -> SyncRun:
        """Run the stock job while such a server serves."""
        with self.served(**options):
            return run_now(self.line.stock, "stock_changes")

    def assert_one_right_file(self) -> None:
        delivery = Delivery.objects.exclude(state="superseded").get()
        assert (delivery.state, delivery.rows) == ("delivered", ROWS)
        [content] = self.files()
        assert hashlib.sha256(content).hexdigest() == delivery.sha256
        assert self.line.stock.sent_through == delivery.upper_bound


@pytest.fixture
def drop(line: Line, settings: Settings) -> Iterator[RealDrop]:
    """The store's key is registered there, its host key approved."""
    # A changed root must not lie beneath a folder that everybody may write to.
    work = Path(tempfile.mkdtemp(prefix="ds-test-", dir="/run"))
    try:
        drop = RealDrop(work, line, settings)
        drop.folder.mkdir(parents=True)
        line.clear_reports()
        rows = "".join(f"SKU-{n:05d},RENO,{n}\n" for n in range(ROWS))
        line.report("inv_1.csv", "sku,facility,available\n" + rows)
        factories.change_store(line.store, sftp_endpoint=f"root@{HOST}")
        with drop.served():
            factories.approve_host_key(line.account, HOST, by=line.person)
        register(drop, current_key(line.store).public_key)
        yield drop
    finally:
        shutil.rmtree(work)


def register(drop: RealDrop, public_key: str) -> None:
    (drop.work / "authorized").write_text(public_key + "\n")


def test_a_file_arrives_whole(drop: RealDrop) -> None:
    run = drop.push()
    assert (run.state, run.error_code) == ("succeeded", "")
    drop.assert_one_right_file()


def test_d15_a_key_that_is_not_registered(drop: RealDrop) -> None:
    public_key = (drop.work / "authorized").read_text()
    register(drop, "")
    run = drop.push()
    assert (run.state, run.error_code) == ("needs_person", "auth_refused")
    register(drop, public_key)
    drop.push()
    drop.assert_one_right_file()


def test_d14_a_host_key_that_changed(drop: RealDrop) -> None:
    """Nothing is sent until a person has approved it."""
    kept = (drop.work / "host_key").rename(drop.work / "kept")
    run = drop.push()
    assert (run.state, run.error_code) == ("needs_person", "host_key_changed")
    assert drop.files() == []
    kept.rename(drop.work / "host_key")
    drop.push()
    drop.assert_one_right_file()


def test_d6_a_permission_that_is_missing(drop: RealDrop) -> None:
    """A server that lets us look and not write."""
    run = drop.push(flags="-R")
    assert (run.state, run.error_code) == ("needs_person", "permission_denied")
    assert [alert.code for alert in Alert.objects.open()] == ["permission_denied"]
    assert (drop.files(), drop.line.stock.sent_through) == ([], 0)
    drop.push()
    drop.assert_one_right_file()


def test_d5_a_disk_that_takes_no_more(drop: RealDrop) -> None:
    """ulimit -f: the server's session ends in the middle of the file."""
    run = drop.push(most_kib=64)
    assert run.state == "queued"
    assert run.error_code in ("network_lost", "disk_full", "remote_failure")
    assert drop.line.stock.sent_through == 0
    [half] = drop.files()
    assert len(half) <= 64 * 1024
    due(run)
    drop.push()
    drop.assert_one_right_file()
