"""Raise, close and dismiss alerts; one open row a channel and code, by constraint."""

from __future__ import annotations

from datetime import datetime

from django.db import connection as database
from django.db import transaction
from django.db.models.functions import Now

from connections.messages import explain
from connections.models import Alert, Channel, SyncRun
from stores import audit
from stores.models import User

# No later run disproves these by going well: what they tell of is over when a person has
# seen to it, or when what told of it looks again.
UNTIL_SEEN_TO = ("orders_unreadable", "order_differs", "order_in_doubt", "report_late")


def raise_alert(
    code: str,
    *,
    channel: Channel,
    job: str = "",
    side: str = SyncRun.Side.STORE,
    detail: str = "",
) -> None:
    """Open an alert, or count it once more when it is open already.

    `code` is one of connections/messages.py; `job` the one whose success closes the
    alert, blank for "any success of the channel" (jobs by hand). For the end of work:
    a run that waits for a person or failed for good, a breaker that opened; not for a
    retry that is still to come.

    One statement in the caller's transaction: what is rolled back raised nothing.
    Raises KeyError for a code without words.
    """
    explain(code)
    with database.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO connections_alert AS a
                (public_id, account_id, connection_id, channel_id, code, job, side,
                 detail, count, opened_at, last_at)
            VALUES (gen_random_uuid(), %(account)s, %(connection)s, %(channel)s,
                    %(code)s, %(job)s, %(side)s, %(detail)s, 1,
                    statement_timestamp(), statement_timestamp())
            ON CONFLICT (channel_id, code) WHERE closed_at IS NULL DO UPDATE
            SET count = a.count + 1, last_at = greatest(a.last_at, excluded.last_at),
                job = excluded.job, side = excluded.side, detail = excluded.detail
            """,
            {
                "account": channel.account_id,
                "connection": channel.connection_id,
                "channel": channel.pk,
                "code": code,
                "job": job,
                "side": side,
                "detail": detail[:500],
            },
        )


def close_alerts(
    channel: Channel,
    *,
    job: str = "",
    of_channel: bool = True,
    before: datetime | None = None,
) -> int:
    """Close what a success disproves; returns how many were open. Idempotent.

    `job`: what succeeded; closes its alerts and, when it speaks for the channel, those
    of no job. Without it, all of the channel's. `before`: when it started; what was
    raised since is not disproved.
    One statement in the caller's transaction.
    """
    alerts = Alert.objects.open().filter(channel=channel)
    if job:
        alerts = alerts.exclude(code__in=UNTIL_SEEN_TO)
        alerts = alerts.filter(job__in=(job, "") if of_channel else (job,))
    if before is not None:
        alerts = alerts.filter(last_at__lt=before)
    return alerts.update(closed_at=Now())


def close_alert(code: str, *, channel: Channel) -> None:
    """Close the one that a look at the rows disproves."""
    open_one = Alert.objects.open().filter(channel=channel, code=code)
    open_one.update(closed_at=Now())


@transaction.atomic
def dismiss_alert(alert: Alert, *, by: User) -> bool:
    """Close one because a person has seen to it; False when it was closed already."""
    closed = Alert.objects.open().filter(pk=alert.pk)
    if not closed.update(closed_at=Now(), dismissed_by=by):
        return False
    audit.record("alert.dismissed", alert, by=by, before={"count": alert.count})
    return True
