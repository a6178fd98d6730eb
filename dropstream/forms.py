"""One template renders every field: label, help, example, error, ARIA."""

from __future__ import annotations

from typing import Any

from django import forms
from django.forms.boundfield import BoundField
from django.forms.renderers import TemplatesSetting
from django.forms.widgets import Widget
from django.utils.translation import gettext

_CHECKED = (forms.CheckboxInput, forms.RadioSelect, forms.CheckboxSelectMultiple)


class LookBoundField(BoundField):
    """A field that knows its look: classes, example and what describes it."""

    @property
    def kind(self) -> str:
        """Return check, choices (radios, check boxes) or input."""
        widget = self.field.widget
        if isinstance(widget, forms.RadioSelect | forms.CheckboxSelectMultiple):
            return "choices"
        return "check" if isinstance(widget, forms.CheckboxInput) else "input"

    @property
    def example(self) -> str:
        """Return the form's example for this field, from `examples = {name: text}`."""
        examples: dict[str, str] = getattr(self.form, "examples", {})
        return examples.get(self.name, "")

    @property
    def when_blank(self) -> str:
        """Return what stands beside the label of a field that may stay empty.

        "Optional" tells little where something waits for the answer: the form's
        `when_blank = {name: text}` says what.
        """
        # Not asked by the choice that was made is not the same as optional.
        if self.field.required or getattr(self.field, "of_choice", False):
            return ""
        if type(self.field) is forms.ChoiceField and "" not in self._values:
            return ""  # a list without a blank entry always has an answer
        said: dict[str, str] = getattr(self.form, "when_blank", {})
        return said.get(self.name, gettext("optional"))

    @property
    def _values(self) -> set[object]:
        """What may be chosen, of a field with choices."""
        return {value for value, _label in getattr(self.field, "choices", ())}

    @property
    def focus_id(self) -> str:
        """Return the id that an error summary links to: the first thing to focus."""
        first = f"{self.auto_id}_0" if self.use_fieldset else ""
        return self.id_for_label or first

    @property
    def aria_describedby(self) -> str | None:
        described = super().aria_describedby
        if described is None or not self.example or not self.auto_id or self.is_hidden:
            return described
        ids = described.split()
        place = len(ids) - 1 if self.errors else len(ids)
        ids.insert(place, f"{self.auto_id}_example")
        return " ".join(ids)

    def build_widget_attrs(
        self, attrs: dict[str, Any], widget: Widget | None = None
    ) -> dict[str, Any]:
        """Add Tabler's classes; drop placeholders, which vanish on typing."""
        widget = widget or self.field.widget
        built = super().build_widget_attrs(attrs, widget)
        if widget.is_hidden:
            return built
        given = built.get("class") or widget.attrs.get("class", "")
        built["class"] = f"{given} {widget_class(widget)}".strip()
        if widget.attrs.get("placeholder"):
            built["placeholder"] = False
        return built


def widget_class(widget: Widget) -> str:
    """Return the class that gives this widget the product's look."""
    if isinstance(widget, _CHECKED):
        return "form-check-input"
    if isinstance(widget, forms.Select):
        return "form-select"
    return "form-control"


class Renderer(TemplatesSetting):
    """Forms and fields through our own components."""

    form_template_name = "components/form.html"
    field_template_name = "components/field.html"
    bound_field_class = LookBoundField
