"""The kinds of work: which channel they belong to and how often they come due."""

from __future__ import annotations

from dataclasses import dataclass

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from connections.models import Channel


@dataclass(frozen=True)
class Job:
    """A kind of run. `every_minutes` is its default; None: only by hand.

    No rule may make it due more often than every `minimum_minutes`; the table's
    constraint says the same. One that does not move data only looks at what others did:
    it has no rules, and how it ends says nothing of the channel.
    """

    slug: str
    channel: Channel.Type
    label: str | Promise
    run_label: str | Promise
    every_minutes: int | None
    minimum_minutes: int
    # Works on settings that a person changed: asked for at once when they are saved.
    on_change: bool = False
    moves_data: bool = True
    # Asked for on a page of its own, where it says what it does: no rules either.
    by_request: bool = False

    @property
    def has_rules(self) -> bool:
        """Whether people set when it comes due, on its channel's card."""
        return self.moves_data and not self.by_request


# Defaults and minimums: dropstream.md §3; labels of Run now: §5 and §6.
STOCK_CHANGES = Job(
    "stock_changes",
    Channel.Type.INVENTORY,
    _("Inventory update"),
    _("Update inventory"),
    every_minutes=60,
    minimum_minutes=60,
    on_change=True,
)
STOCK_FULL = Job(
    "stock_full",
    Channel.Type.INVENTORY,
    _("Full inventory update"),
    _("Full inventory update"),
    every_minutes=None,
    minimum_minutes=24 * 60,
)
STOCK_MASTER_DATA = Job(
    "stock_master_data",
    Channel.Type.INVENTORY,
    _("Master data"),
    _("Send master data"),
    every_minutes=None,
    minimum_minutes=24 * 60,
    by_request=True,
)
STOCK_PROOF = Job(
    "stock_proof",
    Channel.Type.INVENTORY,
    _("Intake check"),
    _("Check intake now"),
    every_minutes=None,
    minimum_minutes=24 * 60,
    moves_data=False,
)
ORDERS_IMPORT = Job(
    "orders_import",
    Channel.Type.PURCHASE_ORDERS,
    _("Import"),
    _("Import now"),
    every_minutes=15,
    minimum_minutes=15,
    on_change=True,
)
ORDERS_STATUS = Job(
    "orders_status",
    Channel.Type.PURCHASE_ORDERS,
    _("Status update"),
    _("Update status now"),
    every_minutes=240,
    minimum_minutes=15,
)

JOBS = {
    job.slug: job
    for job in (
        STOCK_CHANGES,
        STOCK_FULL,
        STOCK_MASTER_DATA,
        STOCK_PROOF,
        ORDERS_IMPORT,
        ORDERS_STATUS,
    )
}


def jobs_of(channel_type: str) -> list[Job]:
    """The jobs of a channel, in the order of its card."""
    return [job for job in JOBS.values() if job.channel == channel_type]
