"""Edit rules: the forms of a job's rules, their words, and the next runs (U10, U19)."""

from __future__ import annotations

import re
from datetime import UTC, datetime, time
from html import unescape
from itertools import pairwise
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from connections.models import Channel, Schedule
from connections.runs import schedule
from connections.runs.jobs import JOBS
from connections.runs.rules import Kind, Rule
from connections.views.recurrence import in_demo, in_words
from stores.models import Account, AuditEvent
from tests.connections.wizard.walk import log_in
from tests.factories import Cast
from tests.household import Household

WEEKDAYS = ["0", "1", "2", "3", "4"]


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        (Rule(Kind.MINUTELY, 15), "Every 15 minutes"),
        (Rule(Kind.MINUTELY, 60), "Every hour"),
        (Rule(Kind.MINUTELY, 240), "Every 4 hours"),
        (Rule(Kind.MINUTELY, 90), "Every 90 minutes"),
        (Rule(Kind.HOURLY, 60), "Every hour at :00"),
        (Rule(Kind.HOURLY, 240, at=time(0, 15)), "Every 4 hours at :15"),
        (Rule(Kind.DAILY, 1440, at=time(1)), "Daily at 01:00"),
        (Rule(Kind.DAILY, 4320, at=time(13, 5)), "Every 3 days at 13:05"),
        (Rule(Kind.FLEXIBLE, 30), "Every 30 minutes"),
        (
            Rule(Kind.FLEXIBLE, 30, weekdays=0b0011111, start_hour=8, end_hour=17),
            "Every 30 minutes, Mon–Fri, 8 am to 5 pm",
        ),
        (
            Rule(Kind.FLEXIBLE, 60, weekdays=0b1010001, start_hour=12, end_hour=12),
            "Every hour, Mon, Fri, Sun, 12 pm to 12 pm",
        ),
        (Rule(Kind.FLEXIBLE, 60, end_hour=22), "Every hour, 12 am to 10 pm"),
    ],
)
def test_a_rule_in_plain_words(rule: Rule, words: str) -> None:
    """dropstream.md §3: Recurrence."""
    assert in_words(rule) == words


@pytest.mark.parametrize(
    ("minutes", "words"),
    [(60, "15 seconds"), (1, "1 second"), (1440, "6 minutes")],
)
def test_a_demo_says_how_often_it_really_is(
    settings: Settings, minutes: int, words: str
) -> None:
    assert in_demo(Rule(Kind.MINUTELY, minutes)) == ""
    settings.DEMO_CLOCK_SPEED = 240.0
    assert in_demo(Rule(Kind.MINUTELY, minutes)) == words


def channel_of(rows: Household, job: str) -> Channel:
    return rows.connection.channels.get(type=JOBS[job].channel)


def url(rows: Household, job: str) -> str:
    return reverse("connections:rules", args=[channel_of(rows, job).public_id, job])


def sent(go: str, *rules: dict[str, Any], **more: str) -> dict[str, Any]:
    """What a browser sends of rules that each name their kind."""
    data: dict[str, Any] = {"go": go, "kind": [rule["kind"] for rule in rules], **more}
    for n, rule in enumerate(rules):
        data |= {f"rule-{n}-{name}": value for name, value in rule.items()}
    return data


def flexible(**values: Any) -> dict[str, Any]:
    return {
        "kind": "flexible",
        "every": "1",
        "unit_of_every": "60",
        "weekdays": WEEKDAYS,
        "start_hour": "8",
        "end_hour": "17",
    } | values


def saved(job: str) -> list[str]:
    rows = Schedule.objects.filter(job=job)
    return sorted(in_words(Rule.of(row)) for row in rows)


def text_of(html: str) -> str:
    return unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html)))


def post(client: Client, rows: Household, job: str, data: dict[str, Any]) -> str:
    """Send the form and return the page that follows."""
    return client.post(url(rows, job), data, follow=True).content.decode()


def test_every_kind_of_rule_is_saved_and_shown_again(
    cast: Cast, rows: Household
) -> None:
    """dropstream.md §3: rules stack; A1: audited once, with before and after."""
    rules = [
        {"kind": "minutely", "every": "90"},
        {"kind": "hourly", "every": "4", "minute": "15"},
        {"kind": "daily", "every": "1", "at": "01:00"},
        flexible(),
    ]
    client = log_in(cast.scoped_staff)
    page = post(client, rows, "stock_changes", sent("save", *rules))
    assert "Inventory update: schedules saved." in page
    assert saved("stock_changes") == [
        "Daily at 01:00",
        "Every 4 hours at :15",
        "Every 90 minutes",
        "Every hour, Mon–Fri, 8 am to 5 pm",
    ]
    event = AuditEvent.objects.get(action="channel.rules")
    assert [rule["every_minutes"] for rule in event.before["stock_changes"]] == [60]
    assert len(event.after["stock_changes"]) == 4
    # As it is shown, it is sent: nothing changes.
    assert 'value="01:00"' in page
    assert page.count(" checked") == 5
    page = post(client, rows, "stock_changes", sent("save", *rules))
    assert "nothing was changed" in page
    assert AuditEvent.objects.filter(action="channel.rules").count() == 1
    shown = text_of(
        client.get(
            reverse("connections:page", args=[rows.connection.public_id])
        ).content.decode()
    )
    assert "Every hour, Mon–Fri, 8 am to 5 pm" in shown


def test_without_rules_it_runs_by_hand_only(cast: Cast, rows: Household) -> None:
    client = log_in(cast.staff)
    page = post(client, rows, "orders_import", sent("save"))
    assert "None: it runs by hand only." in page
    assert saved("orders_import") == []
    shown = client.get(reverse("connections:page", args=[rows.connection.public_id]))
    assert shown.content.decode().count("By hand only") == 2  # the full update as well


@pytest.mark.parametrize(
    ("job", "rule", "field", "error"),
    [
        ("stock_changes", {"kind": "minutely", "every": "59"}, "every", "from 60 to"),
        ("orders_import", {"kind": "minutely", "every": "14"}, "every", "from 15 to"),
        ("orders_status", flexible(every="14", unit_of_every="1"), "every", "from 15"),
        ("stock_full", {"kind": "minutely", "every": "60"}, "every", "from 1440 to"),
        ("stock_full", flexible(), "every", "hours from 24 to 24"),
        ("orders_import", {"kind": "minutely", "every": ""}, "every", "how often"),
        ("orders_import", {"kind": "minutely", "every": "often"}, "every", "whole"),
        (
            "orders_import",
            {"kind": "hourly", "every": "25", "minute": "0"},
            "every",
            "hours from 1 to 24",
        ),
        (
            "orders_import",
            {"kind": "hourly", "every": "1", "minute": "60"},
            "minute",
            "from 0 to 59",
        ),
        (
            "orders_import",
            {"kind": "daily", "every": "1", "at": "late"},
            "at",
            "time of day",
        ),
        ("orders_import", flexible(weekdays=[]), "weekdays", "at least one day"),
        ("orders_import", flexible(end_hour="7"), "end_hour", "not before the Start"),
        ("orders_import", flexible(end_hour="24"), "end_hour", "not one of"),
    ],
)
def test_what_is_wrong_is_said_at_its_field_and_nothing_is_saved(
    cast: Cast,
    rows: Household,
    job: str,
    rule: dict[str, Any],
    field: str,
    error: str,
) -> None:
    """U10: all or nothing; what was typed stands there still."""
    before = saved(job)
    right = {"kind": "daily", "every": "1", "at": "03:07"}
    client = log_in(cast.staff)
    for go in ("save", "preview"):
        page = client.post(url(rows, job), sent(go, right, rule)).content.decode()
        assert "<title>Error: Edit rules" in page
        [wrong] = re.findall(r'class="ds-field ds-field-bad" id="field-([^"]+)"', page)
        assert wrong == f"rule-1-{field}"
        assert re.search(f"Schedule 2: [^<]*{error}", page)
        assert f'href="#id_rule-1-{field}' in page
        assert 'value="03:07"' in page
        if isinstance(rule.get(field), str) and not field.endswith("hour"):
            assert f'name="rule-1-{field}" value="{rule[field]}"' in page or (
                rule[field] == ""
            )
    assert saved(job) == before
    assert not AuditEvent.objects.filter(action="channel.rules").exists()


def test_a_demo_shows_times_to_the_second(
    cast: Cast, rows: Household, settings: Settings
) -> None:
    """Rule and reality: the demo's clock runs faster."""
    settings.DEMO_CLOCK_SPEED = 240.0
    client = log_in(cast.staff)
    page = client.get(reverse("connections:page", args=[rows.connection.public_id]))
    assert "Every hour (15 seconds in this demo)" in text_of(page.content.decode())
    told = client.get(url(rows, "stock_changes")).content.decode()
    assert len(re.findall(r"<li><time[^>]*>[^<]+\d\d:\d\d:\d\d UTC</time>", told)) == 5


def test_adding_and_deleting_keeps_what_was_typed(cast: Cast, rows: Household) -> None:
    """U2's rule here: wrong values too; nothing is saved, nothing is judged."""
    before = saved("orders_import")
    typed = (
        {"kind": "minutely", "every": "often"},
        {"kind": "daily", "every": "2", "at": "04:09"},
    )
    client = log_in(cast.staff)
    page = post(client, rows, "orders_import", sent("add", *typed, new_kind="flexible"))
    assert re.findall(r'name="kind" value="(\w+)"', page) == [
        "minutely",
        "daily",
        "flexible",
    ]
    assert 'value="often"' in page
    assert 'value="04:09"' in page
    assert "ds-field-bad" not in page
    assert "autofocus" in page
    page = post(client, rows, "orders_import", sent("delete-0", *typed))
    assert re.findall(r'name="kind" value="(\w+)"', page) == ["daily"]
    assert 'name="rule-0-at" value="04:09"' in page
    assert saved("orders_import") == before


def test_what_no_page_sends_does_no_harm(cast: Cast, rows: Household) -> None:
    client = log_in(cast.staff)
    for data in (
        sent("delete-9", {"kind": "daily"}),
        sent("delete-x", {"kind": "daily"}),
        sent("add", {"kind": "daily"}, new_kind="yearly"),
        sent("nonsense", {"kind": "yearly"}, {"kind": "daily"}),
    ):
        page = post(client, rows, "orders_import", data)
        assert re.findall(r'name="kind" value="(\w+)"', page) == ["daily"]
    many = sent("add", *[{"kind": "daily"}] * 30, new_kind="daily")
    page = post(client, rows, "orders_import", many)
    assert page.count('name="kind"') == 10
    assert "Add schedule" not in page
    assert client.get(url(rows, "orders_import") + "x/").status_code == 404
    other = reverse(
        "connections:rules", args=[channel_of(rows, "stock_full").public_id, "x"]
    )
    assert client.get(other).status_code == 404


@pytest.mark.parametrize(
    ("due", "at", "expected"),
    [
        (
            datetime(2026, 10, 24, 0, 30, tzinfo=UTC),
            "02:30",
            [
                "Sat 24 Oct 2026, 02:30 CEST",
                "Sun 25 Oct 2026, 02:30 CEST",
                "Mon 26 Oct 2026, 02:30 CET",
            ],
        ),
        (
            datetime(2026, 3, 28, 1, 30, tzinfo=UTC),
            "02:30",
            [
                "Sat 28 Mar 2026, 02:30 CET",
                "Sun 29 Mar 2026, 03:00 CEST",
                "Mon 30 Mar 2026, 02:30 CEST",
            ],
        ),
    ],
)
def test_u19_the_next_five_runs_around_both_changes_of_the_clock(
    cast: Cast, rows: Household, due: datetime, at: str, expected: list[str]
) -> None:
    """U19, D22: in the account's zone, named; by the times that stand in the rows."""
    Account.objects.update(time_zone="Europe/Berlin")
    channel = channel_of(rows, "orders_import")
    rule = Rule(Kind.DAILY, 1440, at=time.fromisoformat(at))
    schedule.save_rules(channel, JOBS["orders_import"], [rule], by=None)
    channel.schedules.filter(job="orders_import").update(next_due_at=due)
    page = log_in(cast.staff).get(url(rows, "orders_import")).content.decode()
    told = re.findall(r"<li><time[^>]*>([^<]+)</time>", page)
    assert len(told) == 5
    assert told[:3] == expected
    assert "In the account's time zone, Europe/Berlin." in page


def test_a_preview_tells_the_runs_of_what_is_typed(cast: Cast, rows: Household) -> None:
    """U19: by the clock of the account; nothing is saved."""
    Account.objects.update(time_zone="Australia/Lord_Howe")
    before = saved("stock_full")
    rule = {"kind": "daily", "every": "2", "at": "01:45"}
    client = log_in(cast.staff)
    page = post(client, rows, "stock_full", sent("preview", rule))
    told = re.findall(r"<li><time[^>]*>\w+ (\d+ \w+ \d+, \d+:\d+) [^<]+</time>", page)
    times = [datetime.strptime(one, "%d %b %Y, %H:%M") for one in told]  # noqa: DTZ007
    assert {at.time() for at in times} == {time(1, 45)}
    assert {(later - at).days for at, later in pairwise(times)} == {2}
    assert saved("stock_full") == before
    rows.connection.enabled_at = None
    rows.connection.save()
    page = post(client, rows, "stock_full", sent("preview", rule))
    assert "Nothing runs while it is off. If it were on:" in page
