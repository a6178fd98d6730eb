"""Every code and every event has its words (U11)."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from connections import problems
from connections.checks import findings
from connections.messages import CHECKS, EVENTS, MESSAGES, explain, tell
from connections.wire import errors
from connections.wire.errors import Kind
from inventory_planner import definition

ROOT = Path(__file__).resolve().parent.parent.parent
CODES = errors.CODES | problems.CODES
# What the functions that wrap `note` add to the facts.
NONE = set[str]()
ADDED = {"_note": {"number"}, "_event": {"number"}, "note": NONE, "line_of": NONE}


def test_each_code_is_in_one_table() -> None:
    """A code says by itself whose it is."""
    assert not errors.CODES.keys() & problems.CODES.keys()
    assert MESSAGES.keys() == CODES.keys()


@pytest.mark.parametrize("code", sorted(CODES))
def test_every_code_has_all_four_parts(code: str) -> None:
    """U11: what happened, what it means, what to do, and who does it."""
    message = explain(code)
    for part in (message.happened, message.means, message.do):
        assert re.fullmatch(r"[A-Z“].*[.]", str(part)), part
    assert str(message.owner)
    words = f"{message.happened} {message.means} {message.do}"
    assert code not in words
    assert "%" not in words.replace("%40", "").replace("%3A", "")


@pytest.mark.parametrize("code", sorted(CODES))
def test_somebody_acts_where_somebody_must(code: str) -> None:
    """R1: what needs a person names one."""
    if CODES[code] == Kind.NEEDS_PERSON:
        assert "nobody" not in str(explain(code).owner)


def calls() -> Iterator[tuple[str, ast.Call]]:
    """Every call of `note`, of what it uses and of its wrappers in the product's code."""
    for app in ("connections", "inventory_planner"):
        for path in (ROOT / app).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call):
                    name = getattr(node.func, "attr", getattr(node.func, "id", ""))
                    if name in ADDED:
                        yield name, node


def events_of(call: ast.Call) -> list[str]:
    """The names of events among a call's arguments."""
    constants = (node for argument in call.args for node in ast.walk(argument))
    return [
        node.value
        for node in constants
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]


def test_every_event_in_the_code_has_a_sentence_with_its_facts() -> None:
    """A timeline that lacks a fact would be an error page."""
    used = set()
    for name, call in calls():
        given = {str(word.arg) for word in call.keywords} | ADDED[name]
        for event in events_of(call):
            used.add(event)
            wanted = set(re.findall(r"%\((\w+)\)s", str(EVENTS[event][1])))
            assert wanted <= given, event
    assert used == EVENTS.keys()


def test_every_event_can_be_told() -> None:
    facts = {
        name: "<b>"
        for _tone, text in EVENTS.values()
        for name in re.findall(r"%\((\w+)\)s", str(text))
    }
    for event in EVENTS:
        tone, sentence = tell(event, facts)
        assert tone in {"ok", "info", "warn", "bad"}
        assert "%(" not in sentence


def test_every_check_has_a_name() -> None:
    assert {*findings.SFTP_CHECKS, definition.API, "settings", "internal"} == set(
        CHECKS
    )
