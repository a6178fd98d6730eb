"""Look up at the platform what it has taken in of the files that were uploaded (D18).

A file with a fault is skipped there without a word, so a sample of its variants is read
back after the intake. What the platform shows is compared with the levels here that have
not changed since the file: they must be equal, whatever was uploaded later.
"""

from __future__ import annotations

import csv
import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.db import connection as database
from django.db.models import F
from django.db.models.functions import Now

from connections import platforms
from connections.alerts.ledger import raise_alert
from connections.deliveries import bytes as file_bytes
from connections.models import Channel, Delivery, SyncRun
from connections.platforms import Sold
from connections.problems import Problem
from connections.runs import schedule
from connections.runs.context import RunContext
from connections.runs.jobs import STOCK_PROOF
from connections.stock import intake, levels
from connections.wire.errors import WireError

Proof = Delivery.Proof

# Variants that a run asks for, spread over its files: a request each, and the platform
# wants one a second.
SAMPLE = 20
FILES = 100
EXAMPLES = 5
# The intake may slip by two nights (inventory-planner.md §4.2): until then a file that
# does not show is looked up again.
PATIENCE = timedelta(hours=50)
API_AGAIN = timedelta(hours=1)

Shown = Mapping[str, Decimal | None]


def ask() -> None:
    """Queue a look for each live channel that has something to be looked up."""
    due = Delivery.objects.filter(proof_due_at__lte=Now()).values("channel")
    asked = SyncRun.objects.unfinished().filter(job=STOCK_PROOF.slug).values("channel")
    channels = Channel.objects.live().filter(pk__in=due).exclude(pk__in=asked)
    SyncRun.objects.bulk_create(
        [
            SyncRun.of(
                channel, STOCK_PROOF.slug, SyncRun.Trigger.SCHEDULE, due_at=Now()
            )
            for channel in channels.select_related("connection")[: intake.BATCH]
        ],
        ignore_conflicts=True,
    )


def prove(context: RunContext) -> None:
    """Look up what is due; all that waits when a person asks.

    An API that is away or refuses says nothing of the files: they are looked up later,
    and neither the channel's stock nor its gate hears of it.
    """
    waiting = Delivery.objects.filter(
        channel=context.channel, proof_due_at__isnull=False
    )
    if context.run.trigger != SyncRun.Trigger.PERSON:
        waiting = waiting.filter(proof_due_at__lte=Now())
    files = list(waiting.select_related("channel", "store").order_by("-pk")[:FILES])
    samples = _samples(context, files)
    sold = {one.variant_id: one for sample in samples.values() for one in sample}
    try:
        shown = _look_up(context, list(sold.values()))
    except (WireError, Problem) as error:
        for file in files:
            _postpone(context, file, error.code)
        return
    for file in files:
        _judge(context, file, samples[file.pk], shown)


def _samples(context: RunContext, files: Sequence[Delivery]) -> dict[int, list[Sold]]:
    """Choose variants of each file whose levels have not changed since it."""
    each = max(SAMPLE // max(len(files), 1), 1)
    return {file.pk: _unchanged(context, file)[:each] for file in files}


def _unchanged(context: RunContext, file: Delivery) -> list[Sold]:
    """Variants from one place of the file, the same ones at each look."""
    dice = random.Random(file.sha256)  # noqa: S311  nobody has to guess the sample
    chunks = file.chunks.count()
    chunk = file_bytes.read_chunk(file, dice.randrange(chunks)) if chunks else None
    if chunk is None:
        return []
    layout = platforms.stock_target(context.store).file
    column = list(layout.select).index(layout.variant)
    # The first line is the header or a cut one, the last one empty or cut.
    whole = chunk.decode(errors="replace").split("\n")[1:-1]
    variants = list(dict.fromkeys(row[column] for row in csv.reader(whole)))
    chosen = dice.sample(variants, min(len(variants), SAMPLE * 2))
    return _levels(context, file, chosen)


def _levels(context: RunContext, file: Delivery, variants: Sequence[str]) -> list[Sold]:
    """Each variant's stock in all locations of the store, unless it has changed since."""
    total: dict[str, Decimal] = defaultdict(Decimal)
    skus: dict[str, str] = {}
    changed = set()
    channels = Channel.objects.filter(
        connection__store=context.store, type=Channel.Type.INVENTORY
    )
    for channel in channels.select_related("connection__warehouse"):
        is_own = channel.pk == context.channel.pk
        reach = _bound(file) if is_own else channel.sent_through
        with database.cursor() as cursor:
            cursor.execute(levels.of_variants(channel.connection, variants))
            for variant, sku, _location, available, number, _at in cursor.fetchall():
                total[variant] += available
                skus[variant] = sku
                if number > reach:
                    changed.add(variant)
    return [
        Sold(variant, skus[variant], total[variant])
        for variant in variants
        if variant in total and variant not in changed
    ]


def _bound(file: Delivery) -> int:
    """The change number that the file's update reaches: its last part has it."""
    parts = Delivery.objects.filter(
        channel=file.channel_id, entity=file.entity, pk__gte=file.pk, part=F("parts")
    )
    return parts.order_by("pk").values_list("upper_bound", flat=True)[0]


def _look_up(context: RunContext, variants: Sequence[Sold]) -> Shown:
    target = platforms.stock_target(context.store)
    found = target.look_up(context.store, variants, context.deadline())
    return {one.variant_id: quantity for one, quantity in found}


def _judge(
    context: RunContext, file: Delivery, sample: Sequence[Sold], shown: Shown
) -> None:
    seen = [one for one in sample if one.variant_id in shown]
    differ = [one for one in seen if shown[one.variant_id] != one.available]
    facts = {
        "asked": len(sample),
        "shown": len(seen) - len(differ),
        "differ": [
            [one.variant_id, _plain(one.available), _plain(shown[one.variant_id])]
            for one in differ[:EXAMPLES]
        ],
    }
    if differ:
        _not_confirmed(context, file, facts)
    elif seen:
        _settle(context, file, Proof.CONFIRMED, facts)
    else:
        why = "not_shown" if sample else "overtaken"
        _settle(context, file, Proof.CANNOT_TELL, facts | {"why": why})


def _not_confirmed(
    context: RunContext, file: Delivery, facts: Mapping[str, Any]
) -> None:
    """Tell people, and look again after the next intake: this one may have slipped."""
    if _is_early(file):
        _keep_early(context, file, facts)
        return
    _settle(context, file, Proof.NOT_CONFIRMED, facts, again=_next_look(file))


def _keep_early(context: RunContext, file: Delivery, facts: Mapping[str, Any]) -> None:
    """For whoever asked: what was seen; it decides nothing."""
    with context.fenced():
        file.proof_facts = {**facts, "early": True}
        file.save(update_fields=["proof_facts"])


def _postpone(context: RunContext, file: Delivery, why: str) -> None:
    if _is_early(file):
        _keep_early(context, file, {"asked": 0, "why": why})
        return
    now = schedule.database_now()
    if _is_over(file):
        _settle(context, file, Proof.CANNOT_TELL, {"asked": 0, "why": why})
        return
    with context.fenced():
        file.proof_due_at = now + API_AGAIN
        file.save(update_fields=["proof_due_at"])


def _settle(
    context: RunContext,
    file: Delivery,
    proof: Delivery.Proof,
    facts: Mapping[str, Any],
    *,
    again: datetime | None = None,
) -> None:
    with context.fenced():
        file.proof, file.proof_facts = proof, dict(facts)
        file.proved_at, file.proof_due_at = Now(), again
        file.save(update_fields=["proof", "proof_facts", "proved_at", "proof_due_at"])
        if proof == Proof.CONFIRMED:
            context.note("stock_confirmed", file=file.name)
        if proof == Proof.NOT_CONFIRMED:
            context.note("stock_not_confirmed", file=file.name)
            raise_alert(
                "not_confirmed",
                channel=context.channel,
                job=STOCK_PROOF.slug,
                detail=file.name,
            )
    context.count(f"files_{proof.value}")


def _is_early(file: Delivery) -> bool:
    """Before the intake a difference means nothing: a person could not wait."""
    return file.proof_due_at is not None and file.proof_due_at > schedule.database_now()


def _next_look(file: Delivery) -> datetime | None:
    if _is_over(file):
        return None
    following = intake.following(file.store, schedule.database_now())
    return schedule.off_clock(following.shown_at)


def _is_over(file: Delivery) -> bool:
    delivered_at = file.delivered_at or file.created_at
    return schedule.database_now() - delivered_at > PATIENCE / settings.DEMO_CLOCK_SPEED


def _plain(quantity: Decimal | None) -> str | None:
    return None if quantity is None else f"{quantity.normalize():f}"
