"""One of everything that the pages show, for tests of pages and access."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.utils import timezone

from connections.alerts.ledger import raise_alert
from connections.deliveries import build
from connections.models import (
    Alert,
    Channel,
    CheckRun,
    Connection,
    ConnectionDraft,
    Delivery,
    Listing,
    ListingsFile,
    Location,
    PurchaseOrder,
    Receipt,
    StockReport,
    SyncRun,
)
from connections.models.activity import note
from connections.stock import listing_files
from stores.models import HostKey, Merchant, Store, User, Warehouse
from tests import factories

API_KEY = "marker-of-the-api-key-0123456789"
PASSWORD = "marker-of-the-password-0123456789"


@dataclass(frozen=True)
class Household:
    """One of everything that a page shows, all of one merchant."""

    store: Store
    warehouse: Warehouse
    report: StockReport
    connection: Connection
    channel: Channel
    order: PurchaseOrder
    receipt: Receipt
    draft: ConnectionDraft  # of the person who made the household, as is `check`
    check: CheckRun
    host_key: HostKey
    alert: Alert
    delivery: Delivery
    listing: Listing
    location: Location
    listings_file: ListingsFile

    @property
    def merchant(self) -> Merchant:
        return self.store.merchant


@transaction.atomic
def household(of: Merchant, by: User, *, text: str = "Plain") -> Household:
    """Furnish a merchant without any far side; `text` is in every field of free text."""
    at = factories.store(of, api_key=API_KEY, ip_account="123456")
    Store.objects.filter(pk=at.pk).update(name=f"{text} store")
    string = f"sftp://ship:{PASSWORD}@files.example.com"
    where = factories.warehouse(of, string)
    Warehouse.objects.filter(pk=where.pk).update(name=f"{text} warehouse")
    at.refresh_from_db()
    where.refresh_from_db()
    joined = factories.connection(at, where)
    joined.name = f"{text} connection"
    joined.save(update_fields=["name"])
    order = purchase_order(joined, text=text)
    report = StockReport.objects.create(
        account=of.account,
        warehouse=where,
        name=f"inv_{text}.csv",
        size=10,
        state=StockReport.State.REFUSED,
        reason=text,
        bad_rows=1,
        problems=[{"line": 2, "reason": text}],
    )
    host_key = HostKey.objects.create(
        account=of.account,
        host="files.example.com",
        port=22,
        key_type="k",
        blob=of.name.encode(),
    )
    check = CheckRun.objects.create(
        account=of.account,
        requested_by=by,
        store=at,
        state=CheckRun.State.FAILED,
        results=[
            {
                "check": "reach",
                "state": "passed",
                "code": "",
                "detail": "",
                "note": text,
            },
            {
                "check": "host_key",
                "state": "failed",
                "code": "host_key_unknown",
                "detail": text,
                "note": "",
                "host": host_key.host,
                "port": host_key.port,
                "host_key": str(host_key.public_id),
            },
        ],
    )
    orders = joined.channels.get(type=Channel.Type.PURCHASE_ORDERS)
    raise_alert("auth_refused", channel=orders, job="orders_import", detail=text)
    return Household(
        store=at,
        warehouse=where,
        report=report,
        connection=joined,
        channel=orders,
        order=order,
        receipt=order.receipts.get(),
        draft=draft(by, basic={"name": f"{text} draft"}),
        check=check,
        host_key=host_key,
        alert=orders.alerts.get(),
        delivery=stock_file(joined.channels.get(type=Channel.Type.INVENTORY)),
        listing=Listing.objects.create(
            account=of.account,
            store=at,
            sku=f"{text} sku",
            channel_sku=f"{text} listing",
            variant_id=f"{text} id",
            title=text,
            changed_at=timezone.now(),
        ),
        location=Location.objects.create(
            account=of.account,
            connection=joined,
            facility=f"{text} facility",
            location_id=f"{text} location",
        ),
        listings_file=listing_files.keep(
            at, b"sku\nA\n", file_name=f"{text}.csv", by=by
        ),
    )


STOCK_FILE = b"VARIANT_ID,IN_STOCK\nSKU-1,5\n=1+1,-2\n"


def stock_file(
    of: Channel, state: str = Delivery.State.DELIVERED, **values: Any
) -> Delivery:
    """A file of a stock channel, sent at the first attempt; `values` say otherwise."""
    file = build.build(
        of, entity=Delivery.Entity.STOCK, prefix="inv", pieces=[STOCK_FILE]
    )
    now = timezone.now()
    facts = {"rows": 2, "attempts": 1, "folder": "/a/stock", "size_seen": file.size}
    times = {"first_attempt_at": now, "delivered_at": now}
    for name, value in {**facts, **times, "state": state, **values}.items():
        setattr(file, name, value)
    file.save()
    return file


def dead_run(
    of: Channel, *, job: str = "orders_import", code: str = "network_lost"
) -> SyncRun:
    """Work that was tried for the last time."""
    now = timezone.now()
    return SyncRun.objects.create(
        account_id=of.account_id,
        connection=of.connection,
        channel=of,
        store_id=of.connection.store_id,
        job=job,
        state=SyncRun.State.FAILED,
        trigger=SyncRun.Trigger.SCHEDULE,
        due_at=now,
        attempts=10,
        started_at=now,
        finished_at=now,
        error_code=code,
    )


def purchase_order(of: Connection, *, text: str = "Plain") -> PurchaseOrder:
    """An order with a line, a receipt and a timeline, as imported long ago."""
    order = PurchaseOrder.objects.create(
        account=of.account,
        store=of.store,
        connection=of,
        external_id=f"{of.pk}-1",
        reference=f"PO {text}",
        vendor=f"{text} vendor",
        remote_status=f"{text} status",
        document={},
        changed_at=timezone.now(),
    )
    line = order.lines.create(
        store=of.store,
        external_id="1",
        line_id="1",
        sku=f"{text} sku",
        title=text,
        quantity=5,
    )
    receipt = Receipt.objects.create(
        account=of.account,
        warehouse=of.warehouse,
        order=order,
        external_id=f"R {text}",
        file_name=f"rcp_{text}.csv",
        state=Receipt.State.COMPLETED,
    )
    receipt.lines.create(line=line, sku=line.sku, quantity=2)
    note("order_imported", connection=of, order=order, number=order.reference)
    note("stock_refused", connection=of, file=f"inv_{text}.csv", reason=text)
    return order


def draft(by: User, **steps: dict[str, str]) -> ConnectionDraft:
    """A half-finished wizard; `steps` is what was typed in each."""
    made = ConnectionDraft(account=by.membership.account, created_by=by)
    typed = {
        step: {f"{step}-{name}": [value] for name, value in fields.items()}
        for step, fields in steps.items()
    }
    made.keep({"step": "basic", "step_data": typed, "step_files": {}, "extra_data": {}})
    made.name = steps.get("basic", {}).get("name", "")
    made.ssh_key = factories.key_pair(made.account)
    made.save()
    return made
