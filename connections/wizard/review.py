"""The answers as the last step shows them before the end (ux.md U4)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from django import forms
from django.forms.boundfield import BoundField
from django.utils.translation import gettext as _

from connections.wizard.forms import StepForm


@dataclass(frozen=True)
class Answer:
    """A field's label and answer, and where the field has its focus."""

    label: str
    value: str
    focus_id: str


def answers(form: StepForm, kept: Mapping[str, str]) -> Iterator[Answer]:
    """Yield a step's answers as they were typed, valid or not.

    The form holds them as initial values; `kept` says what may be shown of secrets. An
    optional field that was left empty has no answer.
    """
    for name in form.reviewed():
        field = form[name]
        value = kept.get(name, "") if name in form.secrets else _shown(field)
        if not value and name in form.when_blank:
            value = _("Not set: %(meaning)s") % {"meaning": form.when_blank[name]}
        elif not value and field.field.required:
            value = _("Not answered yet")
        if value:
            yield Answer(str(field.label), value, field.id_for_label)


def _shown(bound: BoundField) -> str:
    """What was typed; of a choice, its words."""
    typed = str(bound.value() or "").strip()
    field = bound.field
    if not typed:
        return ""
    try:
        if isinstance(field, forms.ModelChoiceField):
            return str(field.clean(typed))
        if isinstance(field, forms.ChoiceField):
            choices: Any = field.choices
            return str(dict(choices)[field.clean(typed)])
    except forms.ValidationError:
        return ""  # no longer one of the choices; the step itself says so
    return typed
