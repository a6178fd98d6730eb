"""What the database went through: every change of state, kept by triggers of the soak.

A poll would miss what lasts shorter than its interval. The triggers also note which
process wrote, and who held the store's lease at that moment.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.rows import dict_row

TRIGGERS = """
CREATE TABLE soak_history (
    id bigserial PRIMARY KEY,
    at double precision NOT NULL DEFAULT extract(epoch FROM clock_timestamp()),
    backend integer NOT NULL DEFAULT pg_backend_pid(),
    who text NOT NULL DEFAULT current_setting('application_name'),
    kind text NOT NULL,
    row_id bigint NOT NULL,
    store_id bigint,
    was text,
    became text,
    holder bigint,
    facts jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX ON soak_history (kind, row_id, id);

CREATE FUNCTION soak_run() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    INSERT INTO soak_history (kind, row_id, store_id, was, became, holder, facts)
    VALUES ('run', NEW.id, NEW.store_id, CASE TG_OP WHEN 'UPDATE' THEN OLD.state END,
        NEW.state, (SELECT run_id FROM connections_storelease l
                    WHERE l.store_id = NEW.store_id),
        jsonb_build_object('job', NEW.job, 'attempts', NEW.attempts,
            'due_at', extract(epoch FROM NEW.due_at), 'error', NEW.error_code));
    RETURN NULL;
END $$;
CREATE TRIGGER soak_run_made AFTER INSERT ON connections_syncrun
    FOR EACH ROW EXECUTE FUNCTION soak_run();
CREATE TRIGGER soak_run_moved AFTER UPDATE ON connections_syncrun
    FOR EACH ROW WHEN (OLD.state <> NEW.state) EXECUTE FUNCTION soak_run();

CREATE FUNCTION soak_delivery() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    INSERT INTO soak_history (kind, row_id, store_id, was, became, holder, facts)
    VALUES ('delivery', NEW.id, NEW.store_id,
        CASE TG_OP WHEN 'UPDATE' THEN OLD.state END, NEW.state,
        (SELECT run_id FROM connections_storelease l WHERE l.store_id = NEW.store_id),
        jsonb_build_object('name', NEW.name, 'entity', NEW.entity));
    RETURN NULL;
END $$;
CREATE TRIGGER soak_delivery_made AFTER INSERT ON connections_delivery
    FOR EACH ROW EXECUTE FUNCTION soak_delivery();
CREATE TRIGGER soak_delivery_moved AFTER UPDATE ON connections_delivery
    FOR EACH ROW WHEN (OLD.state <> NEW.state OR OLD.name <> NEW.name)
    EXECUTE FUNCTION soak_delivery();

CREATE FUNCTION soak_mark() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    INSERT INTO soak_history (kind, row_id, store_id, was, became, holder, facts)
    SELECT 'mark', NEW.id, c.store_id, OLD.sent_through, NEW.sent_through,
        (SELECT run_id FROM connections_storelease l WHERE l.store_id = c.store_id),
        jsonb_build_object('delivered', (
            SELECT coalesce(max(d.upper_bound), 0) FROM connections_delivery d
            WHERE d.channel_id = NEW.id AND d.state = 'delivered'))
    FROM connections_connection c WHERE c.id = NEW.connection_id;
    RETURN NULL;
END $$;
CREATE TRIGGER soak_mark_moved AFTER UPDATE ON connections_channel
    FOR EACH ROW WHEN (OLD.sent_through <> NEW.sent_through)
    EXECUTE FUNCTION soak_mark();

CREATE FUNCTION soak_lease() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    INSERT INTO soak_history (kind, row_id, store_id, was, became, holder, facts)
    VALUES ('lease', NEW.store_id, NEW.store_id, OLD.run_id, NEW.run_id, NEW.run_id,
        jsonb_build_object('alive', OLD.expires_at > clock_timestamp(),
            'fence', NEW.fence));
    RETURN NULL;
END $$;
CREATE TRIGGER soak_lease_moved AFTER UPDATE ON connections_storelease
    FOR EACH ROW WHEN (OLD.run_id IS DISTINCT FROM NEW.run_id)
    EXECUTE FUNCTION soak_lease();

CREATE FUNCTION soak_order() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    INSERT INTO soak_history (kind, row_id, store_id, became, facts)
    VALUES ('order', NEW.id, NEW.store_id, NEW.status,
        jsonb_build_object('external_id', NEW.external_id));
    RETURN NULL;
END $$;
CREATE TRIGGER soak_order_made AFTER INSERT ON connections_purchaseorder
    FOR EACH ROW EXECUTE FUNCTION soak_order();
"""


@dataclass(frozen=True)
class Change:
    """One committed change of a row; `holder` is the run that held the store's lease."""

    at: float
    backend: int
    who: str
    kind: str
    row_id: int
    store_id: int
    was: str | None
    became: str | None
    holder: int | None
    facts: dict[str, Any]


def install(owner_url: str) -> None:
    """Put the triggers on the product's tables."""
    with psycopg.connect(owner_url) as connection:
        connection.execute(TRIGGERS)


def read(owner_url: str) -> list[Change]:
    """Return every change, in the order in which they were made."""
    with psycopg.connect(owner_url, row_factory=dict_row) as connection:
        rows = connection.execute("SELECT * FROM soak_history ORDER BY id")
        return [Change(**{k: v for k, v in row.items() if k != "id"}) for row in rows]


WORKS = """
SELECT count(*) FROM connections_syncrun run
WHERE state = 'running' AND %s = (
    SELECT who FROM soak_history
    WHERE kind = 'run' AND row_id = run.id ORDER BY id DESC LIMIT 1)
"""


def works(owner_url: str, who: str) -> bool:
    """Say whether a process works on a run just now."""
    with psycopg.connect(owner_url) as connection:
        [found] = connection.execute(WORKS, [who]).fetchone() or [0]
        return bool(found)


def rows(owner_url: str, query: str) -> Iterator[dict[str, Any]]:
    """Yield what a query finds, past every model of the product."""
    with psycopg.connect(owner_url, row_factory=dict_row) as connection:
        yield from connection.execute(query.encode())
