"""One template renders every field: label, help, example, error, ARIA."""

from django.forms.renderers import TemplatesSetting


class Renderer(TemplatesSetting):
    """Forms and fields through our own components."""

    field_template_name = "components/field.html"
