"""Add a connection in four steps; each has its URL under the draft's id."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from django import forms
from django.conf import settings
from django.contrib import messages
from django.db import IntegrityError, transaction
from django.http import HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.decorators import method_decorator
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST
from formtools.wizard.views import NamedUrlWizardView

from connections.checks import execute as checks
from connections.models import CheckRun, ConnectionDraft
from connections.orders import routing
from connections.stock.locations import LocationTakenError
from connections.warehouses import file_exchange
from connections.wizard import review
from connections.wizard.finish import finish, make_key_pair
from connections.wizard.forms import (
    EXISTING,
    BasicForm,
    MerchantForm,
    StepForm,
    StoreForm,
    WarehouseForm,
    store_form,
)
from stores import audit, sealing
from stores.access import (
    Action,
    MemberRequest,
    check,
    get_or_404,
    may,
    member_required,
)
from stores.models import Merchant

TITLES = dict(ConnectionDraft.Step.choices)
STEPS: list[tuple[str, type[StepForm]]] = [
    ("basic", BasicForm),
    ("merchant", MerchantForm),
    ("warehouse", WarehouseForm),
    ("store", StoreForm),
]


@require_POST
@member_required
def start(request: MemberRequest) -> HttpResponse:
    """Begin a new draft and go to its first step."""
    check(request.user, Action.MANAGE_CONNECTIONS)
    draft = ConnectionDraft.objects.create(
        account=request.membership.account, created_by=request.user
    )
    return redirect("connections:wizard", draft=draft.public_id, step="basic")


@require_POST
@member_required
def discard(request: MemberRequest, draft: str) -> HttpResponse:
    """Throw an unfinished draft away; its key pair was never used for a store."""
    row = get_or_404(
        ConnectionDraft.objects.open(), request.user, draft, Action.MANAGE_CONNECTIONS
    )
    with transaction.atomic():
        audit.record("draft.discarded", row, by=request.user)
        ConnectionDraft.objects.filter(pk=row.pk).discard()
    messages.success(request, _("Draft “%(name)s” discarded.") % {"name": row})
    return redirect("connections:list")


@require_GET
@member_required
def platform_fields(request: MemberRequest, draft: str) -> HttpResponse:
    """The fields of the picked platform, for the page that is open (htmx)."""
    row = get_or_404(
        ConnectionDraft.objects.open(), request.user, draft, Action.MANAGE_CONNECTIONS
    )
    form_class = store_form(request.GET.get("store-platform", ""))
    typed = row.answers("store")  # another pick meanwhile lost nothing of it
    shown = {name: typed[name] for name in typed if name not in form_class.secrets}
    form = form_class(user=request.user, prefix="store", initial=shown)
    context = {"form": form, "draft": row, **store_context(row, form, request)}
    return render(request, "connections/wizard/_platform.html", context)


def store_context(
    draft: ConnectionDraft, form: forms.Form, request: MemberRequest
) -> dict[str, Any]:
    """What the store step shows besides its fields: the key, made once."""
    with transaction.atomic():
        locked = ConnectionDraft.objects.select_for_update(of=("self",)).get(
            pk=draft.pk
        )
        key = make_key_pair(locked, settings.SSH_KEY_TYPE, by=request.user)
    sections = [
        (title, [form[name] for name in names if name in form.fields])
        for title, names in getattr(form, "sections", ())
    ]
    return {"key": key, "sections": sections}


@method_decorator(member_required, name="dispatch")
class AddConnectionView(NamedUrlWizardView):
    """formtools' wizard over a draft row: typed input is stored before it is judged."""

    storage_name = "connections.wizard.storage.DraftStorage"
    request: MemberRequest

    def dispatch(self, request: Any, *args: Any, **kwargs: Any) -> HttpResponseBase:
        # One transaction: two tabs of one draft take turns, and neither loses a word.
        with transaction.atomic():
            drafts = ConnectionDraft.objects.select_for_update(of=("self",))
            request.draft = self.draft = get_or_404(
                drafts, request.user, kwargs["draft"], Action.MANAGE_CONNECTIONS
            )
            if self.draft.connection_id:
                # Already added: a second click, or Back after the end.
                return redirect("connections:list")
            return cast(HttpResponseBase, super().dispatch(request, *args, **kwargs))

    def get_step_url(self, step: str) -> str:
        kwargs = {"draft": self.draft.public_id, "step": step}
        return reverse("connections:wizard", kwargs=kwargs)

    def get(self, request: Any, *args: Any, **kwargs: Any) -> HttpResponse:
        step = kwargs["step"]
        gap = self._first_gap(before=step)
        if step not in TITLES or gap is not None:
            return redirect(self.get_step_url(gap or "basic"))
        self.storage.current_step = step
        # Unbound: what was typed is shown again, and judged when it is sent again.
        return cast(HttpResponse, self.render(self.get_form(step)))

    def post(self, request: Any, *args: Any, **kwargs: Any) -> HttpResponse:
        step = kwargs["step"]
        if step not in TITLES:
            return redirect(self.get_step_url("basic"))
        self.storage.current_step = step
        self._keep(step)
        if "keep" in request.POST:  # sent while the person types
            if step != self.steps.last:
                return HttpResponse(status=204)
            context = {"answers": self._reviewed(step), "here": True}
            return render(request, "connections/wizard/_answers.html", context)
        gap = self._first_gap(before=step)
        goto = request.POST.get("goto", "")
        if gap is not None or goto in TITLES:
            # "Change" in the review comes back to it.
            back = f"?return={step}" if gap is None and step == self.steps.last else ""
            return redirect(self.get_step_url(gap or goto) + back)
        if step == self.steps.last:
            # Shown with the step, as a rule; made here for who sends it unseen.
            make_key_pair(self.draft, settings.SSH_KEY_TYPE, by=request.user)
        if "test" in request.POST and self._is_testable(step):
            return self._test(step)
        form = self.get_form(step, data=self.storage.get_step_data(step))
        if not form.is_valid():
            return cast(HttpResponse, self.render(form))
        for notice in form.notices:
            messages.info(request, notice)
        for warning in form.warnings:
            messages.warning(request, warning)
        if step == self.steps.last:
            return self._finish(form)
        asked = request.GET.get("return", "")
        return redirect(
            self.get_step_url(asked if asked in TITLES else self.steps.next)
        )

    def get_form(
        self, step: str | None = None, data: Any = None, files: Any = None
    ) -> StepForm:
        step = step or self.steps.current
        form_class = dict(STEPS)[step]
        kwargs: dict[str, Any] = {"user": self.request.user, "prefix": step}
        typed = self.draft.answers(step)
        if step == "store":
            form_class = store_form(typed.get("platform", ""))
        if step in ("warehouse", "store"):
            kwargs["merchant"] = self._merchant()
        shown = {k: v for k, v in typed.items() if k not in form_class.secrets}
        return form_class(data, initial=shown, **kwargs)

    def get_template_names(self) -> list[str]:
        return [f"connections/wizard/{self.steps.current}.html"]

    def get_context_data(self, form: StepForm, **kwargs: Any) -> dict[str, Any]:
        context = super().get_context_data(form, **kwargs)
        step = self.steps.current
        context.update(
            nav="connections",
            draft=self.draft,
            step=step,
            step_title=TITLES[step],
            step_rail=self._rail(step),
            previous=self.steps.prev,
            returns="return" in self.request.GET,
            kept=self._kept(step),
            check=self.draft.checks.filter(draft_step=step).first(),
            may_approve=may(self.request.user, Action.APPROVE_HOST_KEY),
        )
        if step == "warehouse":
            context["warnings"] = self._warnings(form)
        if step == "merchant":
            context["address"] = [form[name] for name in MerchantForm.address]
        if step == "store":
            context.update(store_context(self.draft, form, self.request))
            context["review"] = self._review()
        return cast(dict[str, Any], context)

    def _keep(self, step: str) -> None:
        """Store raw input before it is judged; an empty secret keeps the stored one."""
        typed = self.request.POST.copy()
        before = self.storage.get_step_data(step) or {}
        form_class = (
            store_form(typed.get("store-platform", ""))
            if step == "store"
            else dict(STEPS)[step]
        )
        for name in form_class.secrets:
            field = f"{step}-{name}"
            if not typed.get(field, "").strip() and before.get(field):
                typed[field] = before[field]
        typed.pop("csrfmiddlewaretoken", None)
        self.storage.set_step_data(step, typed)
        self.storage.save()

    def _is_testable(self, step: str) -> bool:
        """Whether it is known what to try; else the step says what it lacks."""
        return step != "store" or bool(self.draft.answers("store").get("platform"))

    def _test(self, step: str) -> HttpResponse:
        run = CheckRun(
            account=self.draft.account,
            requested_by=self.request.user,
            draft=self.draft,
            draft_step=step,
        )
        try:
            checks.start(run)
        except checks.TooManyChecksError:
            messages.warning(
                self.request, _("That was the tenth test in a minute. Wait a moment.")
            )
        return redirect(f"{self.get_step_url(step)}#test")

    def _finish(self, form: StepForm) -> HttpResponse:
        answers = self._answers() | {"store": form.cleaned_data}
        try:
            with transaction.atomic():
                connection = finish(self.draft.pk, answers, by=self.request.user)
        except IntegrityError:
            form.add_error(
                None,
                _(
                    "This cannot be added: the merchant, store and warehouse are "
                    "connected already, or the merchant uses this warehouse code."
                ),
            )
            return cast(HttpResponse, self.render(form))
        except LocationTakenError as taken:
            form.add_error(None, str(taken))
            return cast(HttpResponse, self.render(form))
        messages.success(
            self.request,
            _("“%(name)s” was added. It is off until you turn it on.")
            % {"name": connection},
        )
        if routing.lacks_warehouse(connection):
            messages.warning(
                self.request,
                _(
                    "The store has several connections now. Say on the page of each "
                    "which warehouse in Inventory Planner it serves: until then its "
                    "new orders wait for a decision."
                ),
            )
        return redirect("connections:list")

    def _answers(self) -> dict[str, Mapping[str, Any]]:
        """Valid answers of the steps before the last."""
        answers: dict[str, Mapping[str, Any]] = {}
        for step in list(TITLES)[:-1]:
            form = self.get_form(step, data=self.storage.get_step_data(step))
            form.is_valid()
            answers[step] = form.cleaned_data
        return answers

    def _first_gap(self, *, before: str) -> str | None:
        """The first earlier step whose answers are missing or invalid (T6)."""
        for step in TITLES:
            if step == before:
                return None
            data = self.storage.get_step_data(step)
            if data is None or not self.get_form(step, data=data).is_valid():
                return step
        return None

    def _merchant(self) -> Merchant | None:
        """The existing merchant that step 2 chose, if it is one of this person's."""
        typed = self.draft.answers("merchant")
        if typed.get("choice") != EXISTING:
            return None
        form = MerchantForm(
            self.storage.get_step_data("merchant"),
            user=self.request.user,
            prefix="merchant",
        )
        form.is_valid()
        return form.cleaned_data.get("merchant")

    def _rail(self, current: str) -> list[dict[str, Any]]:
        rail = []
        gap = self._first_gap(before=current)
        passed = True
        for step, title in TITLES.items():
            if step == current:
                passed = False
            done = passed and step != gap
            state = "current" if step == current else "done" if done else "todo"
            href = self.get_step_url(step) if state == "done" else ""
            rail.append({"title": title, "state": state, "href": href})
        return rail

    def _kept(self, step: str) -> dict[str, str]:
        """What may be shown of secrets that the draft holds for a step."""
        typed = self.draft.answers(step)
        return {
            name: file_exchange.masked(typed[name])
            if name == "connection_string"
            else sealing.tail(typed[name].strip())
            for name in self.get_form(step).secrets
            if typed.get(name)
        }

    def _warnings(self, form: StepForm) -> list[str]:
        """What to warn of on a step that is looked at again."""
        if not form.is_bound:
            step = self.steps.current
            form = self.get_form(step, data=self.storage.get_step_data(step))
            form.is_valid()
        return form.warnings

    def _review(self) -> list[dict[str, Any]]:
        """All answers before the end, each step with its way back (U4)."""
        return [
            {
                "step": step,
                "title": title,
                "answers": self._reviewed(step),
                "here": step == self.steps.current,
            }
            for step, title in TITLES.items()
        ]

    def _reviewed(self, step: str) -> list[review.Answer]:
        return list(review.answers(self.get_form(step), self._kept(step)))
