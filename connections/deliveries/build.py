"""Commit a file before its first byte is sent: rows, bytes, hash, name, upper bound."""

from __future__ import annotations

from collections.abc import Iterable

from connections.deliveries import bytes as file_bytes
from connections.deliveries.names import new_name
from connections.failpoints import failpoint
from connections.models import Channel, Delivery


def build(
    channel: Channel,
    *,
    entity: Delivery.Entity,
    prefix: str,
    pieces: Iterable[bytes],
    subject: str = "",
    upper_bound: int = 0,
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
        name=new_name(prefix),
        rows=0,
        size=0,
        upper_bound=upper_bound,
    )
    written = file_bytes.write(delivery, pieces)
    delivery.size, delivery.sha256 = written.size, written.sha256
    delivery.save(update_fields=["size", "sha256"])
    failpoint("delivery.building")
    return delivery


def supersede(delivery: Delivery) -> None:
    """Give way to newer values; only for one that never started."""
    delivery.state = Delivery.State.SUPERSEDED
    delivery.save(update_fields=["state"])
    file_bytes.drop(delivery)
