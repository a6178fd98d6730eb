"""Run a check that a person asked for; they watch its findings arrive."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import asdict
from datetime import timedelta

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from connections.checks.findings import Finding, State
from connections.models import Channel, CheckRun
from connections.runs import queue, retry
from connections.wire.ssh import Deadline
from stores.models import HostKey

log = logging.getLogger(__name__)

CHECK_SECONDS = 60.0
LOST_AFTER = timedelta(seconds=2 * CHECK_SECONDS)
RING_AGAIN_AFTER = timedelta(seconds=15)
PER_MINUTE = 10  # security.md E10

Findings = Callable[[CheckRun, Deadline], Iterator[Finding]]


class TooManyChecksError(Exception):
    """The person has started as many checks as a minute allows."""


@transaction.atomic
def start(check: CheckRun) -> CheckRun:
    """Save a new check and ring for it. Raises TooManyChecksError."""
    recent = CheckRun.objects.filter(
        requested_by=check.requested_by,
        created_at__gt=timezone.now() - timedelta(minutes=1),
    )
    if recent.count() >= PER_MINUTE:
        raise TooManyChecksError
    check.save()
    transaction.on_commit(lambda: queue.ring_check(check.pk))
    return check


def execute(check_id: int, findings: Findings) -> None:
    """Claim a waiting check and append each finding as it comes."""
    claimed = CheckRun.objects.filter(pk=check_id, state=CheckRun.State.QUEUED).update(
        state=CheckRun.State.RUNNING, started_at=timezone.now()
    )
    if not claimed:
        return
    check = CheckRun.objects.get(pk=check_id)
    try:
        for finding in findings(check, Deadline(CHECK_SECONDS)):
            if not _append(check, finding):
                return  # cancelled meanwhile
        passed = all(result["state"] != State.FAILED for result in check.results)
    except Exception:
        log.exception("check broke", extra={"check": str(check.public_id)})
        _append(check, Finding("internal", State.FAILED, code="internal_error"))
        passed = False
    if passed:
        # What waited for a person to mend this need not wait for its own next look.
        retry.lift_for_person(_channels(check))
    _running(check).update(
        state=CheckRun.State.PASSED if passed else CheckRun.State.FAILED,
        finished_at=timezone.now(),
    )


def cancel(check: CheckRun) -> None:
    """Stop watching; what was found stays."""
    CheckRun.objects.filter(pk=check.pk, state__in=CheckRun.UNFINISHED).update(
        state=CheckRun.State.CANCELLED, finished_at=timezone.now()
    )


def tend() -> None:
    """Ring again for checks whose bell got lost; end those whose worker is gone."""
    now = timezone.now()
    waiting = CheckRun.objects.filter(
        state=CheckRun.State.QUEUED, created_at__lt=now - RING_AGAIN_AFTER
    )
    for check_id in waiting.values_list("pk", flat=True)[:100]:
        queue.ring_check(check_id)
    CheckRun.objects.filter(
        state=CheckRun.State.RUNNING, started_at__lt=now - LOST_AFTER
    ).update(state=CheckRun.State.FAILED, finished_at=now)


def _append(check: CheckRun, finding: Finding) -> bool:
    result = asdict(finding)
    if finding.host:
        # A key that nobody has approved: the page offers it for approval.
        offered = HostKey.objects.of(check.account_id, finding.host, finding.port)
        newest = offered.pending().order_by("pk").last()
        result["host_key"] = str(newest.public_id) if newest else ""
    check.results.append(result)
    return bool(_running(check).update(results=check.results))


def _channels(check: CheckRun) -> QuerySet[Channel]:
    """The channels that use what was tested; none of a draft."""
    if check.store_id is not None:
        return Channel.objects.filter(connection__store=check.store_id)
    if check.warehouse_id is not None:
        return Channel.objects.filter(connection__warehouse=check.warehouse_id)
    return Channel.objects.none()


def _running(check: CheckRun) -> QuerySet[CheckRun]:
    return CheckRun.objects.filter(pk=check.pk, state=CheckRun.State.RUNNING)
