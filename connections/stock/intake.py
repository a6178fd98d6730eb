"""When the store's platform takes in what was uploaded, and what misses it (D21).

Delivered is not visible: Inventory Planner reads its drop once a night
(inventory-planner.md §4.2). All times here are real ones; a platform reckons on the clock
of schedules, which runs faster in the demo.
"""

from __future__ import annotations

from datetime import datetime

from django.db import transaction
from django.db.models.functions import Now

from connections import platforms
from connections.alerts.ledger import raise_alert
from connections.models import Delivery
from connections.models.activity import note
from connections.platforms import Intake
from connections.runs import schedule
from connections.runs.jobs import STOCK_PROOF
from stores.models import Store

BATCH = 1000


def following(store: Store, at: datetime) -> Intake:
    """The intake that reads what is uploaded at a time, on the clock of schedules."""
    return platforms.stock_target(store).intake(store, schedule.on_clock(at))


def aim(delivery: Delivery) -> None:
    """Note which cut-off a file that is built now has to make."""
    intake = following(delivery.store, schedule.database_now())
    delivery.upload_by = schedule.off_clock(intake.upload_by)
    delivery.save(update_fields=["upload_by"])


def await_proof(delivery: Delivery) -> None:
    """A file was uploaded: say so when it was too late, and when to look it up."""
    # Asked of the row: the tick may have told it, and set the next night's, meanwhile.
    if Delivery.objects.filter(pk=delivery.pk, upload_by__lt=Now()).exists():
        _missed(delivery)
    intake = following(delivery.store, schedule.database_now())
    delivery.upload_by = schedule.off_clock(intake.upload_by)
    fields = ["upload_by"]
    if platforms.stock_target(delivery.store).proves(delivery.store):
        delivery.proof = Delivery.Proof.WAITING
        delivery.proof_due_at = schedule.off_clock(intake.shown_at)
        fields += ["proof", "proof_due_at"]
    delivery.save(update_fields=fields)


def look_for_missed() -> None:
    """Tell of files that are still not uploaded when their cut-off passes, once each."""
    late = (
        Delivery.objects.unfinished()
        .filter(entity=Delivery.Entity.STOCK, upload_by__lt=Now())
        .order_by("upload_by")
    )
    for pk in list(late.values_list("pk", flat=True)[:BATCH]):
        with transaction.atomic():
            rows = late.select_related("connection", "channel", "store")
            delivery = rows.select_for_update(of=("self",)).filter(pk=pk).first()
            if delivery is not None:
                _missed(delivery)
                aim(delivery)


def _missed(delivery: Delivery) -> None:
    raise_alert(
        "cut_off_missed",
        channel=delivery.channel,
        job=STOCK_PROOF.slug,
        detail=delivery.name,
    )
    note("cut_off_missed", connection=delivery.connection, file=delivery.name)
