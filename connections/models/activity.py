"""What runs did, for people to read; prunable, unlike the audit."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, NamedTuple

from django.db import connection as database
from django.db import models
from django.utils import timezone

from connections.models.connection import Connection
from connections.models.orders import PurchaseOrder
from connections.models.run import SyncRun


class Activity(models.Model):
    """One line of a timeline. `event` names a sentence in connections/messages.py,
    `facts` its values, so that it can be told in any language."""

    # Checked once, by the keys that name the account as well (T3).
    account = models.ForeignKey(
        "stores.Account", models.CASCADE, related_name="+", db_constraint=False
    )
    connection = models.ForeignKey(
        Connection,
        models.CASCADE,
        related_name="activities",
        db_constraint=False,
        db_index=False,
    )
    run = models.ForeignKey(
        SyncRun,
        models.SET_NULL,
        null=True,
        related_name="activities",
        db_constraint=False,
    )
    order = models.ForeignKey(
        PurchaseOrder,
        models.CASCADE,
        null=True,
        related_name="activities",
        db_constraint=False,
        db_index=False,
    )
    event = models.CharField(max_length=60)
    facts = models.JSONField(default=dict)
    at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-pk"]
        indexes = [
            models.Index(
                fields=["connection", "-id"], name="connections_activity_page"
            ),
            models.Index(
                fields=["order", "-id"],
                condition=models.Q(order__isnull=False),
                name="connections_activity_order",
            ),
        ]

    def __str__(self) -> str:
        return self.event


def note(
    event: str,
    *,
    connection: Connection,
    run: SyncRun | None = None,
    order: PurchaseOrder | None = None,
    **facts: Any,
) -> None:
    """Append one line to a connection's timeline."""
    line = line_of(event, connection=connection, run=run, order=order, **facts)
    Activity.objects.create(**line._asdict())


class Line(NamedTuple):
    """What a line of a timeline will be, for those who write many."""

    account_id: int
    connection_id: int
    run_id: int | None
    order_id: int | None
    event: str
    facts: dict[str, Any]


COPY = """
    COPY connections_activity
        (account_id, connection_id, run_id, order_id, event, facts, at)
    FROM STDIN
"""


def write(lines: Iterable[Line]) -> None:
    """Append many lines at once, in their order."""
    now = timezone.now()
    with database.cursor() as cursor, cursor.copy(COPY) as copy:
        for *values, facts in lines:
            copy.write_row((*values, json.dumps(facts), now))


def line_of(
    event: str,
    *,
    connection: Connection,
    run: SyncRun | None = None,
    order: PurchaseOrder | None = None,
    **facts: Any,
) -> Line:
    """A line that is not stored yet."""
    return Line(
        account_id=connection.account_id,
        connection_id=connection.pk,
        run_id=run.pk if run else None,
        order_id=order.pk if order else None,
        event=event,
        facts=facts,
    )
