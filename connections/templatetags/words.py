"""Words and rows that templates need: errors, findings, timelines."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from django import template
from django.utils.formats import number_format
from django.utils.html import format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from connections.messages import CHECKS, DECISIONS, HOLDS, Message, explain, tell
from connections.models import Activity, CheckRun, Delivery, StockReport
from connections.runs.jobs import JOBS
from stores.models import AuditEvent, HostKey

register = template.Library()

# Decisions whose values are worth a line; of the others the name says all.
TOLD_IN_FULL = ("order.edited", "order.routed")


@register.filter
def quantity(value: Decimal) -> str:
    """As short as can be, in the reader's way: 1,200 or 0.5."""
    return number_format(Decimal(f"{value.normalize():f}"), force_grouping=True)


REPORT_TONES = {
    StockReport.State.WAITING: "wait",
    StockReport.State.APPLIED: "ok",
    StockReport.State.REFUSED: "bad",
}


@register.filter
def report_tone(report: StockReport) -> str:
    """The tone of a stock report's state."""
    return REPORT_TONES.get(StockReport.State(report.state), "off")


FILE_TONES = {
    Delivery.State.ASKED: "wait",
    Delivery.State.BUILT: "wait",
    Delivery.State.SENDING: "busy",
    Delivery.State.CLOSING: "busy",
    Delivery.State.RENAMING: "busy",
    Delivery.State.DELIVERED: "ok",
    Delivery.State.UNKNOWN: "warn",
}


@register.filter
def file_tone(file: Delivery) -> str:
    """The tone of a file's state, or of its proof when that is bad."""
    if file.proof == Delivery.Proof.NOT_CONFIRMED:
        return "bad"
    return FILE_TONES.get(Delivery.State(file.state), "off")


_BREAK = SafeString("_<wbr>")


@register.filter
def file_name(name: object) -> SafeString:
    """A name that breaks between its parts, where a line is too short for it."""
    return format_html_join(_BREAK, "{}", ((part,) for part in str(name).split("_")))


@register.simple_tag
def findings(check: CheckRun) -> list[dict[str, Any]]:
    """Turn a check's results into rows of components/checks.html."""
    return [_finding(check, result) for result in check.results]


def _finding(check: CheckRun, result: dict[str, Any]) -> dict[str, Any]:
    name = str(CHECKS[result["check"]])
    row: dict[str, Any] = {"name": name, "state": result["state"]}
    row["suggestions"] = result.get("suggestions")
    if result["note"]:
        row["cause"] = result["note"]
    if result["state"] == "skipped" and result["code"].endswith("_missing"):
        row["word"] = _("Not configured yet")
    if result["code"]:
        message = explain(result["code"])
        row |= {
            "cause": f"{message.happened} {message.means}",
            "next": message.do,
            "owner": message.owner,
            "detail": result["detail"],
        }
    if result.get("host_key"):
        keys = HostKey.objects.of(check.account_id, result["host"], result["port"])
        row["host_key"] = keys.filter(public_id=result["host_key"]).first()
        row["approved"] = list(keys.approved())
        if result["code"] == "host_key_unknown":
            row["state"] = "warning"  # nothing went wrong: somebody has to look
        if row["host_key"] and row["host_key"].approved_at:
            row["host_key"] = None  # somebody approved it meanwhile
    return row


@register.simple_tag
def verdict(check: CheckRun, found: list[dict[str, Any]]) -> str:
    """The sentence above a check's rows."""
    if check.state == CheckRun.State.FAILED and check.needs_approval:
        if any(row.get("host_key") for row in found):
            return _("Approve the server's key to go on.")
        return _("The key is approved. Test the connection again.")
    sentences = {
        CheckRun.State.PASSED: _("Success!"),
        CheckRun.State.FAILED: _("The test failed."),
        CheckRun.State.CANCELLED: _("Test cancelled."),
    }
    return sentences.get(CheckRun.State(check.state), _("Testing…"))


@register.simple_tag
def explained(code: str) -> Message:
    """The four parts of an error's words."""
    return explain(code)


@register.simple_tag
def timeline(activities: Iterable[Activity]) -> list[dict[str, Any]]:
    """Turn activities into events of components/timeline.html."""
    return [_event(activity) for activity in activities]


@register.simple_tag
def whole_timeline(
    activities: Iterable[Activity] | None,
    decisions: Iterable[AuditEvent],
    *,
    names_people: bool,
) -> list[dict[str, Any]]:
    """The same with what people decided in between, newest first.

    `names_people`: not for merchants, who read what was decided but not by whom of the
    3PL's people (docs/decisions/0024).
    """
    decided = [
        {
            "at": event.at,
            "tone": "info",
            "title": DECISIONS[event.action],
            "text": "; ".join(
                f"{name}: {event.before.get(name, '')} → {value}"
                for name, value in event.after.items()
            )
            if event.action in TOLD_IN_FULL
            else "",
            "who": event.actor if names_people else "",
        }
        for event in decisions
        if event.action in DECISIONS
    ]
    events = [*timeline(activities or ()), *decided]
    return sorted(events, key=lambda event: event["at"], reverse=True)


def _event(activity: Activity) -> dict[str, Any]:
    facts = dict(activity.facts)
    text = ""
    if "job" in facts:
        facts["job"] = JOBS[facts["job"]].label
    if "code" in facts:
        message = explain(facts["code"])
        text = f"{message.happened} {message.do}"
    if facts.get("held"):
        text = str(HOLDS[facts["held"]].happened)
    tone, title = tell(activity.event, facts)
    return {"at": activity.at, "tone": tone, "title": title, "text": text}
