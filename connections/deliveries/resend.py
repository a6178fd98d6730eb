"""Send a stock file that was sent before once more: its bytes under a new name.

A person asks, a run takes it up (docs/decisions/0020-sending-a-file-again.md).
"""

from __future__ import annotations

import uuid

from django.db import transaction
from django.db.models import Q, QuerySet

from connections.deliveries import build
from connections.deliveries import bytes as file_bytes
from connections.deliveries.names import another_name
from connections.failpoints import failpoint
from connections.models import Channel, Delivery
from connections.runs.context import RunContext
from stores import audit
from stores.models import User

State = Delivery.State


def may_be(file: Delivery) -> bool:
    """Whether the very file can be sent again: stock that may be there and is still kept."""
    return (
        file.entity == Delivery.Entity.STOCK
        and file.state in (State.DELIVERED, State.UNKNOWN)
        and file_bytes.are_kept(file)
    )


@transaction.atomic
def ask(file: Delivery, *, token: str, by: User) -> tuple[Delivery, bool]:
    """Ask for a file to be sent again; returns the new one, and whether it was made now.

    Once for each token, and not while the same file is on its way again. Raises
    ValueError for a file that cannot be.
    """
    public_id = uuid.uuid5(file.public_id, token)
    file = Delivery.objects.select_for_update(of=("self",)).get(pk=file.pk)
    waits = Q(state__in=(State.ASKED, *Delivery.UNFINISHED))
    before = file.resends.filter(waits | Q(public_id=public_id)).first()
    if before is not None:
        return before, False
    if not may_be(file):
        raise ValueError("not a file that can be sent again")
    again = Delivery.objects.create(
        public_id=public_id,
        account_id=file.account_id,
        connection_id=file.connection_id,
        channel_id=file.channel_id,
        store_id=file.store_id,
        entity=file.entity,
        resend_of=file,
        name=another_name(file.name),
        state=State.ASKED,
        rows=file.rows,
        rules=file.rules,
        size=file.size,
        sha256=file.sha256,
        upper_bound=file.upper_bound,
    )
    file_bytes.copy(file, again)
    facts = {"file": again.name, "reaches": again.upper_bound}
    audit.record("delivery.sent_again", file, by=by, after=facts)
    return again, True


def asked(channel: Channel) -> QuerySet[Delivery]:
    """What people have asked for, the oldest first."""
    return Delivery.objects.filter(channel=channel, state=State.ASKED).order_by("pk")


def take_up(context: RunContext, file: Delivery) -> bool:
    """Let a file be sent next; False when it was asked for before a switch was turned.

    From here on the channel counts as reaching no further than the file does: whatever
    becomes of it, the next push sends all that has changed since.
    """
    channel, connection = context.channel, context.connection
    switched = (channel.enabled_at, connection.enabled_at)
    if any(at is None or at > file.created_at for at in switched):
        with context.fenced():
            build.supersede(file)
        return False
    with context.effect():
        file.state = State.BUILT
        file.save(update_fields=["state"])
        Channel.objects.filter(pk=channel.pk, sent_through__gt=file.upper_bound).update(
            sent_through=file.upper_bound
        )
    failpoint("delivery.built")
    return True
