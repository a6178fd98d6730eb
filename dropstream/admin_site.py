"""The onboarding team's admin."""

from __future__ import annotations

from django.contrib.admin import AdminSite
from django.utils.translation import gettext_lazy as _


class OnboardingAdminSite(AdminSite):
    """Stock admin: it keeps a strict CSP (stack.md §4)."""

    site_header = _("DropStream onboarding")
    site_title = _("DropStream onboarding")
    index_title = _("Set-ups")
