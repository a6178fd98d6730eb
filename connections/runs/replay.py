"""Failed work, done again because a person asks: one, all of a cause, of a store (R5).

A replay is a run like any other: it does what is to be done *now*. Stock is sent as it
stands, and a file that never started is replaced by newer values (R6); one that did start
is resolved first. Twice is once: a job that waits already is not added again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from django.db import connection, transaction
from django.db.models import QuerySet

from connections.models import SyncRun
from connections.runs import queue
from stores import audit
from stores.models import Account, User

# One that waits for its retry or at the gate is to start now.
_BRING_FORWARD = """
    UPDATE connections_syncrun waiting
    SET due_at = statement_timestamp(), rung_at = NULL, trigger = 'replay',
        requested_by_id = %(by)s, attempts_before = waiting.attempts,
        first_started_at = NULL
    FROM connections_syncrun dead
    WHERE dead.id = ANY(%(dead)s) AND waiting.channel_id = dead.channel_id
      AND waiting.job = dead.job AND waiting.state = 'queued'
      AND waiting.due_at > statement_timestamp()
    RETURNING waiting.account_id
"""
_ADD = """
    INSERT INTO connections_syncrun
        (public_id, account_id, connection_id, channel_id, store_id, job, state, trigger,
         requested_by_id, due_at, attempts, error_code, error_side, error_detail, counts,
         created_at)
    SELECT gen_random_uuid(), account_id, connection_id, channel_id, store_id, job,
           'queued', 'replay', %(by)s, statement_timestamp(), 0, '', 'store', '', '{}',
           statement_timestamp()
    FROM connections_syncrun WHERE id = ANY(%(dead)s)
    ON CONFLICT DO NOTHING
    RETURNING account_id
"""


def replayable(dead: QuerySet[SyncRun]) -> QuerySet[SyncRun]:
    """Those whose connection and channel are on: off means off."""
    return dead.filter(
        channel__enabled_at__isnull=False, connection__enabled_at__isnull=False
    )


@transaction.atomic
def replay(dead: QuerySet[SyncRun], *, by: User, chosen: Mapping[str, str]) -> int:
    """Let each job of these dead runs start in its turn; return how many that changed.

    The dispatcher rings for them as for others, so that many of one account hold nobody
    up. `chosen`: by what they were found, for the audit.
    """
    ids = list(replayable(dead).values_list("pk", flat=True))
    started: Counter[int] = Counter()
    with connection.cursor() as cursor:
        for statement in (_BRING_FORWARD, _ADD):
            cursor.execute(statement, {"dead": ids, "by": by.pk})
            started.update(account for (account,) in cursor.fetchall())
    for account in Account.objects.filter(pk__in=started).order_by("pk"):
        facts = {**chosen, "runs": started[account.pk]}
        audit.record("failed_work.replayed", account, by=by, after=facts)
    transaction.on_commit(queue.top_up)
    return started.total()
