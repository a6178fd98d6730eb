"""The sandbox under a soak: as many merchants as wanted, and a journal on disk."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from dropstream.sandbox import Sandbox
from tests.sandbox.far_side import (
    drop,
    in_own_loop,
    new_key,
    post_form,
    public_line,
    put,
)


def test_more_merchants_have_log_ins_accounts_and_endpoints(tmp_path: Path) -> None:
    with Sandbox(tmp_path, skus=3, more_merchants=30, sync_s=None) as sandbox:
        facts = sandbox.facts
        people = {facts[f"m{n:03}"]["account_id"] for n in range(1, 31)}
        assert len(people) == 30
        endpoints = {
            sandbox.ip.connect(who, public_line(new_key())).endpoint for who in people
        }
        assert len(endpoints) == 30
        assert endpoints <= {
            entry.partition("=")[0] for entry in facts["outbound_hosts"].split(",")
        }


def test_a_merchant_makes_an_order_on_the_page(tmp_path: Path) -> None:
    with Sandbox(tmp_path, skus=5, sync_s=None) as sandbox:
        before = len(sandbox.ip.accounts["654321"].orders)
        answer = post_form(sandbox, "/ip/order", account="654321")
        assert answer.status == 200
        *_, made = sandbox.ip.accounts["654321"].orders
        assert len(sandbox.ip.accounts["654321"].orders) == before + 1
        assert (made["reference"], made["status"]) == ("1046", "ORDERED")
        assert len(made["items"]) == 3


def test_the_journal_on_disk_tells_what_appeared(tmp_path: Path) -> None:
    file = tmp_path / "journal.jsonl"
    key = new_key()
    with Sandbox(tmp_path / "state", skus=3, sync_s=None, journal_file=file) as sandbox:
        endpoint = sandbox.ip.connect("654321", public_line(key)).endpoint

        async def upload() -> None:
            async with drop(sandbox, key) as sftp:
                await put(sftp, "/variant_warehouse/a.csv", "abc")

        in_own_loop(upload())
    events = [json.loads(line) for line in file.read_text().splitlines()]
    [seen] = [event for event in events if event["op"] == "appeared"]
    assert seen["who"] == endpoint
    assert seen["path"] == "/variant_warehouse/a.csv"
    assert (seen["size"], seen["digest"]) == (3, hashlib.sha256(b"abc").hexdigest())
