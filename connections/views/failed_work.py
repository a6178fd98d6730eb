"""The dead letters: what failed for good, why, and doing it again."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from django.contrib import messages
from django.db.models import Count
from django.http import HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_http_methods, require_safe

from connections.messages import Message, Text, explain
from connections.models import Delivery, SyncRun
from connections.models.run import RunQuerySet
from connections.runs.jobs import JOBS, Job
from connections.runs.replay import replay, replayable
from connections.views.paging import page_newest_first, uuid_of
from stores.access import Action, MemberRequest, check, member_required
from stores.models import Store


@dataclass(frozen=True)
class Choice:
    """Which of the dead runs: one, or those of a cause and of a store."""

    run: str = ""
    cause: str = ""
    store: str = ""

    @classmethod
    def of(cls, sent: QueryDict) -> Choice:
        return cls(*(sent.get(name, "") for name in ("run", "cause", "store")))

    @property
    def named(self) -> dict[str, str]:
        """What was chosen by, and nothing else."""
        return {name: value for name, value in vars(self).items() if value}

    def among(self, dead: RunQuerySet) -> RunQuerySet:
        if self.run:
            dead = dead.filter(public_id=uuid_of(self.run))
        if self.store:
            dead = dead.filter(store__public_id=uuid_of(self.store))
        return dead.filter(error_code=self.cause) if self.cause else dead


@dataclass(frozen=True)
class Row:
    """A dead run as the list shows it."""

    run: SyncRun
    job: Job
    message: Message
    files: list[Delivery]
    is_on_its_way: bool

    @property
    def to_do(self) -> Text:
        """What a person has to do first; "wait for the next try" is over."""
        return "" if self.message.heals else self.message.do


@require_safe
@member_required
def failed_work(request: MemberRequest) -> HttpResponse:
    """The newest failure of each job that has not succeeded since; by cause and store."""
    check(request.user, Action.MANAGE_CONNECTIONS)
    choice = Choice.of(request.GET)
    dead = SyncRun.objects.for_user(request.user).dead()
    shown = choice.among(dead).select_related("connection__store")
    page = page_newest_first(shown, request.GET.get("after", ""))
    causes = dead.order_by("error_code").values_list("error_code")
    context = {
        "nav": "operations",
        "rows": _rows(page.rows),
        "page": page,
        "choice": choice,
        "causes": [
            (code, explain(code).happened, count)
            for code, count in causes.annotate(Count("pk"))
        ],
        "store": Store.objects.for_user(request.user)
        .filter(public_id=uuid_of(choice.store))
        .first(),
    }
    return render(request, "operations/failed_work.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@member_required
def failed_replay(request: MemberRequest) -> HttpResponse:
    """Say how many it would be; with POST let them start, each in its turn."""
    check(request.user, Action.MANAGE_CONNECTIONS)
    choice = Choice.of(request.POST if request.method == "POST" else request.GET)
    back = reverse("connections:failed_work")
    if not choice.named:
        messages.info(request, _("Choose a cause or a store first."))
        return redirect(back)
    dead = choice.among(SyncRun.objects.for_user(request.user).dead())
    if request.method == "POST":
        started = replay(dead, by=request.user, chosen=choice.named)
        messages.success(request, _said(started))
        return redirect(back)
    count = dead.count()
    on = replayable(dead).count()
    context = {
        "nav": "operations",
        "choice": choice,
        "count": on,
        "off": count - on,
        "sends_stock": dead.filter(job__startswith="stock_").exists(),
        "cause": explain(choice.cause).happened if on and choice.cause else "",
    }
    return render(request, "operations/replay.html", context)


def _rows(runs: Iterable[SyncRun]) -> list[Row]:
    channels = {run.channel_id for run in runs}
    unfinished = SyncRun.objects.unfinished().filter(channel__in=channels)
    on_their_way = set(unfinished.values_list("channel_id", "job"))
    files: dict[int, list[Delivery]] = {}
    waiting = Delivery.objects.unfinished().filter(channel__in=channels)
    for delivery in waiting.order_by("pk"):
        files.setdefault(delivery.channel_id, []).append(delivery)
    return [
        Row(
            run=run,
            job=JOBS[run.job],
            message=explain(run.error_code),
            files=files.get(run.channel_id, []),
            is_on_its_way=(run.channel_id, run.job) in on_their_way,
        )
        for run in runs
    ]


def _said(started: int) -> str:
    if not started:
        return _("Nothing was added: it is on its way already, or switched off.")
    return (
        ngettext(
            "%d is queued and starts in its turn.",
            "%d are queued and start in their turn.",
            started,
        )
        % started
    )
