"""What a monitor scrapes, in Prometheus' text format; a fixed number of queries (O2).

All of it is read from the rows at the moment of the scrape, so it does not matter which
web process is asked, and nothing is counted twice or lost at a restart.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta

import redis
from django.conf import settings
from django.db import connection
from django.db.models import Count, F, IntegerField, Sum
from django.db.models.fields.json import KT
from django.db.models.functions import Cast, Coalesce, Now

from connections import problems
from connections.models import (
    Alert,
    Channel,
    Delivery,
    Heartbeat,
    StoreLease,
    SyncRun,
)
from connections.runs.context import DUPLICATES_PREVENTED
from connections.runs.heartbeat import BEATS_MISSED
from connections.wire import errors
from dropstream.health import PROBE_SECONDS
from inventory_planner.models import ApiUse

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
LATE_SECONDS = (0, 60, 300, 900, 3600)
QUEUES = ("runs", "checks", "ticks")
KINDS = errors.CODES | problems.CODES

Labels = dict[str, str]


@dataclass
class Metric:
    """One metric with its samples."""

    name: str
    help: str
    samples: list[tuple[Labels, float]] = field(default_factory=list)
    type: str = "gauge"

    def lines(self) -> Iterator[str]:
        yield f"# HELP dropstream_{self.name} {self.help}"
        yield f"# TYPE dropstream_{self.name} {self.type}"
        for labels, value in self.samples:
            pairs = ",".join(f'{name}="{text}"' for name, text in labels.items())
            yield f"dropstream_{self.name}{f'{{{pairs}}}' if pairs else ''} {value:g}"


def render() -> str:
    """Return all metrics as text."""
    metrics = [
        *_queue(),
        *_outcomes(),
        _leases(),
        _alerts(),
        *_deliveries(),
        *_life(),
        *_api(),
        *_broker(),
    ]
    return "".join(f"{line}\n" for metric in metrics for line in metric.lines())


def _queue() -> Iterable[Metric]:
    late = ", ".join(
        f"count(*) FILTER (WHERE late_s >= {seconds})" for seconds in LATE_SECONDS
    )
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            SELECT coalesce(max(late_s), 0), count(*) FILTER (WHERE state = 'queued'),
                   count(*) FILTER (WHERE state = 'running'), {late}
            FROM (
                SELECT state, CASE WHEN state = 'queued' AND due_at <= clock.now
                    THEN extract(epoch FROM clock.now - due_at) END AS late_s
                FROM connections_syncrun,
                     (SELECT statement_timestamp() AS now) clock
                WHERE state IN ('queued', 'running')
            ) unfinished
            """  # noqa: S608  constants of this file
        )
        oldest, queued, running, *counts = cursor.fetchone()
    older = [
        ({"older_than_s": str(seconds)}, count)
        for seconds, count in zip(LATE_SECONDS, counts, strict=True)
    ]
    return (
        Metric("runs_due", "Runs that wait although they are due, by age.", older),
        Metric(
            "oldest_due_seconds", "How long the oldest of them waits.", [({}, oldest)]
        ),
        Metric("runs_queued", "Runs that wait, due or not.", [({}, queued)]),
        Metric("runs_running", "Runs that work.", [({}, running)]),
        Metric(
            "gates_closed",
            "Channels that start nothing by themselves just now.",
            [({}, Channel.objects.filter(gate_until__isnull=False).count())],
        ),
    )


def _outcomes() -> Iterable[Metric]:
    ended = SyncRun.objects.filter(finished_at__gt=Now() - timedelta(hours=1))
    counts: Counter[tuple[str, str]] = Counter()
    prevented = 0
    for state, code, count, not_done_twice in ended.values_list(
        "state", "error_code"
    ).annotate(
        count=Count("pk"),
        prevented=Sum(Cast(KT(f"counts__{DUPLICATES_PREVENTED}"), IntegerField())),
    ):
        counts[state, str(KINDS[code]) if code in KINDS else "none"] += count
        prevented += not_done_twice or 0
    return (
        Metric(
            "runs_ended_last_hour",
            "Runs that ended within the last hour, by state and class of error.",
            [
                ({"state": state, "class": kind}, count)
                for (state, kind), count in sorted(counts.items())
            ],
        ),
        Metric(
            "duplicates_prevented_last_hour",
            "Files, orders, receipts and writes that these runs found done already.",
            [({}, prevented)],
        ),
    )


def _alerts() -> Metric:
    counts = Alert.objects.open().order_by("code").values_list("code")
    return Metric(
        "alerts_open",
        "Open alerts by code.",
        [({"code": code}, count) for code, count in counts.annotate(Count("pk"))],
    )


def _leases() -> Metric:
    steals = StoreLease.objects.aggregate(steals=Coalesce(Sum("steals"), 0))["steals"]
    return Metric(
        "lease_steals_total",
        "Stores that were taken from a worker that had died or slept.",
        [({}, steals)],
        "counter",
    )


def _deliveries() -> Iterable[Metric]:
    given_up = Delivery.objects.filter(state=Delivery.State.UNKNOWN)
    looked_up = Delivery.objects.filter(proved_at__gt=Now() - timedelta(days=1))
    proofs = looked_up.order_by().values_list("proof").annotate(Count("pk"))
    return (
        Metric(
            "deliveries_proved_last_day",
            "Files looked up after the platform's intake, by what it shows.",
            [({"proof": proof}, count) for proof, count in proofs],
        ),
        Metric(
            "deliveries_stuck",
            "Files that were begun over an hour ago and are not resolved.",
            [({}, Delivery.objects.stuck().count())],
        ),
        Metric(
            "deliveries_unknown_total",
            "Files of which nobody could tell whether they arrived.",
            [({}, given_up.count())],
            "counter",
        ),
    )


def _life() -> Iterable[Metric]:
    longest = BEATS_MISSED * settings.WORKER_HEARTBEAT_SECONDS
    workers = Heartbeat.objects.filter(kind=Heartbeat.Kind.WORKER).within(longest)
    tick = Heartbeat.objects.filter(kind=Heartbeat.Kind.TICK)
    age = tick.annotate(age=Now() - F("at")).values_list("age", flat=True).first()
    return (
        Metric("workers_alive", "Workers that take messages.", [({}, workers.count())]),
        Metric(
            "tick_age_seconds",
            "Time since the last tick; no sample before the first.",
            [] if age is None else [({}, age.total_seconds())],
        ),
    )


def _api() -> Iterable[Metric]:
    use = ApiUse.objects.aggregate(
        calls=Coalesce(Sum("calls"), 0),
        told_to_wait=Coalesce(Sum("told_to_wait"), 0),
        waited_s=Coalesce(Sum("waited_s"), 0.0),
    )
    return (
        Metric(
            "api_calls_total",
            "Requests to Inventory Planner's API.",
            [({}, use["calls"])],
            "counter",
        ),
        Metric(
            "api_told_to_wait_total",
            "Answers of the API that asked for a pause.",
            [({}, use["told_to_wait"])],
            "counter",
        ),
        Metric(
            "api_wait_seconds_total",
            "How long requests waited for their account's turn.",
            [({}, use["waited_s"])],
            "counter",
        ),
    )


def _broker() -> Iterable[Metric]:
    depth = Metric("queue_messages", "Bells that nobody has heard yet, by queue.")
    is_up = 1
    try:
        with redis.Redis.from_url(
            settings.REDIS_URL,
            socket_timeout=PROBE_SECONDS,
            socket_connect_timeout=PROBE_SECONDS,
        ) as client:
            for queue in QUEUES:
                depth.samples.append(({"queue": queue}, int(client.llen(queue))))
    except redis.RedisError:
        is_up, depth.samples = 0, []
    return Metric("broker_up", "Whether Redis answers.", [({}, is_up)]), depth
