"""Where people start."""

from __future__ import annotations

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponseRedirect
from django.shortcuts import redirect

from stores.models.tenant import membership_of


@login_required
def home(request: HttpRequest) -> HttpResponseRedirect:
    """The list of connections; for the onboarding team, who have none, the admin."""
    if request.user.is_staff and membership_of(request.user) is None:
        return redirect("admin:index")
    return redirect("connections:list")
