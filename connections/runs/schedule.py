"""The tick's first half: schedules that are due become runs, and move on.

Their times follow the database's clock (reliability.md Q19), and in the demo a clock
that runs faster.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import cast
from zoneinfo import ZoneInfo

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import connection, transaction
from django.utils.translation import gettext as _

from connections.models import Channel, Connection, Schedule
from connections.runs.jobs import Job
from connections.runs.rules import Rule, next_slot
from stores import audit
from stores.models import User
from stores.models.people import zone_named

BATCH = 1000

# When the demo's clock and the real one agreed: any day, as long as it stays the same.
_DEMO_START = datetime(2026, 1, 1, tzinfo=UTC)


def make_due() -> int:
    """Turn due schedules of live channels into runs; return how many came due.

    A job that has an unfinished run gets no second one. At most BATCH at a time.
    Two ticks at once make each run once: the schedule rows are locked by whoever comes
    first and skipped by the other (Q10, Q11). A fixed number of statements, whatever is
    due.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT statement_timestamp(), s.id, s.next_due_at, a.time_zone, s.kind,
                   s.every_minutes, s.at, s.weekdays, s.start_hour, s.end_hour
            FROM connections_schedule s
            JOIN connections_channel ch ON ch.id = s.channel_id
            JOIN connections_connection c ON c.id = ch.connection_id
            JOIN stores_account a ON a.id = s.account_id
            WHERE s.next_due_at <= statement_timestamp()
              AND ch.enabled_at IS NOT NULL AND c.enabled_at IS NOT NULL
            ORDER BY s.next_due_at
            LIMIT %s
            FOR UPDATE OF s SKIP LOCKED
            """,
            [BATCH],
        )
        moves = [
            (pk, next_due(Rule(*rule), zone_named(zone), due, now))
            for now, pk, due, zone, *rule in cursor.fetchall()
        ]
        cursor.execute(
            """
            WITH moved AS (
                UPDATE connections_schedule s
                SET next_due_at = move.at
                FROM unnest(%s::bigint[], %s::timestamptz[]) AS move (id, at)
                WHERE s.id = move.id
                RETURNING s.account_id, s.channel_id, s.job
            )
            INSERT INTO connections_syncrun
                (public_id, account_id, connection_id, channel_id, store_id, job, state,
                 trigger, due_at, attempts, error_code, error_side, error_detail,
                 counts, created_at)
            SELECT gen_random_uuid(), moved.account_id, c.id, ch.id, c.store_id,
                   moved.job, 'queued', 'schedule',
                   greatest(statement_timestamp(), ch.gate_until), 0, '',
                   'store', '', '{}', statement_timestamp()
            FROM moved
            JOIN connections_channel ch ON ch.id = moved.channel_id
            JOIN connections_connection c ON c.id = ch.connection_id
            ON CONFLICT DO NOTHING
            """,
            [[pk for pk, _at in moves], [at for _pk, at in moves]],
        )
        return len(moves)


def next_due(rule: Rule, zone: ZoneInfo, due: datetime, now: datetime) -> datetime:
    """When a rule that was due comes due again: missed slots are not made up for (Q10).

    Counted from the slot, so that a late tick shifts nothing; from now when it is over.
    """
    following = _following(rule, zone, due)
    return following if following > now else _following(rule, zone, now)


def upcoming(
    rules: Mapping[Rule, datetime | None], zone: ZoneInfo
) -> Iterator[datetime]:
    """The times at which a job comes due, without end; none without a rule.

    `rules`: each with its next time, or None when it would begin now.
    """
    now = database_now()
    at = {rule: due or _following(rule, zone, now) for rule, due in rules.items()}
    while at:
        due = min(at.values())
        yield due
        for rule in [rule for rule in at if at[rule] == due]:
            at[rule] = _following(rule, zone, due)


def database_now() -> datetime:
    """The time by the clock that due times follow (Q19)."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT statement_timestamp()")
        [now] = cursor.fetchone()
    return cast(datetime, now)


@transaction.atomic
def save_rules(
    channel: Channel, job: Job, rules: Sequence[Rule], *, by: User | None
) -> bool:
    """Replace a job's rules, all or nothing; False when they stood so already.

    A rule that stays keeps its next time. Raises ValidationError when one would run the
    job more often than it may.
    """
    if any(rule.every_minutes < job.minimum_minutes for rule in rules):
        raise ValidationError(
            _("%(job)s may run every %(n)s minutes at most.")
            % {"job": job.label, "n": job.minimum_minutes}
        )
    rules = list(dict.fromkeys(rules))
    owner = lock_switches(channel)
    channel.refresh_from_db(fields=["enabled_at"])
    rows = {Rule.of(row): row for row in channel.schedules.filter(job=job.slug)}
    if rows.keys() == set(rules):
        return False
    gone = [row.pk for rule, row in rows.items() if rule not in rules]
    channel.schedules.filter(pk__in=gone).delete()
    zone = zone_named(owner.account.time_zone)
    is_on, now = owner.is_on and channel.is_on, database_now()
    Schedule.objects.bulk_create(
        Schedule(
            account_id=channel.account_id,
            channel=channel,
            job=job.slug,
            next_due_at=_following(rule, zone, now) if is_on else None,
            **vars(rule),
        )
        for rule in rules
        if rule not in rows
    )
    audit.record(
        "channel.rules",
        channel,
        by=by,
        before={job.slug: [rule.facts() for rule in rows]},
        after={job.slug: [rule.facts() for rule in rules]},
    )
    return True


def lock_switches(channel: Channel) -> Connection:
    """Let no switch of the channel's connection turn until the transaction ends.

    What sets due times asks for this: they are null while either switch is off.
    """
    # Not FOR UPDATE: new runs that the tick inserts refer to this row.
    rows = Connection.objects.select_for_update(no_key=True, of=("self",))
    return rows.select_related("account").get(pk=channel.connection_id)


def on_clock(at: datetime) -> datetime:
    """What the clock that the schedules follow shows at a time: itself, but in the demo."""
    return _DEMO_START + (at - _DEMO_START) * settings.DEMO_CLOCK_SPEED


def off_clock(shown: datetime) -> datetime:
    """When that clock shows a time."""
    return _DEMO_START + (shown - _DEMO_START) / settings.DEMO_CLOCK_SPEED


def _following(rule: Rule, zone: ZoneInfo, after: datetime) -> datetime:
    """The rule's next slot, on the clock that the schedules follow."""
    return off_clock(next_slot(rule, on_clock(after), zone))
