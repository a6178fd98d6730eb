"""Script the sandbox's far sides: one reply late, lost, refused, or lost once applied.

Steps of SFTP have names (dropstream/sandbox/ssh_server.py): `wrote`, `closed`, `renamed`
come when the step has taken effect, so `cut` at them loses the reply only.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable

from dropstream.sandbox import Sandbox
from dropstream.sandbox.http_server import Request, Response, json_response
from dropstream.sandbox.ssh_server import DropConnection, Fault

Act = Callable[[], Awaitable[None] | None]
Answer = Callable[[Request], Response | None]
LONGEST_S = 60


def at_step(
    faults: list[Fault], op: str, act: Act, *, path: str = "/", nth: int = 1
) -> None:
    """Act at the n-th step of a kind whose path holds `path`; once.

    `faults` is the `sftp_faults` of a side of the sandbox.
    """
    left = [nth]

    def fault(step: str, where: str) -> Awaitable[None] | None:
        if step != op or path not in where:
            return None
        left[0] -= 1
        if left[0]:
            return None
        faults.remove(fault)
        return act()

    faults.append(fault)


def cut() -> None:
    """Cut the line without a reply."""
    raise DropConnection


def refuse(error: Exception) -> Act:
    """Answer with an error, an `asyncssh.SFTPError` or an `OSError`."""

    def act() -> None:
        raise error

    return act


class Hold:
    """Keeps a reply back until it is let go; other clients are served meanwhile."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self._gone_on = threading.Event()

    async def __call__(self) -> None:
        self.reached.set()
        for _ in range(LONGEST_S * 100):
            if self._gone_on.is_set():
                return
            await asyncio.sleep(0.01)

    def wait(self) -> None:
        assert self.reached.wait(LONGEST_S)

    def go_on(self) -> None:
        self._gone_on.set()


def at_request(
    sandbox: Sandbox, method: str, ending: str, answer: Answer, *, nth: int = 1
) -> None:
    """Answer the n-th API request of a kind otherwise; once.

    An answer of None leaves it to Inventory Planner, after whatever `answer` did.
    """
    left = [nth]

    def script(request: Request) -> Response | None:
        if request.method != method or not request.path.endswith(ending):
            return None
        left[0] -= 1
        if left[0]:
            return None
        sandbox.ip.answers.remove(script)
        return answer(request)

    sandbox.ip.answers.append(script)


def drop(_request: Request) -> Response:
    """Lose the request: nothing is done, nothing answered."""
    return Response(drop=True)


def apply_and_drop(sandbox: Sandbox) -> Answer:
    """Do what was asked and lose the reply."""

    def answer(request: Request) -> Response:
        sandbox.ip.normal_answer(request)
        return Response(drop=True)

    return answer


def fail(status: int) -> Answer:
    """Answer with an error of Inventory Planner's kind."""
    document = {"result": {"status": "error", "message": "scripted"}}
    return lambda _request: json_response(document, status)
