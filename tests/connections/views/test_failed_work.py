"""The dead letters: listed, counted first, replayed once (R5, R6)."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from datetime import timedelta

from django.db import connection as database
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from connections.deliveries import build
from connections.models import Channel, Connection, Delivery, SyncRun
from connections.runs import queue, switch
from connections.runs.jobs import JOBS
from connections.views import paging
from connections.wire.errors import WireError
from stores.models import AuditEvent
from tests import factories
from tests.connections.wizard.walk import log_in
from tests.engine import attempt, drain, enqueue
from tests.factories import Cast, Line
from tests.household import Household, dead_run, household

LIST = "/operations/failed/"
REPLAY = "/operations/failed/replay/"
ADMIN = "/admin/connections/syncrun/"


def text_of(client: Client, url: str, **query: str) -> str:
    """A page's words without its tags."""
    page = client.get(url, query).content.decode()
    words = re.sub(r"<[^>]+>", " ", page.partition("<main")[2])
    return html.unescape(re.sub(r"\s+", " ", words))


def said(client: Client, url: str = REPLAY, **form: str) -> str:
    """What is said after a POST."""
    page = client.post(url, form, follow=True).content.decode()
    return html.unescape(page)


def waiting() -> list[tuple[int, str, str]]:
    runs = SyncRun.objects.filter(state="queued").order_by("pk")
    return list(runs.values_list("channel_id", "job", "trigger"))


def stock_of(rows: Household) -> Channel:
    return rows.connection.channels.get(type=Channel.Type.INVENTORY)


def another_store(rows: Household) -> Connection:
    brand = factories.merchant(rows.store.account, "Green")
    return factories.connection(factories.store(brand), factories.warehouse(brand))


def replayed() -> Iterator[dict[str, object]]:
    for event in AuditEvent.objects.filter(action="failed_work.replayed").order_by(
        "pk"
    ):
        yield event.after


def test_an_empty_list_says_what_comes_here(cast: Cast, rows: Household) -> None:
    words = text_of(log_in(cast.staff), LIST)
    assert "No failed work" in words
    assert "Filter" not in words


def test_a_row_says_cause_tries_time_and_the_unfinished_file(
    cast: Cast, rows: Household
) -> None:
    """R5: cause in words, attempts, when, payload digest."""
    stock = stock_of(rows)
    dead_run(stock, job="stock_changes")
    file = build.build(
        stock, entity=Delivery.Entity.STOCK, prefix="stock", pieces=[b"a,b\n"]
    )
    words = text_of(log_in(cast.staff), LIST)
    for said_there in (
        *("Inventory update", "Plain connection", "Plain store"),
        *("The connection broke off.", " 10 ", file.name, file.sha256[:16]),
    ):
        assert said_there in words
    assert file.sha256 in log_in(cast.staff).get(LIST).content.decode()


def test_everybody_sees_their_own_failures(cast: Cast, rows: Household) -> None:
    """T1, T5: the account's, the scope's; a merchant user none at all."""
    dead_run(rows.channel)
    dead_run(household(cast.other_merchant, cast.administrator, text="Red").channel)
    seen = {
        person.email: [
            name for name in ("Plain", "Red") if f"{name} connection" in words
        ]
        for person in (cast.administrator, cast.staff, cast.scoped_staff, cast.stranger)
        if (words := text_of(log_in(person), LIST)) or True
    }
    both = ["Plain", "Red"]
    assert list(seen.values()) == [both, both, ["Plain"], []]
    assert log_in(cast.merchant_user).get(LIST).status_code == 403


def test_it_is_filtered_by_cause_and_store(cast: Cast, rows: Household) -> None:
    """R5."""
    other = another_store(rows)
    dead_run(rows.channel)
    dead_run(stock_of(rows), job="stock_changes", code="disk_full")
    dead_run(other.channels.get(type="purchase_orders"), code="disk_full")
    client = log_in(cast.administrator)
    words = text_of(client, LIST, cause="disk_full")
    assert ("Inventory update" in words, words.count("Import ")) == (True, 1)
    assert "(2)" in words
    words = text_of(client, LIST, store=str(other.store.public_id))
    assert other.name in words
    assert "Plain connection" not in words
    assert "Nothing found" in text_of(client, LIST, store="no-id")


def test_long_lists_are_cut_and_cost_the_same(cast: Cast, rows: Household) -> None:
    """Keyset: no row twice, none left out, and a constant number of queries."""
    client = log_in(cast.administrator)
    dead_run(rows.channel)
    with CaptureQueriesContext(database) as few:
        client.get(LIST)
    factories.many_connections(rows.store.account, 60)
    for channel in Channel.objects.filter(type="inventory"):
        dead_run(channel, job="stock_changes")
    with CaptureQueriesContext(database) as many:
        first = client.get(LIST)
    assert len(many) == len(few)
    pages = [first.context["page"]]
    while pages[-1].next_after:
        found = client.get(LIST, {"after": pages[-1].next_after})
        pages.append(found.context["page"])
    listed = [run.pk for page in pages for run in page.rows]
    assert len(pages[0].rows) == paging.ROWS
    assert listed == sorted(SyncRun.objects.dead().values_list("pk", flat=True))[::-1]


def test_one_is_replayed_after_it_was_counted(cast: Cast, rows: Household) -> None:
    """R5, R6: the count first; a GET changes nothing."""
    run = dead_run(stock_of(rows), job="stock_changes")
    client = log_in(cast.staff)
    words = text_of(client, REPLAY, run=str(run.public_id))
    assert "Try 1 piece of failed work again?" in words
    assert "Stock is sent as it stands now" in words
    assert waiting() == []
    assert "1 is queued" in said(client, run=str(run.public_id))
    assert waiting() == [(run.channel_id, "stock_changes", "replay")]
    asked = SyncRun.objects.get(state="queued")
    assert asked.requested_by == cast.staff
    assert "On its way again" in text_of(client, LIST)
    event = AuditEvent.objects.get(action="failed_work.replayed")
    assert (event.actor, event.account_id) == (str(cast.staff), rows.store.account_id)
    assert event.after == {"run": str(run.public_id), "runs": 1}


def test_twice_is_one_effect(cast: Cast, rows: Household) -> None:
    """R5."""
    run = dead_run(rows.channel)
    client = log_in(cast.staff)
    for words in ("1 is queued", "Nothing was added"):
        assert words in said(client, run=str(run.public_id))
    assert len(waiting()) == 1
    assert len(list(replayed())) == 1


def test_one_that_waits_for_its_retry_is_brought_forward_once(
    cast: Cast, rows: Household
) -> None:
    """R5: at most one unfinished run of a channel and job."""
    run = dead_run(rows.channel)
    later = timezone.now() + timedelta(hours=1)
    queue.enqueue(rows.channel, JOBS[run.job], SyncRun.Trigger.PERSON)
    SyncRun.objects.filter(state="queued").update(due_at=later, attempts=3)
    client = log_in(cast.staff)
    for words in ("1 is queued", "Nothing was added"):
        assert words in said(client, run=str(run.public_id))
    again = SyncRun.objects.get(state="queued")
    assert (again.attempts, again.tries, again.trigger) == (3, 0, "replay")
    assert again.due_at <= timezone.now()


def test_by_cause_and_all_of_a_store(cast: Cast, rows: Household) -> None:
    """R5: what was chosen, and no more; each with how many in the audit."""
    other = another_store(rows)
    theirs = [
        dead_run(other.channels.get(type="purchase_orders"), code="disk_full"),
        dead_run(other.channels.get(type="inventory"), job="stock_changes"),
    ]
    dead_run(rows.channel, code="disk_full")
    client = log_in(cast.administrator)
    assert "Try 2 pieces" in text_of(client, REPLAY, cause="disk_full")
    assert "2 are queued" in said(client, cause="disk_full")
    store = str(other.store.public_id)
    assert "Try 2 pieces" in text_of(client, REPLAY, store=store)
    assert "1 is queued" in said(client, store=store)
    assert {(run.channel_id, run.job) for run in theirs} < {
        run[:2] for run in waiting()
    }
    assert len(waiting()) == 3
    assert list(replayed()) == [
        {"cause": "disk_full", "runs": 2},
        {"store": store, "runs": 1},
    ]


def test_nothing_is_replayed_without_a_choice_or_of_others(
    cast: Cast, rows: Household
) -> None:
    """T1: neither everything by accident, nor what is out of scope."""
    run = dead_run(household(cast.other_merchant, cast.administrator).channel)
    mine = log_in(cast.scoped_staff)
    assert "Choose a cause or a store first" in said(mine)
    for form in ({"run": str(run.public_id)}, {"cause": run.error_code}):
        assert "Nothing was added" in said(mine, **form)
    assert "Nothing to replay" in text_of(mine, REPLAY, run=str(run.public_id))
    assert log_in(cast.merchant_user).post(REPLAY, {"cause": "x"}).status_code == 403
    assert waiting() == []


def test_off_means_off(cast: Cast, rows: Household) -> None:
    """dropstream.md §3: what is switched off is counted apart and stays."""
    run = dead_run(rows.channel)
    dead_run(stock_of(rows), job="stock_changes")
    switch.disable_channel(rows.channel, by=cast.staff)
    client = log_in(cast.staff)
    words = text_of(client, REPLAY, cause="network_lost")
    assert "Try 1 piece" in words
    assert "1 more is switched off" in words
    assert "1 is queued" in said(client, cause="network_lost")
    assert run.channel_id not in {channel for channel, *_ in waiting()}


def test_a_success_or_a_newer_failure_takes_one_off_the_list(line: Line) -> None:
    """R5: the newest dead run of a job that has not succeeded since."""
    stock = line.stock
    old, new = (dead_run(stock, job="stock_changes") for _ in range(2))
    full = dead_run(stock, job="stock_full")
    run = enqueue(stock, "stock_changes")
    SyncRun.objects.filter(pk=run.pk).update(attempts=9)
    attempt(run, WireError("network_lost"))
    assert set(SyncRun.objects.dead()) == {run, full}
    for resolved in (old, new):
        resolved.refresh_from_db()
        assert resolved.resolved_at is not None
    attempt(enqueue(stock, "stock_changes"))
    assert list(SyncRun.objects.dead()) == [full]


def test_replaying_stock_sends_the_current_stock(line: Line) -> None:
    """R6: a file that never started is not sent any more; newer values are."""
    stale = build.build(
        line.stock, entity=Delivery.Entity.STOCK, prefix="stock", pieces=[b"old\n"]
    )
    run = dead_run(line.stock, job="stock_changes")
    assert "1 is queued" in said(log_in(line.person), run=str(run.public_id))
    done = [run for run in drain() if run.trigger == "replay"]
    assert [run.state for run in done] == ["succeeded"]
    stale.refresh_from_db()
    assert stale.state == "superseded"
    [sent] = line.dropped()
    assert b"old" not in sent
    assert not SyncRun.objects.dead().exists()


def test_the_onboarding_team_replays_after_a_count(cast: Cast, rows: Household) -> None:
    """A5, R5: of every account, confirmed, audited in each; twice is once."""
    elsewhere = household(factories.merchant(cast.other), cast.stranger)
    runs = [dead_run(rows.channel), dead_run(elsewhere.channel)]
    client = log_in(cast.onboarding)
    assert "Failed work" in client.get(ADMIN).content.decode()
    form = {"action": "replay", "_selected_action": [str(run.pk) for run in runs]}
    asked = client.post(ADMIN, form).content.decode()
    assert "2 runs will start again" in asked
    assert waiting() == []
    for words in ("2 runs are queued", "0 runs are queued"):
        done = client.post(ADMIN, {**form, "confirmed": "1"}, follow=True)
        assert words in done.content.decode()
    assert len(waiting()) == 2
    events = AuditEvent.objects.filter(action="failed_work.replayed")
    assert {event.account_id for event in events} == {
        rows.store.account_id,
        elsewhere.store.account_id,
    }
