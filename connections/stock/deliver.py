"""Send files to the store's platform, and tell what was left out of them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from connections import platforms
from connections.alerts.ledger import raise_alert
from connections.deliveries import send
from connections.deliveries.preflight import Preflight
from connections.deliveries.send import OnEnd, Visibility
from connections.models import Delivery, SyncRun
from connections.runs.context import RunContext
from connections.runs.jobs import STOCK_FULL


def deliver(
    context: RunContext, files: Sequence[Delivery], on_delivered: OnEnd
) -> None:
    """Send files in order, over one session. Raises WireError, Problem."""
    if not files:
        return
    target = platforms.stock_target(context.store)
    size = sum(delivery.size for delivery in files)

    def on_doubt(delivery: Delivery) -> None:
        """The mark has not moved: the next file carries the same rows anew."""
        raise_alert(
            "delivery_unknown",
            channel=context.channel,
            job=context.run.job,
            side=SyncRun.Side.STORE,
            detail=delivery.name,
        )

    with target.open(context.store, context.deadline(size)) as sftp:
        for delivery in files:
            entity = Delivery.Entity(delivery.entity)
            folder = partial(target.folder, context.store, sftp, entity)
            send.send(
                context,
                delivery,
                sftp,
                folder=folder,
                visibility=Visibility.ON_CLOSE,
                on_delivered=on_delivered,
                on_doubt=on_doubt,
            )
            context.count("files_sent")
            context.count("rows_sent", delivery.rows)


def tell_left_out(context: RunContext, look: Preflight) -> None:
    """Alert until a full update finds nothing: a change alone looks at few rows."""
    if not look.left_out:
        return
    context.count("rows_left_out", look.left_out)
    raise_alert(
        "stock_rows_left_out",
        channel=context.channel,
        job=STOCK_FULL.slug,
        side=SyncRun.Side.STORE,
        detail=look.in_words(),
    )
