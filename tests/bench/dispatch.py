"""The tick must not slow down with what is not due (issue 4)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from tests.bench.growth import analyse, database
from tests.bench.registry import Measured, compare, measure

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

T = TypeVar("T")

_DUE = 1000
_ACCOUNTS = 100
_SMALL, _LARGE = 10_000, 1_000_000
# Stores and warehouses of an account, each pair connected, and four schedules for each.
_SIDES = {_SMALL: (25, 1), _LARGE: (50, 50)}
_ROUNDS = 15
_WHOLE_ROUNDS = 9

# Rows of our own make need no foreign key looked up.
_FILL = """
SET LOCAL session_replication_role = replica;

INSERT INTO connections_connection
    (public_id, account_id, name, merchant_id, store_id, warehouse_id, remote_warehouse,
     enabled_at, created_at)
SELECT gen_random_uuid(), s.account_id, s.name || w.name, s.merchant_id, s.id, w.id, '',
       now(), now()
FROM stores_store s JOIN stores_warehouse w USING (merchant_id);

INSERT INTO connections_channel
    (public_id, account_id, connection_id, type, enabled_at, sent_through)
SELECT gen_random_uuid(), account_id, id, type, now(), 0
FROM connections_connection, unnest(ARRAY['inventory', 'purchase_orders']) AS type;

INSERT INTO connections_schedule
    (public_id, account_id, channel_id, job, kind, every_minutes, weekdays, next_due_at)
SELECT gen_random_uuid(), c.account_id, c.id, rule.job, kind, every_minutes, weekdays,
       now() + random() * interval '1 hour' + interval '1 hour'
FROM connections_channel c JOIN (VALUES
    ('inventory', 'stock_changes', 'hourly', 60, 127),
    ('inventory', 'stock_full', 'daily', 1440, 127),
    ('purchase_orders', 'orders_import', 'flexible', 15, 31),
    ('purchase_orders', 'orders_status', 'minutely', 240, 127)
) AS rule (type, job, kind, every_minutes, weekdays) USING (type);

UPDATE connections_schedule SET next_due_at = now() - random() * interval '15 seconds'
WHERE id IN (
    SELECT DISTINCT ON (store.id) schedule.id
    FROM connections_schedule schedule
    JOIN connections_channel channel ON channel.id = schedule.channel_id
    JOIN connections_connection connection ON connection.id = channel.connection_id
    JOIN stores_store store ON store.id = connection.store_id
    WHERE store.name::int < {due} / {accounts}
    ORDER BY store.id, schedule.public_id
)
"""


@measure("dispatch.growth", goal="≤ 1.5 ×")
def dispatch_growth() -> Measured:
    """A tick's dispatch, 1,000 schedules due among 1,000,000 against among 10,000.

    Once for make_due alone and once with the bells, which cost the broker the same
    whatever is in the tables and would hide much; the worse ratio counts. Each round is
    rolled back.
    """
    with database(), twin() as copy:
        from django.db import connections

        here = connections["default"]
        using(copy, lambda: _fill(_SMALL))
        _fill(_LARGE)

        def measured(work: Callable[[], None], rounds: int) -> Measured:
            return compare(
                lambda: using(copy, work), lambda: using(here, work), rounds=rounds
            )

        alone = measured(_make_due, _ROUNDS)
        whole = measured(_dispatch, _WHOLE_ROUNDS)
        _silence()
    detail = (
        f"{_DUE:,} due among {_SMALL:,} against {_LARGE:,}; make_due alone "
        f"{alone.ratio:.2f} × ({alone.detail}); with the bells {whole.ratio:.2f} × "
        f"({whole.detail})"
    )
    return Measured(max(alone.ratio, whole.ratio), detail)


@contextmanager
def twin() -> Iterator[BaseDatabaseWrapper]:
    """A connection to a copy of the empty test database, dropped afterwards."""
    from django.db import connections

    here = connections["default"]
    here.close()
    twin = here.copy()
    name = here.settings_dict["NAME"]
    twin.settings_dict["NAME"] = f"{name}_twin"
    with here._nodb_cursor() as cursor:
        cursor.execute(f'CREATE DATABASE "{name}_twin" TEMPLATE "{name}"')
    try:
        yield twin
    finally:
        twin.close()
        with here._nodb_cursor() as cursor:
            cursor.execute(f'DROP DATABASE "{name}_twin"')


def using(wrapper: BaseDatabaseWrapper, work: Callable[[], T]) -> T:
    """Let the product's code use a database connection for the length of one call."""
    from django.db import connections

    before, settings = connections["default"], connections.settings["default"]
    connections["default"] = wrapper
    # For the connections that the work makes itself, and those of its threads.
    connections.settings["default"] = wrapper.settings_dict
    try:
        return work()
    finally:
        connections["default"] = before
        connections.settings["default"] = settings


def _fill(schedules: int) -> None:
    from django.db import connection, transaction

    from stores.models import Store, Warehouse
    from tests import factories

    of = [factories.merchant(factories.account(f"3PL {n}")) for n in range(_ACCOUNTS)]
    stores, warehouses = _SIDES[schedules]
    Store.objects.bulk_create(
        Store(account=brand.account, merchant=brand, name=f"{n}", platform="none")
        for brand in of
        for n in range(stores)
    )
    Warehouse.objects.bulk_create(
        Warehouse(account=brand.account, merchant=brand, name=f"{n}", code=f"{n}")
        for brand in of
        for n in range(warehouses)
    )
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL statement_timeout = 0")
        cursor.execute(_FILL.format(due=_DUE, accounts=_ACCOUNTS))
        cursor.execute("SELECT count(*) FROM connections_schedule")
        [made] = cursor.fetchone()
    if made != schedules:
        raise RuntimeError(f"{made} schedules where {schedules} were meant")
    analyse()


def _make_due() -> None:
    """Runs of what is due; nothing stays."""
    from django.db import transaction

    from connections.runs import schedule

    with transaction.atomic():
        made = schedule.make_due()
        transaction.set_rollback(True)
    if made != _DUE:
        raise RuntimeError(f"{made} runs made")


def _dispatch() -> None:
    """The same, and the workers are told, as far as their window goes."""
    from django.db import transaction

    from connections.runs import queue, schedule

    with transaction.atomic():
        made, rung = schedule.make_due(), queue.ring_due()
        transaction.set_rollback(True)
    if made != _DUE or not rung:
        raise RuntimeError(f"{made} runs made, {rung} rung for")


def _silence() -> None:
    """Take the messages back: no worker listens."""
    from celery import current_app

    current_app.control.purge()
