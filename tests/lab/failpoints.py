"""Act at the product's fail-points: kill, fail or hold whoever comes by.

In the test's own process: `at`. In real workers: they are started as `-A
tests.lab.worker`, which arms what the variable FAILPOINTS says.
"""

from __future__ import annotations

import ast
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from connections import failpoints

PRODUCT = Path(failpoints.__file__).parent
VARIABLE = "FAILPOINTS"
KILLED = 137  # what a shell says of a process that SIGKILL ended

Act = Callable[[], None]


class FailpointError(Exception):
    """A fault of our own, planted."""


class Point:
    """Acts when its name is passed for the n-th time, and only then."""

    def __init__(self, name: str, act: Act, *, nth: int = 1) -> None:
        if name not in names():
            raise ValueError(f"no fail-point {name}; there are {sorted(names())}")
        self.passed = 0
        self._name, self._act, self._nth = name, act, nth
        self._lock = threading.Lock()

    def __call__(self, name: str) -> None:
        if name != self._name:
            return
        with self._lock:
            self.passed += 1
            acts = self.passed == self._nth
        if acts:
            self._act()

    @property
    def acted(self) -> bool:
        return self.passed >= self._nth


class Gate:
    """Holds whoever comes, until it is opened."""

    def __init__(self, longest_s: float = 30) -> None:
        self.reached, self._open = threading.Event(), threading.Event()
        self._longest_s = longest_s

    def __call__(self) -> None:
        self.reached.set()
        assert self._open.wait(self._longest_s)

    def open(self) -> None:
        self._open.set()


@contextmanager
def at(name: str, act: Act, *, nth: int = 1) -> Iterator[Point]:
    """Act at a fail-point of this process while the block runs."""
    point = Point(name, act, nth=nth)
    failpoints.hooks.append(point)
    try:
        yield point
    finally:
        failpoints.hooks.remove(point)


def fail() -> None:
    raise FailpointError


def die() -> None:
    """End the process as SIGKILL does: nothing is cleaned up."""
    os._exit(KILLED)


def arm(wanted: str) -> None:
    """Arm this process: `name=kill`, `name=fail` or `name=pause:SECONDS`, comma between.

    `name@3=kill` acts when the name is passed for the third time.
    """
    for entry in filter(None, wanted.split(",")):
        name, _, action = entry.partition("=")
        name, _, nth = name.partition("@")
        point = Point(name, _act(action), nth=int(nth or 1))
        failpoints.hooks.append(point)


def _act(action: str) -> Act:
    word, _, seconds = action.partition(":")
    if word == "pause":
        return lambda: time.sleep(float(seconds))
    return {"kill": die, "fail": fail}[word]


def names() -> frozenset[str]:
    """Every fail-point of the product, as its source has them."""
    return _NAMES


def _found() -> Iterator[str]:
    for path in PRODUCT.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Call(
                    func=ast.Name("failpoint"), args=[ast.Constant(str(name))]
                ):
                    yield name


_NAMES = frozenset(_found())
