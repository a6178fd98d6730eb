"""The kinds of work: which channel they belong to and how often they come due."""

from __future__ import annotations

from dataclasses import dataclass

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from connections.models import Channel


@dataclass(frozen=True)
class Job:
    """A kind of run. `every_minutes` is its default; None: only by hand."""

    slug: str
    channel: Channel.Type
    label: str | Promise
    run_label: str | Promise
    every_minutes: int | None
    # Works on settings that a person changed: asked for at once when they are saved.
    on_change: bool = False


# Defaults and minimums: dropstream.md §3; labels of Run now: §5 and §6.
STOCK_CHANGES = Job(
    "stock_changes",
    Channel.Type.INVENTORY,
    _("Inventory update"),
    _("Update inventory"),
    60,
    on_change=True,
)
STOCK_FULL = Job(
    "stock_full",
    Channel.Type.INVENTORY,
    _("Full inventory update"),
    _("Full inventory update"),
    None,
)
ORDERS_IMPORT = Job(
    "orders_import",
    Channel.Type.PURCHASE_ORDERS,
    _("Import"),
    _("Import now"),
    15,
    on_change=True,
)
ORDERS_STATUS = Job(
    "orders_status",
    Channel.Type.PURCHASE_ORDERS,
    _("Status update"),
    _("Update status now"),
    240,
)

JOBS = {
    job.slug: job for job in (STOCK_CHANGES, STOCK_FULL, ORDERS_IMPORT, ORDERS_STATUS)
}


def jobs_of(channel_type: str) -> list[Job]:
    """The jobs of a channel, in the order of its card."""
    return [job for job in JOBS.values() if job.channel == channel_type]
