"""The onboarding team's admin."""

from __future__ import annotations

from typing import Any

from allauth.account.decorators import secure_admin_login
from allauth.mfa.models import Authenticator
from allauth.mfa.utils import is_mfa_enabled
from django.conf import settings
from django.contrib import messages
from django.contrib.admin import AdminSite
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.decorators import method_decorator
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy


class OnboardingAdminSite(AdminSite):
    """Stock admin, as it keeps a strict CSP (stack.md §4), behind the product's own log-in.

    That one is throttled and asks for the code of whoever has an authenticator app; here
    everybody must have one (security.md A5, B5).
    """

    site_header = gettext_lazy("DropStream onboarding")
    site_title = gettext_lazy("DropStream onboarding")
    index_title = gettext_lazy("Set-ups")

    def has_permission(self, request: HttpRequest) -> bool:
        return super().has_permission(request) and (
            not settings.ADMIN_SECOND_FACTOR
            or is_mfa_enabled(request.user, [Authenticator.Type.TOTP])
        )

    @method_decorator(secure_admin_login)
    def login(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Lead to the product's log-in, on to the admin, or to what it still asks for."""
        if self.has_permission(request):
            return redirect("admin:index")
        messages.info(
            request,
            _(
                "The onboarding admin asks for a second factor. Confirm your password, set "
                "one up and keep the recovery codes; then open the admin again."
            ),
        )
        return redirect("mfa_activate_totp")
