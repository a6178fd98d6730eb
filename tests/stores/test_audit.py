"""What people decided is written with the change and never rewritten (A1-A3)."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import DatabaseError, connection, transaction

from stores import audit
from stores.models import Account, AuditEvent
from tests import factories

APP_ROLE = "dropstream_app"
REWRITES = [
    "UPDATE stores_auditevent SET action = 'other'",
    "DELETE FROM stores_auditevent",
    "TRUNCATE stores_auditevent",
    "TRUNCATE stores_auditevent CASCADE",
]


def record(of: Account, action: str = "thing.done") -> AuditEvent:
    with transaction.atomic():
        brand = factories.merchant(of)
        return audit.record(action, brand, by=None, after={"name": brand.name})


def test_an_event_without_its_changes_transaction_is_refused(
    transactional_db: None,
) -> None:
    """A1: neither exists without the other."""
    brand = factories.merchant(factories.account())
    with pytest.raises(transaction.TransactionManagementError):
        audit.record("thing.done", brand, by=None)


@pytest.mark.django_db
def test_an_event_goes_away_with_the_change_that_failed() -> None:
    """A1."""
    with transaction.atomic():
        record(factories.account())
        transaction.set_rollback(True)
    assert not AuditEvent.objects.exists()


@pytest.mark.django_db
@pytest.mark.parametrize("statement", REWRITES)
def test_the_owner_cannot_rewrite_it(statement: str) -> None:
    """A2."""
    record(factories.account())
    with (
        pytest.raises(DatabaseError, match="append-only"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute(statement)
    assert AuditEvent.objects.get().action == "thing.done"


@pytest.mark.parametrize("statement", REWRITES)
def test_the_application_role_cannot_rewrite_it(
    transactional_db: None, statement: str
) -> None:
    """A2: it appends and reads."""
    record(factories.account())
    settings = connection.settings_dict
    as_app = connection.copy("as_app")
    as_app.settings_dict = {**settings, "USER": APP_ROLE}
    try:
        with as_app.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM stores_auditevent")
            assert cursor.fetchone() == (1,)
            with pytest.raises(DatabaseError, match=r"permission denied|append-only"):
                cursor.execute(statement)
    finally:
        as_app.close()
    assert AuditEvent.objects.get().action == "thing.done"


@pytest.mark.django_db
def test_each_accounts_events_are_a_chain_of_their_own() -> None:
    """A3."""
    acme, other = factories.account("Acme"), factories.account("Other")
    events = [record(acme), record(other), record(acme)]
    assert [event.sequence for event in events] == [1, 1, 2]
    assert events[2].previous_hash == events[0].hash
    assert audit.first_broken_link(acme.pk) is None
    assert audit.first_broken_link(other.pk) is None


@pytest.mark.django_db
@pytest.mark.parametrize(
    "tampering",
    [
        "UPDATE stores_auditevent SET action = 'other' WHERE sequence = 2",
        "UPDATE stores_auditevent SET after = '{}' WHERE sequence = 2",
        "DELETE FROM stores_auditevent WHERE sequence = 2",
        "UPDATE stores_auditevent SET sequence = 9 WHERE sequence = 2",
    ],
)
def test_tampering_behind_the_triggers_is_found(tampering: str) -> None:
    """A3: whoever turns the triggers off still leaves a broken link."""
    acme = factories.account()
    for _ in range(3):
        record(acme)
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute(tampering)
        cursor.execute("SET LOCAL session_replication_role = DEFAULT")
    broken = audit.first_broken_link(acme.pk)
    assert broken is not None
    assert broken.sequence in (2, 3, 9)


def test_writers_at_once_make_one_chain(transactional_db: None) -> None:
    """A3: the next link sees the last one."""
    acme = factories.account()
    gate = threading.Barrier(6)

    def write() -> None:
        try:
            gate.wait(10)
            record(acme)
        finally:
            connection.close()

    with ThreadPoolExecutor(max_workers=6) as pool:
        for done in [pool.submit(write) for _ in range(6)]:
            done.result(20)
    sequences = AuditEvent.objects.order_by("sequence").values_list(
        "sequence", flat=True
    )
    assert list(sequences) == [1, 2, 3, 4, 5, 6]
    assert audit.first_broken_link(acme.pk) is None


@pytest.mark.django_db
def test_secrets_are_recorded_as_fingerprints_only() -> None:
    """A1: a saved store tells who and what, never the key."""
    brand = factories.merchant(factories.account())
    store = factories.store(brand, api_key="hunter2-canary-key", ip_account="123456")
    events = AuditEvent.objects.filter(target_id=str(store.public_id))
    assert {event.action for event in events} == {"store.settings"}
    told = str([(event.before, event.after) for event in AuditEvent.objects.all()])
    assert "hunter2" not in told
    assert "PRIVATE" not in told
