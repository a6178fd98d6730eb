"""An order's file of which nobody can tell whether it arrived is never sent again unasked."""

from __future__ import annotations

import pytest
from django.db import transaction

from connections.models import Alert, Delivery, PurchaseOrder
from connections.warehouses import file_exchange
from tests import factories
from tests.connections.orders.test_faults import (
    again,
    assert_handed_over_once,
    cut_once,
    one_order,
)
from tests.engine import run_now
from tests.factories import Line
from tests.lab.script import at_step

__all__ = ["one_order"]


def move_warehouse(line: Line) -> None:
    """Let staff give the warehouse another log-in: another folder, and empty."""
    other = line.sandbox.warehouse.users["try"]
    string = file_exchange.parse(other.connection_string())
    with transaction.atomic():
        file_exchange.save(line.warehouse, string, by=line.person)
    factories.approve_host_key(line.warehouse.account, string.host, by=line.person)


def assert_in_doubt(line: Line) -> None:
    """The order waits for an answer, of which people are told; it is not sent anew."""
    run = run_now(line.orders, "orders_import")
    assert (run.state, run.error_code) == ("succeeded", "")
    order, delivery = PurchaseOrder.objects.get(), Delivery.objects.get()
    assert (order.status, order.held, delivery.state) == (
        "new",
        "sent_before",
        "unknown",
    )
    alert = Alert.objects.open().get(code="order_in_doubt")
    assert (alert.detail, alert.side) == (delivery.name, "warehouse")


def test_d5_a_file_that_changes_after_its_renaming_is_no_foreign_one(
    one_order: Line,
) -> None:
    """Whoever has the name now: ours was there."""
    line = one_order
    incoming = line.far_warehouse.incoming

    def annotate() -> None:
        [file] = incoming.iterdir()
        file.write_bytes(file.read_bytes() + b"# seen\n")

    at_step(line.sandbox.warehouse.sftp_faults, "renamed", annotate, path="/in/")
    run = run_now(line.orders, "orders_import")
    assert (run.state, run.error_code) == ("queued", "size_mismatch")
    run = again(run)
    assert (run.state, run.counts["orders_in_doubt"]) == ("succeeded", 1)
    assert_in_doubt(line)
    assert [file.name for file in incoming.iterdir()] == [Delivery.objects.get().name]


def test_d4_a_hidden_file_that_is_seen_was_not_renamed_however_often(
    one_order: Line,
) -> None:
    line = one_order
    cut_once(line, "rename")
    run = run_now(line.orders, "orders_import")
    for _ in range(3):
        cut_once(line, "rename")
        run = again(run)
        assert run.error_code == "network_lost"
    assert Delivery.objects.get().announced == 1
    assert again(run).state == "succeeded"
    line.sandbox.warehouse.tick()
    assert_handed_over_once(line)


@pytest.mark.parametrize("op", ["rename", "renamed"])
def test_d4_a_renaming_proves_nothing_on_another_server(
    one_order: Line, op: str
) -> None:
    """The file is neither here nor there; on the server that had it nobody has looked."""
    line = one_order
    cut_once(line, op)
    run = run_now(line.orders, "orders_import")
    move_warehouse(line)
    assert again(run).state == "succeeded"
    assert_in_doubt(line)
    assert not list(line.sandbox.warehouse.users["try"].incoming.iterdir())


def test_a_file_that_was_never_to_be_seen_goes_to_the_new_server(
    one_order: Line,
) -> None:
    """D1: cut in the middle, so no warehouse can have taken it."""
    line = one_order
    cut_once(line, "wrote")
    run = run_now(line.orders, "orders_import")
    move_warehouse(line)
    assert again(run).state == "succeeded"
    [file] = line.sandbox.warehouse.users["try"].incoming.iterdir()
    delivery = Delivery.objects.get()
    assert (delivery.state, delivery.name) == ("delivered", file.name)
