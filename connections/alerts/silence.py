"""The dead-man's switch: tell that nothing succeeds, though nothing reports a failure."""

from __future__ import annotations

from django.conf import settings
from django.db import connection as database
from django.db import transaction

CODE = "nothing_delivered"
# A job of every 15 minutes that missed three is not worth waking anybody yet.
LEAST_SECONDS = 3600

# Demand, not the clock: a job is silent when one of its runs was asked for that long
# ago and none has succeeded since. So hours in which its rules ask for nothing do not
# count, whatever the rules are; nor does what ended before it was turned on.
# Two probes of an index for each job of a live channel.
_SILENT = """
    SELECT DISTINCT ON (ch.id)
           ch.account_id, ch.connection_id, ch.id AS channel_id, jobs.job
    FROM (
        SELECT channel_id, job, min(every_minutes) AS every_minutes
        FROM connections_schedule GROUP BY channel_id, job
    ) jobs
    JOIN connections_channel ch ON ch.id = jobs.channel_id
    JOIN connections_connection c ON c.id = ch.connection_id
    LEFT JOIN LATERAL (
        SELECT r.id FROM connections_syncrun r
        WHERE r.channel_id = ch.id AND r.job = jobs.job AND r.state = 'succeeded'
        ORDER BY r.id DESC LIMIT 1
    ) success ON true
    JOIN LATERAL (
        SELECT r.created_at FROM connections_syncrun r
        WHERE r.channel_id = ch.id AND r.job = jobs.job
          AND r.id > coalesce(success.id, 0) AND r.state <> 'cancelled'
          AND (r.state IN ('queued', 'running')
               OR r.created_at >= greatest(ch.enabled_at, c.enabled_at))
        ORDER BY r.id LIMIT 1
    ) asked ON true
    WHERE ch.enabled_at IS NOT NULL AND c.enabled_at IS NOT NULL
      AND asked.created_at < now() - greatest(
          %(least)s * interval '1 second',
          %(intervals)s * jobs.every_minutes * interval '1 minute' / %(speed)s)
    ORDER BY ch.id, asked.created_at, jobs.job
"""


@transaction.atomic
def look() -> None:
    """Raise an alert for each channel with a silent job; close those that speak again.

    Set-based, and blind to workers, brokers and far sides: it works when all are dead.
    A success closes the alert at once (`close_alerts`); this finds what else ended it,
    such as a channel that was turned off.
    """
    with database.cursor() as cursor:
        cursor.execute(
            f"""
            WITH silent AS MATERIALIZED ({_SILENT}), closed AS (
                UPDATE connections_alert a SET closed_at = now()
                WHERE a.code = %(code)s AND a.closed_at IS NULL AND NOT EXISTS (
                    SELECT FROM silent WHERE silent.channel_id = a.channel_id)
            )
            INSERT INTO connections_alert AS a
                (public_id, account_id, connection_id, channel_id, code, job, side,
                 detail, count, opened_at, last_at)
            SELECT gen_random_uuid(), account_id, connection_id, channel_id, %(code)s,
                   job, 'store', '', 1, now(), now()
            FROM silent
            ON CONFLICT (channel_id, code) WHERE closed_at IS NULL DO UPDATE
            SET last_at = excluded.last_at, job = excluded.job
            """,  # noqa: S608  constants of this file
            {
                "code": CODE,
                "least": LEAST_SECONDS,
                "intervals": settings.SILENT_INTERVALS,
                "speed": settings.DEMO_CLOCK_SPEED,
            },
        )
