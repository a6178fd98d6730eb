"""Change what a store sells: one listing or a file of them, all or nothing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from django.db import connection as database
from django.db import transaction
from django.db.models import Q
from django.utils.translation import gettext as _

from connections.models import Listing
from connections.stock import changes
from stores import audit
from stores.models import Store, User

SHOWN_PROBLEMS = 20
SHOWN_TURNS = 50


@dataclass(frozen=True)
class Row:
    """A listing as it shall be, or one component of a bundle; `retired`: no longer."""

    line: int
    variant_id: str
    sku: str = ""
    channel_sku: str = ""
    title: str = ""
    component: str = ""
    quantity: Decimal | None = None
    retired: bool = False


@dataclass(frozen=True)
class Turn:
    """What becomes of one variant id: added, changed or retired."""

    kind: str
    variant_id: str
    sku: str
    before: str  # the SKU, "" when there was none


@dataclass
class Plan:
    """What rows come to; nothing is changed while there are problems."""

    bad_rows: int = 0
    problems: list[tuple[int, str]] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    turns: list[Turn] = field(default_factory=list)

    def problem(self, line: int, reason: str) -> None:
        self.bad_rows += 1
        if len(self.problems) < SHOWN_PROBLEMS:
            self.problems.append((line, reason))

    @property
    def changes(self) -> int:
        """How many ids change."""
        return sum(n for kind, n in self.counts.items() if kind != "unchanged")


class IdTakenError(Exception):
    """Nothing was changed; `sku` is that of the listing which has the id."""

    def __init__(self, sku: str) -> None:
        super().__init__(sku)
        self.sku = sku


class RefusedListingsError(Exception):
    """Nothing was changed; `plan` says why."""

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan)
        self.plan = plan


@transaction.atomic
def preview(store: Store, rows: Iterable[Row], plan: Plan | None = None) -> Plan:
    """Say what `change` would do now. Locks nothing, writes nothing that stays.

    `plan` is given when reading the rows finds problems of its own.
    """
    found = plan or Plan()
    _stage(store, rows, found)
    return found


@transaction.atomic
def change(
    store: Store,
    rows: Iterable[Row],
    *,
    by: User | None,
    new_id: str = "",
    plan: Plan | None = None,
    facts: dict[str, Any] | None = None,
) -> Plan:
    """Bring the store's listings to what the rows say; others stay. The same again
    changes nothing.

    `new_id`: a variant id of the rows that no listing may have yet. `facts` are added to
    what the audit says. Raises RefusedListingsError, IdTakenError.
    """
    done = plan or Plan()
    # One change of a store's listings at a time, also where it has no connection yet.
    Store.objects.select_for_update(no_key=True).get(pk=store.pk)
    other = Listing.objects.live().filter(store=store, variant_id=new_id).first()
    if new_id and other is not None:
        raise IdTakenError(other.sku)
    heard = changes.may_have_sent(store)
    warehouses = changes.lock_warehouses(Q(connections__store=store))
    _stage(store, rows, done)
    if done.bad_rows:
        raise RefusedListingsError(done)
    if not done.changes:
        return done
    with database.cursor() as cursor:
        names = {"store": store.pk, "account": store.account_id}
        for statement in (_TOUCHED, _FORMER if heard else _FORGET, *_WRITE):
            cursor.execute(statement, names)
        for warehouse in warehouses:
            cursor.execute(_STAMP, [warehouse.change_number, warehouse.pk])
            if cursor.rowcount:
                changes.keep(warehouse)
    audit.record(
        "listings.changed",
        store,
        by=by,
        before={turn.variant_id: turn.before for turn in done.turns if turn.before},
        after={
            **(facts or {}),
            **done.counts,
            "first": {
                turn.variant_id: f"{turn.kind} {turn.sku}" for turn in done.turns
            },
        },
    )
    return done


def _stage(store: Store, rows: Iterable[Row], plan: Plan) -> None:
    """Lay the rows beside what is, and find what is wrong and what would change."""
    names = {"store": store.pk}
    with database.cursor() as cursor:
        cursor.execute(_STAGING)
        with cursor.copy("COPY staged FROM STDIN") as copy:
            for row in rows:
                copy.write_row(
                    (
                        row.line,
                        row.variant_id,
                        row.sku,
                        row.channel_sku,
                        row.title,
                        row.component,
                        row.quantity,
                        row.retired,
                    )
                )
        cursor.execute("ANALYZE staged")
        cursor.execute(_AT_ODDS)
        _note(cursor, plan)
        cursor.execute(_TURNED, names)
        for statement in (_UNKNOWN, _TAKEN, _GIVEN_BACK):
            cursor.execute(statement, names)
            _note(cursor, plan)
        cursor.execute("SELECT kind, count(*) FROM turned GROUP BY kind")
        plan.counts = dict(cursor.fetchall())
        cursor.execute(
            "SELECT kind, variant_id, sku, before FROM turned "
            "WHERE kind <> 'unchanged' ORDER BY line LIMIT %s",
            [SHOWN_TURNS],
        )
        plan.turns = [Turn(*turn) for turn in cursor.fetchall()]


def _note(cursor: Any, plan: Plan) -> None:
    for line, problem, about, other in cursor.fetchall():
        plan.problem(line, _reasons()[problem] % {"about": about, "other": other})


def _reasons() -> dict[str, str]:
    return {
        "differs": _(
            "SKU, channel SKU, title or retired of variant id %(about)s differ from "
            "line %(other)s"
        ),
        "again": _("variant id %(about)s stands on line %(other)s already"),
        "component": _("component %(about)s stands on line %(other)s already"),
        "unknown": _("no listing has the variant id %(about)s, so none can be retired"),
        "taken": _(
            "variant id %(about)s is a SKU that the warehouse reports and that has no "
            "listing: both would be sent under one id. Give that SKU a listing of its "
            "own"
        ),
        "given back": _(
            "SKU %(about)s would be sent as it is reported again, but the listing of "
            "SKU %(other)s has that variant id. Change that one first"
        ),
    }


_STAGING = """
    DROP TABLE IF EXISTS staged, turned, touched;
    CREATE TEMP TABLE staged (
        line integer, variant_id text COLLATE "C", sku text COLLATE "C",
        channel_sku text COLLATE "C", title text, component text COLLATE "C",
        quantity numeric, retired boolean
    ) ON COMMIT DROP
"""

_AT_ODDS = """
    SELECT line, problem, about, other FROM (
        SELECT line,
               CASE WHEN (sku, channel_sku, title, retired)
                         IS DISTINCT FROM (head_sku, head_channel, head_title, gone)
                    THEN 'differs'
                    WHEN component = '' OR head_component = '' THEN 'again'
                    WHEN same < line THEN 'component' END AS problem,
               CASE WHEN same < line AND component <> '' THEN component
                    ELSE variant_id END AS about,
               CASE WHEN same < line AND component <> '' THEN same ELSE head END
                   AS other
        FROM (
            SELECT staged.*,
                   min(line) OVER (PARTITION BY variant_id, component) AS same,
                   first_value(line) OVER of_id AS head,
                   first_value(sku) OVER of_id AS head_sku,
                   first_value(channel_sku) OVER of_id AS head_channel,
                   first_value(title) OVER of_id AS head_title,
                   first_value(retired) OVER of_id AS gone,
                   first_value(component) OVER of_id AS head_component
            FROM staged
            WINDOW of_id AS (PARTITION BY variant_id ORDER BY line)
        ) beside_head
        WHERE head < line
    ) judged
    WHERE problem IS NOT NULL
    ORDER BY line
"""

# One row an id that the rows name. `before` is the SKU of a live listing.
_TURNED = """
    CREATE TEMP TABLE turned ON COMMIT DROP AS
    SELECT head.line, head.variant_id, head.channel_sku, head.title, head.retired,
           CASE WHEN head.retired THEN coalesce(live.sku, '') ELSE head.sku END AS sku,
           coalesce(live.sku, '') AS before, listing.id AS listing_id,
           CASE WHEN head.retired AND live.id IS NULL THEN 'unchanged'
                WHEN head.retired THEN 'retired'
                WHEN live.id IS NULL THEN 'added'
                WHEN (live.sku, live.channel_sku, live.title, live.made_of)
                     IS DISTINCT FROM
                     (head.sku, head.channel_sku, head.title, head.made_of)
                THEN 'changed'
                ELSE 'unchanged' END AS kind
    FROM (
        SELECT DISTINCT ON (variant_id) staged.*, (
            SELECT array_agg(part.component || ' ' || trim_scale(part.quantity)
                             ORDER BY part.component)
            FROM staged part
            WHERE part.variant_id = staged.variant_id AND part.component <> ''
        ) AS made_of
        FROM staged
        ORDER BY variant_id, line
    ) head
    LEFT JOIN connections_listing listing
        ON listing.store_id = %(store)s AND listing.variant_id = head.variant_id
    LEFT JOIN LATERAL (
        SELECT listing.id, listing.sku, listing.channel_sku, listing.title, (
            SELECT array_agg(part.sku || ' ' || trim_scale(part.quantity)
                             ORDER BY part.sku)
            FROM connections_component part
            WHERE part.listing_id = listing.id
        ) AS made_of
        WHERE listing.retired_at IS NULL AND listing.id IS NOT NULL
    ) live ON true;
    CREATE UNIQUE INDEX ON turned (variant_id);
    CREATE INDEX ON turned (sku);
    ANALYZE turned
"""

_UNKNOWN = """
    SELECT line, 'unknown', variant_id, NULL FROM turned
    WHERE retired AND listing_id IS NULL
    ORDER BY line
"""

# Whether a SKU is listed once the rows count, and whether anybody reports it.
_LISTED = """
    (EXISTS (SELECT FROM turned listed WHERE listed.sku = {sku} AND NOT listed.retired)
     OR EXISTS (
         SELECT FROM connections_listing listed
         WHERE listed.store_id = %(store)s AND listed.retired_at IS NULL
           AND listed.sku = {sku}
           AND NOT EXISTS (
               SELECT FROM turned WHERE turned.variant_id = listed.variant_id)))
"""
_REPORTED = """
    EXISTS (
        SELECT FROM connections_connection line
        JOIN connections_stocklevel level USING (warehouse_id)
        WHERE line.store_id = %(store)s AND level.sku = {sku})
"""

_TAKEN = f"""
    SELECT line, 'taken', variant_id, NULL FROM turned
    WHERE kind IN ('added', 'changed')
      AND {_REPORTED.format(sku="turned.variant_id")}
      AND NOT {_LISTED.format(sku="turned.variant_id")}
    ORDER BY line
"""  # noqa: S608  put together from the constants above

_GIVEN_BACK = f"""
    SELECT turned.line, 'given back', turned.before, owner.sku
    FROM turned
    JOIN connections_listing owner
        ON owner.store_id = %(store)s AND owner.variant_id = turned.before
       AND owner.retired_at IS NULL
    WHERE turned.kind IN ('retired', 'changed')
      AND NOT EXISTS (
          SELECT FROM turned other WHERE other.variant_id = owner.variant_id)
      AND {_REPORTED.format(sku="turned.before")}
      AND NOT {_LISTED.format(sku="turned.before")}
    ORDER BY turned.line
"""  # noqa: S608

# Every SKU that counts, or counted, for an id that changes; the ids themselves too,
# for a SKU of that name is sold as reported before or after.
_TOUCHED = """
    CREATE TEMP TABLE touched ON COMMIT DROP AS
    WITH turn AS (SELECT * FROM turned WHERE kind <> 'unchanged')
    SELECT sku FROM turn
    UNION SELECT before FROM turn
    UNION SELECT variant_id FROM turn
    UNION SELECT staged.component FROM staged JOIN turn USING (variant_id)
    UNION SELECT component.sku FROM connections_component component
        JOIN turn USING (listing_id)
"""

# What an id was sent with until now and is not any more; and SKUs that were sent as
# reported until now.
_FORMER = f"""
    WITH turn AS (SELECT * FROM turned WHERE kind <> 'unchanged'),
    made_of AS (
        SELECT turn.variant_id, component.sku
        FROM turn
        JOIN connections_listing listing ON listing.id = turn.listing_id
        JOIN connections_component component USING (listing_id)
        WHERE listing.retired_at IS NULL
    ),
    source AS (
        SELECT * FROM made_of
        UNION
        SELECT variant_id, before FROM turn
        WHERE before <> ''
          AND NOT EXISTS (SELECT FROM made_of WHERE made_of.variant_id = turn.variant_id)
        UNION
        SELECT sku, sku FROM turn
        WHERE NOT retired
          AND {_REPORTED.format(sku="turn.sku")}
          AND NOT EXISTS (
              SELECT FROM connections_listing listing
              WHERE listing.store_id = %(store)s AND listing.retired_at IS NULL
                AND (listing.sku = turn.sku OR listing.variant_id = turn.sku))
    )
    INSERT INTO connections_formersource (account_id, store_id, variant_id, sku)
    SELECT %(account)s, %(store)s, source.variant_id, source.sku
    FROM source
    WHERE NOT EXISTS (
        SELECT FROM turn
        JOIN staged USING (variant_id)
        WHERE turn.variant_id = source.variant_id AND NOT turn.retired
          AND coalesce(nullif(staged.component, ''), turn.sku) = source.sku)
    ON CONFLICT DO NOTHING
"""  # noqa: S608

# Nobody heard of the id: nothing is to be taken back, so nothing is kept.
_FORGET = """
    DELETE FROM connections_component component
    USING turned
    WHERE component.listing_id = turned.listing_id AND turned.kind = 'retired';
    DELETE FROM connections_listing listing
    USING turned
    WHERE listing.id = turned.listing_id AND turned.kind = 'retired'
"""

_WRITE = (
    """
    UPDATE connections_listing listing SET retired_at = now(), changed_at = now()
    FROM turned
    WHERE listing.id = turned.listing_id AND turned.kind = 'retired'
    """,
    """
    INSERT INTO connections_listing
        (public_id, account_id, store_id, sku, channel_sku, variant_id, title, changed_at)
    SELECT gen_random_uuid(), %(account)s, %(store)s, sku, channel_sku, variant_id,
           title, now()
    FROM turned
    WHERE kind IN ('added', 'changed')
    ON CONFLICT (store_id, variant_id) DO UPDATE SET
        sku = excluded.sku, channel_sku = excluded.channel_sku, title = excluded.title,
        retired_at = NULL, changed_at = excluded.changed_at
    """,
    """
    DELETE FROM connections_component component
    USING turned
    WHERE component.listing_id = turned.listing_id
      AND turned.kind IN ('added', 'changed')
    """,
    """
    INSERT INTO connections_component (account_id, listing_id, sku, quantity)
    SELECT %(account)s, listing.id, staged.component, staged.quantity
    FROM turned
    JOIN staged USING (variant_id)
    JOIN connections_listing listing
        ON listing.store_id = %(store)s AND listing.variant_id = turned.variant_id
    WHERE turned.kind IN ('added', 'changed') AND staged.component <> ''
    """,
)

_STAMP = """
    UPDATE connections_stocklevel level
    SET relisted_number = %s, relisted_at = now()
    FROM touched
    WHERE level.warehouse_id = %s AND level.sku = touched.sku
"""
