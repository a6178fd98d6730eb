"""Commit a file before its first byte is sent: rows, bytes, hash, name, upper bound."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from datetime import datetime

from connections.deliveries import bytes as file_bytes
from connections.deliveries.names import new_name
from connections.deliveries.parts import parts_of
from connections.deliveries.preflight import Preflight
from connections.failpoints import failpoint
from connections.models import Channel, Delivery


def build(
    channel: Channel,
    *,
    entity: Delivery.Entity,
    prefix: str,
    pieces: Iterable[bytes],
    subject: str = "",
    part: int = 1,
) -> Delivery:
    """Make a delivery of these bytes in the caller's (fenced) transaction.

    `rows` is left for the caller, who knows it when the pieces are used up.
    """
    delivery = Delivery.objects.create(
        account_id=channel.account_id,
        connection=channel.connection,
        channel=channel,
        store_id=channel.connection.store_id,
        entity=entity,
        subject=subject,
        part=part,
        name=new_name(prefix),
        rows=0,
        size=0,
    )
    written = file_bytes.write(delivery, pieces)
    delivery.size, delivery.sha256 = written.size, written.sha256
    delivery.save(update_fields=["size", "sha256"])
    failpoint("delivery.building")
    return delivery


def build_parts(
    channel: Channel,
    look: Preflight,
    rows: Iterable[bytes],
    *,
    entity: Delivery.Entity,
    subject: str = "",
    upper_bound: int = 0,
    repeated_through: datetime | None = None,
    peer: str = "",
) -> list[Delivery]:
    """Make the files of an update, all or none, in the caller's (fenced) transaction.

    Only rows that `look` lets through; no file when there are none. The last part alone
    carries what it reaches, and what was left out: with it the update is complete.
    `peer`: whom the update is for, when it is of no use to another. Raises
    Problem("file_invalid").
    """
    made = []
    for number, part in enumerate(parts_of(look, rows), start=1):
        delivery = build(
            channel,
            entity=entity,
            subject=subject,
            prefix=look.sheet.prefix,
            pieces=itertools.chain([look.header_line], part),
            part=number,
        )
        delivery.rows, delivery.rules = part.rows, look.sheet.version
        delivery.peer = peer
        made.append(delivery)
    if made:
        made[-1].upper_bound = upper_bound
        made[-1].repeated_through = repeated_through
        made[-1].left_out, made[-1].problems = look.left_out, look.problems
    for delivery in made:
        delivery.parts = len(made)
        delivery.save(
            update_fields=[
                *("rows", "rules", "parts", "upper_bound", "repeated_through"),
                *("left_out", "problems", "peer"),
            ]
        )
    return made


def supersede(delivery: Delivery) -> None:
    """Give way to newer values; only for one that nobody can have seen."""
    delivery.state = Delivery.State.SUPERSEDED
    delivery.save(update_fields=["state"])
    file_bytes.drop(delivery)
