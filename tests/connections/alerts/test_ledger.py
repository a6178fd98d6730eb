"""Alerts group instead of flooding, and end with the trouble (dropstream.md §4)."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import IntegrityError, transaction
from django.db import connection as database

from connections.alerts.ledger import close_alerts, dismiss_alert, raise_alert
from connections.models import Alert, Channel
from stores.models import AuditEvent
from tests import factories

LONGEST_S = 10


@pytest.fixture
def channel(transactional_db: None) -> Channel:
    """The stock channel of a connection that is on; no far side answers."""
    brand = factories.merchant(factories.account())
    made = factories.connection(factories.store(brand), factories.warehouse(brand))
    return made.channels.get(type=Channel.Type.INVENTORY)


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(max_workers=8) as pool:
        yield pool


def test_the_same_trouble_is_one_alert_with_a_count(channel: Channel) -> None:
    """R1: grouped by channel and code; the newest detail and side stand."""
    raise_alert("auth_refused", channel=channel, job="stock_changes", detail="first")
    first = Alert.objects.get()
    raise_alert("auth_refused", channel=channel, side="warehouse", detail="second")
    raise_alert("disk_full", channel=channel)
    alert = Alert.objects.get(code="auth_refused")
    assert (alert.pk, alert.count, alert.detail) == (first.pk, 2, "second")
    assert (alert.side, alert.job) == ("warehouse", "")
    assert alert.opened_at == first.opened_at < alert.last_at
    assert (alert.connection_id, alert.account_id) == (
        channel.connection_id,
        channel.account_id,
    )
    assert Alert.objects.open().count() == 2


def test_eight_raise_at_once_and_nobody_is_lost(
    channel: Channel, threads: ThreadPoolExecutor
) -> None:
    """R1, Q11: one row, each raise counted; a close in between opens a second one."""
    gate = threading.Barrier(8)

    def work(number: int) -> int:
        try:
            gate.wait(LONGEST_S)
            closed = 0
            for _ in range(5):
                raise_alert("auth_refused", channel=channel)
                closed += close_alerts(channel) if number == 0 else 0
            return closed
        finally:
            database.close()

    done = [threads.submit(work, number) for number in range(8)]
    closed = sum(end.result(LONGEST_S) for end in done)
    assert sum(Alert.objects.values_list("count", flat=True)) == 40
    assert Alert.objects.exclude(closed_at=None).count() == closed
    assert Alert.objects.open().count() <= 1


def test_what_is_rolled_back_raised_nothing(channel: Channel) -> None:
    """A1's twin: the alert and the state it tells of commit together."""
    with transaction.atomic():
        raise_alert("auth_refused", channel=channel)
        transaction.set_rollback(True)
    assert not Alert.objects.exists()


def test_a_code_without_words_is_refused(channel: Channel) -> None:
    """U11: nobody is told a slug."""
    with pytest.raises(KeyError):
        raise_alert("no_such_code", channel=channel)


def test_success_closes_what_it_disproves(channel: Channel) -> None:
    """R4: its own job's alerts and those of no job; closing twice is nothing."""
    for job in ("orders_import", "orders_status", ""):
        codes = {"orders_import": "api_timeout", "orders_status": "order_gone"}
        raise_alert(codes.get(job, "disk_full"), channel=channel, job=job)
    other = channel.connection.channels.exclude(pk=channel.pk).get()
    raise_alert("api_timeout", channel=other, job="orders_import")
    assert close_alerts(channel, job="orders_import") == 2
    assert close_alerts(channel, job="orders_import") == 0
    left = Alert.objects.open().values_list("channel", "code")
    assert set(left) == {(channel.pk, "order_gone"), (other.pk, "api_timeout")}
    assert close_alerts(channel) == 1


def test_a_success_disproves_nothing_that_was_raised_meanwhile(
    channel: Channel,
) -> None:
    """P3: "cannot tell" of one file stands when the run goes on and ends well."""
    raise_alert("disk_full", channel=channel)
    started = Alert.objects.get().last_at + timedelta(microseconds=1)
    raise_alert("auth_refused", channel=channel)
    assert close_alerts(channel, before=started) == 1
    assert Alert.objects.open().get().code == "auth_refused"


def test_trouble_that_comes_back_is_a_new_alert(channel: Channel) -> None:
    raise_alert("auth_refused", channel=channel)
    close_alerts(channel)
    raise_alert("auth_refused", channel=channel)
    assert list(Alert.objects.values_list("count", "closed_at")[:1]) == [(1, None)]
    assert Alert.objects.count() == 2


def test_dismissing_is_audited_once(channel: Channel) -> None:
    """A1: by whom; the second click finds it closed."""
    person = factories.person("ada@acme.example", channel.account)
    raise_alert("auth_refused", channel=channel)
    alert = Alert.objects.get()
    assert dismiss_alert(alert, by=person)
    assert not dismiss_alert(alert, by=person)
    alert.refresh_from_db()
    assert alert.dismissed_by == person
    assert alert.closed_at is not None
    event = AuditEvent.objects.get(action="alert.dismissed")
    assert (event.target_id, event.actor_id) == (str(alert.public_id), person.pk)


def test_an_alert_of_another_account_is_refused_by_the_database(
    channel: Channel,
) -> None:
    """T3."""
    channel.account = factories.account("Other 3PL")
    with pytest.raises(IntegrityError):
        raise_alert("auth_refused", channel=channel)
