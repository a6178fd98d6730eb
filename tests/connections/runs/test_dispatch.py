"""Who is rung for, and when: in turn, once, and never lost (Q5, Q7, Q8, Q11, Q17)."""

from __future__ import annotations

import ast
import base64
import json
import os
import re
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
import redis
from celery import current_app
from django.db import connection as database
from django.db import transaction
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django import Settings

from connections.models import Channel, StoreLease, SyncRun
from connections.runs import execute, queue, schedule
from connections.runs import lease as leases
from connections.runs.jobs import JOBS
from dropstream.local.servers import Valkey
from stores.models import Account, Role
from tests import factories
from tests.connections.processes.conftest import ring_at
from tests.engine import enqueue

LONGEST_S = 60
CONNECTIONS = Path(queue.__file__).resolve().parent.parent


@pytest.fixture
def bell() -> Iterator[redis.Redis]:
    """The Redis of this test process alone, silent at first."""
    with redis.Redis.from_url(os.environ["REDIS_URL"]) as client:
        client.flushdb()
        yield client
        client.flushdb()


def heard(bell: redis.Redis) -> list[int]:
    """The runs that were rung for, in the order in which workers will hear it."""
    messages = reversed(bell.lrange("runs", 0, -1))
    bodies = (base64.b64decode(json.loads(message)["body"]) for message in messages)
    return [json.loads(body)[0][0] for body in bodies]


def test_a_message_holds_an_id_and_nothing_else(
    bell: redis.Redis, transactional_db: None
) -> None:
    """M1: nothing of a store, of a file or of a secret passes through Redis."""
    of = due_runs("Acme", 1)
    queue.ring_due()
    [message] = bell.lrange("runs", 0, -1)
    envelope = json.loads(message)
    assert envelope["content-type"] == "application/json"
    run = SyncRun.objects.get(account=of, state=SyncRun.State.QUEUED)
    arguments, keywords, rest = json.loads(base64.b64decode(envelope["body"]))
    assert (arguments, keywords) == ([run.pk], {})
    assert not any(rest.values())
    assert envelope["headers"]["argsrepr"] == f"[{run.pk}]"


def due_runs(name: str, count: int) -> Account:
    """An account with so many stores, each with one run that is due."""
    of = factories.account(name)
    factories.many_connections(of, count)
    now = timezone.now()
    channels = Channel.objects.filter(account=of, type=Channel.Type.INVENTORY)
    SyncRun.objects.bulk_create(
        SyncRun(
            account=of,
            connection=channel.connection,
            channel=channel,
            store_id=channel.connection.store_id,
            job="stock_changes",
            trigger=SyncRun.Trigger.SCHEDULE,
            due_at=now,
        )
        for channel in channels.select_related("connection")
    )
    return of


def accounts_of(run_ids: list[int]) -> list[str]:
    names = dict(
        SyncRun.objects.filter(pk__in=run_ids).values_list("pk", "account__name")
    )
    return [names[pk] for pk in run_ids]


def start(run_id: int) -> None:
    """A worker has heard the bell and works from now on."""
    assert execute._claim(run_id) is not None


def test_bells_are_rung_once_and_again_when_nobody_came(
    channel: Channel, bell: redis.Redis
) -> None:
    """Q5: one of a store at a time; the first job that is due."""
    schedule.make_due()
    assert queue.ring_due() == 1
    assert queue.ring_due() == 0
    SyncRun.objects.update(rung_at=timezone.now() - timedelta(hours=1))
    assert queue.ring_due() == 1
    assert len(heard(bell)) == 2
    assert len(set(heard(bell))) == 1


def test_a_store_whose_run_works_is_not_rung_for(
    channel: Channel, bell: redis.Redis
) -> None:
    """D19, Q17: its next run is rung for when the first one ends."""
    schedule.make_due()
    queue.ring_due()
    [first] = heard(bell)
    start(first)
    assert queue.ring_due() == 0
    SyncRun.objects.filter(pk=first).update(state="succeeded")
    StoreLease.objects.update(run=None, expires_at=None)
    queue.top_up()
    assert len(heard(bell)) == 2


def test_a_store_is_not_rung_for_while_its_lease_lives(
    channel: Channel, bell: redis.Redis
) -> None:
    """Q17: one that was not given back, because the database was away, runs out."""
    schedule.make_due()
    assert leases.take(SyncRun.objects.earliest("pk")) is not None
    assert queue.ring_due() == 0
    StoreLease.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    assert queue.ring_due() == 1


def test_a_flood_of_one_account_does_not_hold_up_others(
    transactional_db: None, bell: redis.Redis, settings: Settings
) -> None:
    """Q17: those who came first with many take turns with those who come with one."""
    settings.BELL_WINDOW = 10
    due_runs("flood", 60)
    assert queue.ring_due() == 10
    for number in range(5):
        due_runs(f"small {number}", 1)
    assert queue.ring_due() == 0  # the window is full: what was rung for is heard first
    for run_id in heard(bell)[:5]:
        start(run_id)
    queue.top_up()
    assert len(heard(bell)) == 10  # half of it is still to be heard
    start(heard(bell)[5])
    queue.top_up()
    rung = accounts_of(heard(bell)[10:])
    assert sorted(rung) == ["flood", *(f"small {number}" for number in range(5))]
    assert rung[-1] == "flood"


def test_accounts_with_much_take_turns(
    transactional_db: None, bell: redis.Redis, settings: Settings
) -> None:
    """Q17: neither who came first nor who has more is rung for more often."""
    settings.BELL_WINDOW = 12
    due_runs("first", 20)
    due_runs("second", 8)
    due_runs("third", 30)
    queue.ring_due()
    assert Counter(accounts_of(heard(bell))) == {"first": 4, "second": 4, "third": 4}


def test_what_is_not_due_is_not_rung_for(channel: Channel, bell: redis.Redis) -> None:
    """Q17, R3: later times, and so gates that are closed."""
    run = enqueue(channel, "stock_changes")
    later = timezone.now() + timedelta(minutes=1)
    SyncRun.objects.filter(pk=run.pk).update(due_at=later, rung_at=None)
    assert queue.ring_due() == 0


def test_eight_dispatchers_ring_once_for_each_row(
    transactional_db: None,
    bell: redis.Redis,
    threads: ThreadPoolExecutor,
    settings: Settings,
) -> None:
    """Q11: eight dispatchers, 1,000 rows, each once, never more than the window."""
    settings.BELL_WINDOW = 300
    due_runs("busy", 1000)
    gate = threading.Barrier(8)

    def dispatch() -> int:
        try:
            gate.wait(LONGEST_S)
            return queue.ring_due()
        finally:
            database.close()

    for expected in (300, 300, 300, 100):
        rung = [threads.submit(dispatch) for _ in range(8)]
        assert sum(done.result(LONGEST_S) for done in rung) == expected
        SyncRun.objects.filter(rung_at__isnull=False).update(state="succeeded")
    assert len(heard(bell)) == 1000
    assert len(set(heard(bell))) == 1000


def test_a_click_is_kept_while_the_broker_is_down(
    transactional_db: None, tmp_path: Path
) -> None:
    """Q7: the row is committed, "queued" is shown; with the broker back it is rung for."""
    valkey = Valkey(tmp_path / "valkey", volatile=True)
    url = valkey.start()
    before = current_app.conf.broker_url
    ring_at(f"redis+socket://{valkey.socket}")
    try:
        valkey.stop()
        account = factories.account()
        brand = factories.merchant(account)
        made = factories.connection(factories.store(brand), factories.warehouse(brand))
        channel = made.channels.get(type=Channel.Type.INVENTORY)
        browser = Client()
        browser.force_login(
            factories.person("sam@acme.example", account, Role.STAFF),
            "django.contrib.auth.backends.ModelBackend",
        )
        page = reverse("connections:run_now", args=[channel.public_id, "stock_changes"])
        shown = browser.post(page, follow=True).content.decode()
        assert "Inventory update: queued" in shown
        run = SyncRun.objects.get()
        assert (run.state, run.rung_at) == ("queued", None)
        assert queue.ring_due() == 1  # still nobody there: nothing is raised, or lost
        run.refresh_from_db()
        assert run.rung_at is None
        valkey.start()
        assert queue.ring_due() == 1
        with redis.Redis.from_url(url) as client:
            assert heard(client) == [run.pk]
    finally:
        valkey.stop()
        ring_at(before)


def test_a_change_that_is_rolled_back_rings_no_bell(
    channel: Channel, bell: redis.Redis
) -> None:
    """Q8: neither row nor bell; and never a bell before the commit."""

    class Undone(Exception):
        pass

    def change() -> None:
        with transaction.atomic():
            queue.enqueue(channel, JOBS["stock_changes"], SyncRun.Trigger.PERSON)
            assert heard(bell) == []
            raise Undone

    with pytest.raises(Undone):
        change()
    assert not SyncRun.objects.exists()
    assert heard(bell) == []
    with transaction.atomic():
        queue.enqueue(channel, JOBS["stock_changes"], SyncRun.Trigger.PERSON)
    assert heard(bell) == [SyncRun.objects.get().pk]


def test_a_bell_for_a_row_that_is_not_there_does_nothing(channel: Channel) -> None:
    """Q8: heard before its commit, or after its connection was deleted."""
    run_id = enqueue(channel, "stock_changes").pk
    SyncRun.objects.all().delete()
    execute.execute(run_id, {})
    assert not SyncRun.objects.exists()


def test_messages_are_sent_by_the_queue_alone_after_the_commit() -> None:
    """Q8: callers ring after the commit."""
    sends = re.compile(r"\.(send_task|delay|apply_async|retry)\(")
    for file in CONNECTIONS.rglob("*.py"):
        text = file.read_text()
        if file.name not in ("queue.py", "tasks.py"):  # the tick rings for chores
            assert not sends.search(text), file
            for call in _calls(ast.parse(text), {"ring", "ring_check"}):
                assert call in _within_on_commit(ast.parse(text)) | TENDING, file


# Rings again for checks whose bell got lost, from the tick: no transaction is open.
TENDING = {"queue.ring_check(check_id)"}


def _calls(tree: ast.AST, names: set[str]) -> set[str]:
    return {
        ast.unparse(node)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in names
    }


def _within_on_commit(tree: ast.AST) -> set[str]:
    hooks = (
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("on_commit")
    )
    return {call for hook in hooks for call in _calls(hook, {"ring", "ring_check"})}
