"""Named checks of a far side, and how a failure of the network is named among them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from connections import dialling
from connections.problems import Problem
from connections.wire.errors import WireError
from connections.wire.sftp import Sftp
from connections.wire.ssh import Deadline
from stores import host_keys


class State(StrEnum):
    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"  # could not be tried, or is not configured yet


@dataclass(frozen=True)
class Finding:
    """The outcome of one named check.

    `code` names the words of `connections/messages.py`; `note` is what was found (a
    user name in use, a matched folder). `host` and `port` come with host-key failures.
    """

    check: str
    state: State
    code: str = ""
    detail: str = ""
    note: str = ""
    host: str = ""
    port: int = 0
    # Words that a field of the page may offer (statuses seen on orders).
    suggestions: tuple[str, ...] = ()


# The checks of an SFTP far side in the order in which they can fail.
REACH, HOST_KEY, LOG_IN, FOLDERS = "reach", "host_key", "log_in", "folders"
SFTP_CHECKS = (REACH, HOST_KEY, LOG_IN, FOLDERS)

_STAGES = {
    "host_key_unknown": HOST_KEY,
    "host_key_changed": HOST_KEY,
    "auth_refused": LOG_IN,
    "sftp_unavailable": LOG_IN,
    "private_key_invalid": LOG_IN,
    "secret_unreadable": LOG_IN,
}


def sftp_findings(
    access: dialling.SftpAccess,
    deadline: Deadline,
    look: Callable[[Sftp], str],
) -> Iterator[Finding]:
    """Connect once; yield reach, host key, log-in and folders as each is known.

    `look` inspects the folders and returns what it found. Raises nothing.
    """
    logged_in = False
    try:
        with dialling.open_sftp(access, deadline) as sftp:
            logged_in = True
            yield Finding(REACH, State.PASSED, note=f"{access.host}:{access.port}")
            yield Finding(HOST_KEY, State.PASSED, note=_fingerprints(access))
            yield Finding(LOG_IN, State.PASSED, note=access.username)
            found = look(sftp)
    except (WireError, Problem) as error:
        yield from _failed(error, access, logged_in=logged_in)
    else:
        yield Finding(FOLDERS, State.PASSED, note=found)


def skipped(code: str, checks: tuple[str, ...] = SFTP_CHECKS) -> Iterator[Finding]:
    """Nothing to try: the first check says why."""
    yield Finding(checks[0], State.SKIPPED, code=code)
    yield from (Finding(check, State.SKIPPED) for check in checks[1:])


def failure(check: str, error: WireError | Problem) -> Finding:
    """A failed check with its error's code and safe detail."""
    return Finding(check, State.FAILED, code=error.code, detail=error.detail)


def _fingerprints(access: dialling.SftpAccess) -> str:
    keys = host_keys.approved_keys(access.account_id, access.host, access.port)
    return ", ".join(key.sha256 for key in keys)


def _failed(
    error: WireError | Problem, access: dialling.SftpAccess, *, logged_in: bool
) -> Iterator[Finding]:
    # A line lost after the log-in is a matter of the folders, whatever its code.
    stage = FOLDERS if logged_in else _STAGES.get(error.code, REACH)
    at = SFTP_CHECKS.index(stage)
    if not logged_in:  # else those before were yielded when the log-in held
        yield from (Finding(check, State.PASSED) for check in SFTP_CHECKS[:at])
    failed = failure(stage, error)
    if stage == HOST_KEY:
        failed = Finding(
            stage,
            State.FAILED,
            code=error.code,
            host=access.host,
            port=access.port,
        )
    yield failed
    yield from (Finding(check, State.SKIPPED) for check in SFTP_CHECKS[at + 1 :])
