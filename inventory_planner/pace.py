"""One request a second for each account of Inventory Planner, whoever sends it (§2.7).

The next free moment is a row of the database: all workers on all machines share it, by
the database's clock, and what the API says about waiting holds for all of them (I5).
"""

from __future__ import annotations

import time

from django.conf import settings
from django.db import connection

from connections.wire.errors import WireError
from connections.wire.ssh import Deadline

# Longer than this nobody sits and waits: the run comes again when it is time.
LONGEST_WAIT_S = 30.0

_RESERVE = """
INSERT INTO inventory_planner_apiuse AS mine (ip_account, next_at, calls, waited_s)
VALUES (%(account)s, clock_timestamp() + %(pause)s * interval '1 second', 1, 0)
ON CONFLICT (ip_account) DO UPDATE SET
    next_at = greatest(mine.next_at, clock_timestamp())
        + %(pause)s * interval '1 second',
    calls = mine.calls + 1,
    waited_s = mine.waited_s
        + greatest(extract(epoch FROM mine.next_at - clock_timestamp()), 0)
WHERE mine.next_at < clock_timestamp() + %(longest)s * interval '1 second'
RETURNING extract(epoch FROM next_at - clock_timestamp()) - %(pause)s
"""
_LEFT = """
SELECT extract(epoch FROM next_at - clock_timestamp())
FROM inventory_planner_apiuse WHERE ip_account = %(account)s
"""
_HOLD = """
UPDATE inventory_planner_apiuse SET
    next_at = greatest(next_at, clock_timestamp() + %(wait)s * interval '1 second'),
    told_to_wait = told_to_wait + 1
WHERE ip_account = %(account)s
"""


def account_key(account_id: str) -> str:
    """The account that an id means: 123456, a123456 and A123456 are one (§2.2)."""
    folded = account_id.strip().casefold()
    bare = folded.removeprefix("a")
    return bare if bare.isdigit() else folded


def wait_turn(account_id: str, deadline: Deadline) -> None:
    """Take the account's next moment and sleep until it comes.

    Raises api_throttled when it is too far away; then nothing is taken.
    """
    values: dict[str, str | float] = {
        "account": account_key(account_id),
        "pause": 1 / settings.INVENTORY_PLANNER_REQUESTS_PER_S,
        "longest": min(LONGEST_WAIT_S, deadline.left_s),
    }
    with connection.cursor() as cursor:
        cursor.execute(_RESERVE, values)
        taken = cursor.fetchone()
        if taken is None:
            cursor.execute(_LEFT, values)
            [left_s] = cursor.fetchone()
            raise WireError(
                "api_throttled",
                "others were told to wait",
                retry_after_s=max(float(left_s), 0),
            )
    time.sleep(max(float(taken[0]), 0))


def hold(account_id: str, wait_s: float) -> None:
    """Let nobody ask for the account until so many seconds are over."""
    with connection.cursor() as cursor:
        cursor.execute(_HOLD, {"account": account_key(account_id), "wait": wait_s})
