"""Turn connections and channels on and off (dropstream.md §3).

Schedules are due at once when both switches are on, and never while one is off. Each
service locks the connection's row first, so that two of them cannot break that.
"""

from __future__ import annotations

from django.db import transaction
from django.db.models import QuerySet
from django.db.models.functions import Now
from django.utils import timezone

from connections.models import Channel, Connection, OffPeriod, Schedule, SyncRun
from connections.runs import retry
from connections.runs.jobs import jobs_of
from connections.runs.schedule import lock_switches
from stores import audit
from stores.models import User


def add_channels(connection: Connection, types: list[str]) -> None:
    """Give a new connection its channels, on, with their default schedules.

    The connection's own switch is off, so nothing runs until it is turned on.
    """
    now = timezone.now()
    for channel_type in types:
        channel = Channel.objects.create(
            account_id=connection.account_id,
            connection=connection,
            type=channel_type,
            enabled_at=now,
        )
        for job in jobs_of(channel_type):
            if job.every_minutes is not None:
                Schedule.objects.create(
                    account_id=connection.account_id,
                    channel=channel,
                    job=job.slug,
                    every_minutes=job.every_minutes,
                )


@transaction.atomic
def enable_connection(connection: Connection, *, by: User | None) -> None:
    """Turn a connection on; its channels' schedules are due at once. Idempotent."""
    now = timezone.now()
    if not _switch(Connection, connection.pk, on=True):
        return
    connection.enabled_at = now
    OffPeriod.objects.filter(connection=connection, ended_at=None).update(ended_at=now)
    schedules = Schedule.objects.filter(channel__connection=connection)
    schedules.filter(channel__enabled_at__isnull=False).update(next_due_at=Now())
    retry.lift_for_person(Channel.objects.filter(connection=connection))
    audit.record("connection.enabled", connection, by=by)


@transaction.atomic
def disable_connection(connection: Connection, *, by: User | None) -> None:
    """Turn a connection off; waiting runs are dropped, running ones stop. Idempotent."""
    if not _switch(Connection, connection.pk, on=False):
        return
    connection.enabled_at = None
    OffPeriod.objects.create(
        account_id=connection.account_id,
        connection=connection,
        started_at=timezone.now(),
    )
    Schedule.objects.filter(channel__connection=connection).update(next_due_at=None)
    _drop_waiting(SyncRun.objects.filter(connection=connection))
    audit.record("connection.disabled", connection, by=by)


@transaction.atomic
def enable_channel(channel: Channel, *, by: User) -> None:
    """Turn a channel on; its schedules are due at once, if the connection is on."""
    owner = lock_switches(channel)
    if not _switch(Channel, channel.pk, on=True):
        return
    if owner.is_on:
        channel.schedules.update(next_due_at=Now())
    retry.lift_for_person(Channel.objects.filter(pk=channel.pk))
    audit.record("channel.enabled", channel, by=by)


@transaction.atomic
def disable_channel(channel: Channel, *, by: User) -> None:
    """Pause one flow; its schedule stays. Idempotent."""
    lock_switches(channel)
    if not _switch(Channel, channel.pk, on=False):
        return
    channel.schedules.update(next_due_at=None)
    _drop_waiting(SyncRun.objects.filter(channel=channel))
    audit.record("channel.disabled", channel, by=by)


def _switch(model: type[Connection] | type[Channel], pk: int, *, on: bool) -> bool:
    """Set the switch; False when it stood so already."""
    rows = model._default_manager.filter(pk=pk, enabled_at__isnull=on)
    return bool(rows.update(enabled_at=timezone.now() if on else None))


def _drop_waiting(runs: QuerySet[SyncRun]) -> None:
    runs.filter(state=SyncRun.State.QUEUED).update(
        state=SyncRun.State.CANCELLED, finished_at=timezone.now()
    )
