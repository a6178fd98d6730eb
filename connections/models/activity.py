"""What runs did, for people to read; prunable, unlike the audit."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

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
    line_of(event, connection=connection, run=run, order=order, **facts).save()


COPY = """
    COPY connections_activity
        (account_id, connection_id, run_id, order_id, event, facts, at)
    FROM STDIN
"""


def write(lines: Iterable[Activity]) -> None:
    """Append many lines at once, in their order."""
    now = timezone.now()
    with database.cursor() as cursor, cursor.copy(COPY) as copy:
        for line in lines:
            copy.write_row(
                (
                    *(line.account_id, line.connection_id, line.run_id, line.order_id),
                    *(line.event, json.dumps(line.facts), now),
                )
            )


def line_of(
    event: str,
    *,
    connection: Connection,
    run: SyncRun | None = None,
    order: PurchaseOrder | None = None,
    **facts: Any,
) -> Activity:
    """A line that is not stored yet, for those who write many."""
    return Activity(
        account_id=connection.account_id,
        connection=connection,
        run=run,
        order=order,
        event=event,
        facts=facts,
    )
