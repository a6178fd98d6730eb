"""Correcting an order before the warehouse knows it."""

from __future__ import annotations

from datetime import date

import pytest
from django.urls import reverse

from connections.models import PurchaseOrder, PurchaseOrderLine
from stores.models import AuditEvent
from tests.connections.views.test_inventory import client_of
from tests.connections.views.test_order_list import line, order
from tests.factories import Cast


@pytest.fixture
def made(cast: Cast) -> PurchaseOrder:
    of = line(cast.merchant)
    found = order(of, "P-1", "A", "B", vendor="Acme", held="line_error")
    found.document = {
        "id": "65f0c2a4e7b1d90012ab34cd",
        "status": "ORDERED",
        "items": [],
    }
    found.save()
    found.lines.filter(sku="B").update(sku="")
    return found


def typed(order: PurchaseOrder, **changes: str) -> dict[str, str]:
    """The form as it is shown, with changes; a line's fields as 0_sku, 1_quantity."""
    sent = {"reference": order.reference, "vendor": order.vendor, "expected_on": ""}
    for number, row in enumerate(order.lines.order_by("pk")):
        for name in ("sku", "title", "quantity"):
            sent[f"line-{row.pk}-{name}"] = str(
                changes.pop(f"_{number}_{name}", getattr(row, name))
            )
        if changes.pop(f"_{number}_left_out", ""):
            sent[f"line-{row.pk}-left_out"] = "on"
    return sent | changes


def post(cast: Cast, order: PurchaseOrder, **changes: str) -> str:
    url = reverse("connections:order_edit", args=[order.public_id])
    client = client_of(cast.staff)
    return client.post(url, typed(order, **changes), follow=True).content.decode()


def test_a_corrected_line_lets_the_order_go(cast: Cast, made: PurchaseOrder) -> None:
    said = post(cast, made, _1_sku="B2", expected_on="2026-12-24", vendor="Acme Ltd")
    assert "The order was changed." in said
    made.refresh_from_db()
    assert (made.vendor, made.expected_on) == ("Acme Ltd", date(2026, 12, 24))
    assert [row.sku for row in made.lines.all()] == ["A", "B2"]
    assert (made.held, made.edited_at is not None) == ("", True)
    event = AuditEvent.objects.get(action="order.edited")
    assert event.after == {
        "vendor": "Acme Ltd",
        "expected_on": "2026-12-24",
        "1": "B2 × 10",
    }
    assert "vendor: Acme → Acme Ltd" in said
    assert "Nothing was changed." in post(cast, made, expected_on="2026-12-24")


def test_a_line_can_be_left_out_but_not_all(cast: Cast, made: PurchaseOrder) -> None:
    both = {"_0_left_out": "on", "_1_left_out": "on"}
    assert "At least one line has to stay." in post(cast, made, **both)
    post(cast, made, _1_left_out="on")
    assert [row.sku for row in made.lines.all()] == ["A"]


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({}, "Enter the SKU, or leave the line out."),
        ({"_0_quantity": "0"}, "Enter a quantity above zero."),
        ({"_0_quantity": ""}, "Enter the quantity, or leave the line out."),
        ({"expected_on": "soon"}, "Enter the due date as a date."),
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_changed(
    cast: Cast, made: PurchaseOrder, changes: dict[str, str], error: str
) -> None:
    said = post(cast, made, vendor="Typed", **changes)
    assert error in said
    assert 'value="Typed"' in said
    made.refresh_from_db()
    assert made.vendor == "Acme"


def test_what_the_warehouse_knows_is_not_edited(
    cast: Cast, made: PurchaseOrder
) -> None:
    PurchaseOrder.objects.update(status="open")
    assert "It is at the warehouse" in post(cast, made, vendor="Late")
    made.refresh_from_db()
    assert made.vendor == "Acme"


def test_the_document_is_shown_as_text(cast: Cast, made: PurchaseOrder) -> None:
    made.document["notes"] = "<script>alert(1)</script>"
    made.save()
    url = reverse("connections:order_document", args=[made.public_id])
    page = client_of(cast.merchant_user).get(url).content.decode()
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page


def test_a_large_order_is_saved_whole(cast: Cast) -> None:
    """Its form has more fields than any other; none of what was typed is lost."""
    large = order(line(cast.merchant), "P-1")
    PurchaseOrderLine.objects.bulk_create(
        PurchaseOrderLine(
            order=large, store=large.store, line_id=str(number), sku="A", quantity=10
        )
        for number in range(170)
    )
    url = reverse("connections:order_edit", args=[large.public_id])
    sent = typed(large, _169_title="Tea towel")
    assert client_of(cast.staff).post(url, sent).status_code == 302
    assert large.lines.get(title="Tea towel").line_id == "169"
