"""One status line for a connection and for a channel: words, next action, owner."""

from __future__ import annotations

from dataclasses import dataclass, field

from django.urls import reverse
from django.utils.translation import gettext as _

from connections import platforms
from connections.messages import STAFF, explain
from connections.models import Channel, Connection, SyncRun

State = SyncRun.State


@dataclass
class Status:
    """What components/status.html shows."""

    tone: str
    title: str
    next: str = ""
    owner: str = ""
    href: str = ""
    link: str = ""


@dataclass
class ChannelLine:
    """A channel with its last and its unfinished run."""

    channel: Channel
    status: Status
    last: SyncRun | None = None
    runs: dict[str, SyncRun] = field(default_factory=dict)


def latest_runs(connections: list[Connection]) -> dict[int, dict[str, SyncRun]]:
    """The newest run of each channel and job, in one query: {channel: {job: run}}."""
    newest = (
        SyncRun.objects.filter(connection__in=connections)
        .order_by("channel_id", "job", "-pk")
        .distinct("channel_id", "job")
    )
    found: dict[int, dict[str, SyncRun]] = {}
    for run in newest:
        found.setdefault(run.channel_id, {})[run.job] = run
    return found


def channel_status(
    connection: Connection, channel: Channel, runs: dict[str, SyncRun]
) -> Status:
    """What a channel does, or what it waits for."""
    if not channel.is_on:
        return Status("off", _("Off"), _("Turn it on to let it run."), str(STAFF))
    missing = platforms.of_store(connection.store).missing(
        connection.store, channel.type
    )
    if missing:
        message = explain(missing)
        return Status(
            "wait",
            f"{message.happened} {message.means}",
            str(message.do),
            str(message.owner),
            reverse("connections:store", args=[connection.store.public_id]),
            _("Open the store"),
        )
    newest = max(runs.values(), key=lambda run: run.pk, default=None)
    stopped = next((run for run in runs.values() if run.error_code), None)
    if stopped is not None:
        message = explain(stopped.error_code)
        tone = "warn" if stopped.state == State.QUEUED else "bad"
        return Status(tone, str(message.happened), str(message.do), str(message.owner))
    if newest is None:
        return Status("wait", _("Has not run yet"))
    if any(run.state in SyncRun.UNFINISHED for run in runs.values()):
        return Status("busy", _("Running"))
    return Status("ok", _("Working"))


def lines(
    connection: Connection, runs: dict[int, dict[str, SyncRun]]
) -> list[ChannelLine]:
    """A line for each channel of the connection; channels must be prefetched."""
    return [
        ChannelLine(
            channel,
            channel_status(connection, channel, runs.get(channel.pk, {})),
            runs=runs.get(channel.pk, {}),
        )
        for channel in connection.channels.all()
    ]


def connection_status(connection: Connection, channels: list[ChannelLine]) -> Status:
    """The one line of a connection: the worst of its channels."""
    if not connection.is_on:
        waits = next((c.status for c in channels if c.status.tone == "wait"), None)
        if waits is not None and waits.href:
            return Status(
                "off",
                _("Off. %(waits)s") % {"waits": waits.title},
                waits.next,
                waits.owner,
                waits.href,
                waits.link,
            )
        return Status(
            "off",
            _("Off: nothing runs"),
            _("Turn it on when store and warehouse are tested."),
            str(STAFF),
        )
    for tone in ("bad", "warn", "wait", "busy"):
        for line in channels:
            if line.status.tone == tone:
                return line.status
    if all(line.status.tone == "off" for line in channels):
        return Status("off", _("All channels are off"))
    return Status("ok", _("Working"))
