"""What a check looks at: a saved store or warehouse, or a step of a draft."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

from connections import platforms
from connections.checks.findings import Finding, State, skipped
from connections.models import CheckRun, ConnectionDraft
from connections.problems import Problem
from connections.warehouses import file_exchange
from connections.wire.ssh import Deadline
from stores.models import SSHKey


def findings(check: CheckRun, deadline: Deadline) -> Iterator[Finding]:
    """Yield the named checks of the check's subject as they end."""
    try:
        yield from _findings(check, deadline)
    except Problem as problem:
        yield Finding("settings", State.FAILED, code=problem.code)


def _findings(check: CheckRun, deadline: Deadline) -> Iterator[Finding]:
    if check.store is not None:
        return platforms.of_store(check.store).findings(check.store, deadline)
    if check.warehouse is not None:
        return file_exchange.findings(check.warehouse, deadline)
    draft = cast(ConnectionDraft, check.draft)  # one of the three: a constraint
    if check.draft_step == "warehouse":
        return _draft_warehouse(draft, deadline)
    return _draft_store(draft, deadline)


def _draft_warehouse(draft: ConnectionDraft, deadline: Deadline) -> Iterator[Finding]:
    try:
        string = file_exchange.parse(
            draft.answers("warehouse").get("connection_string", "")
        )
    except ValueError:
        return skipped("connection_string_invalid")
    return file_exchange.draft_findings(draft.account, string, deadline)


def _draft_store(draft: ConnectionDraft, deadline: Deadline) -> Iterator[Finding]:
    answers = draft.answers("store")
    platform = platforms.of_slug(answers.get("platform", ""))
    key = cast(SSHKey, draft.ssh_key)  # made when the step was first shown
    return platform.draft_findings(draft.account, answers, key, deadline)
