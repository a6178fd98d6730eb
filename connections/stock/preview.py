"""What an uploaded report would change, by the same rule that applies it (ingest.WRITE)."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from django.db import connection

from connections.models import StockReport
from connections.stock import staging

SHOWN_CHANGES = 50

# The last row of a SKU and facility counts. A figure that differs and is older than the
# stored one stays out (docs/decisions/0004-late-stock-reports.md).
COMPARE = """
    WITH reported AS (
        SELECT DISTINCT ON (sku, facility)
            line, sku, facility, available, on_hand, committed, reported_at
        FROM connections_stagedlevel
        WHERE reader = %(reader)s AND attempt = %(attempt)s
        ORDER BY sku, facility, line DESC
    ), compared AS (
        SELECT reported.*,
            level.available AS old_available, level.on_hand AS old_on_hand,
            level.committed AS old_committed,
            CASE
                WHEN level.id IS NULL THEN 'new'
                WHEN (level.available, level.on_hand, level.committed)
                    IS NOT DISTINCT FROM
                    (reported.available, reported.on_hand, reported.committed)
                    THEN 'unchanged'
                WHEN level.reported_at > reported.reported_at
                    AND level.reported_at <= statement_timestamp() THEN 'late'
                ELSE 'changed'
            END AS outcome
        FROM reported LEFT JOIN connections_stocklevel level
            ON level.warehouse_id = %(warehouse)s
            AND (level.sku, level.facility) = (reported.sku, reported.facility)
    ), shown AS (
        SELECT line, jsonb_build_object(
            'sku', sku,
            'facility', facility,
            'old_available', trim_scale(old_available)::text,
            'available', trim_scale(available)::text,
            'old_on_hand', trim_scale(old_on_hand)::text,
            'on_hand', trim_scale(on_hand)::text,
            'old_committed', trim_scale(old_committed)::text,
            'committed', trim_scale(committed)::text) AS change
        FROM compared WHERE outcome IN ('new', 'changed')
        ORDER BY line LIMIT %(shown)s
    )
    SELECT
        count(*) FILTER (WHERE outcome = 'new'),
        count(*) FILTER (WHERE outcome = 'changed'),
        count(*) FILTER (WHERE outcome = 'unchanged'),
        count(*) FILTER (WHERE outcome = 'late'),
        (SELECT coalesce(jsonb_agg(change ORDER BY line), '[]') FROM shown)
    FROM compared
"""


@dataclass(frozen=True)
class Change:
    """A level as it is, and as it would be; None: there is no such figure.

    A level always has an available figure: without an old one it is new.
    """

    sku: str
    facility: str
    old_available: str | None
    available: str
    old_on_hand: str | None
    on_hand: str | None
    old_committed: str | None
    committed: str | None


@dataclass(frozen=True)
class Preview:
    """How many SKUs and facilities a report names, and what becomes of each."""

    new: int = 0
    changed: int = 0
    unchanged: int = 0
    late: int = 0
    changes: list[Change] = field(default_factory=list)

    @property
    def to_write(self) -> int:
        return self.new + self.changed

    @classmethod
    def of(cls, report: StockReport) -> Preview:
        """What was kept on an upload's row; of other reports, nothing."""
        kept = report.preview or {"changes": []}
        changes = [Change(**change) for change in kept["changes"]]
        return cls(**{**kept, "changes": changes})


def compare(report: StockReport) -> Preview:
    """Compare an upload's staged rows with the levels as they are."""
    reader = staging.of_upload(report.pk)
    facts = {
        "reader": reader.run,
        "attempt": reader.attempt,
        "warehouse": report.warehouse_id,
        "shown": SHOWN_CHANGES,
    }
    with connection.cursor() as cursor:
        cursor.execute(COMPARE, facts)
        new, changed, unchanged, late, changes = cursor.fetchone()
    shown = [Change(**change) for change in json.loads(changes)]
    return Preview(new, changed, unchanged, late, shown)
