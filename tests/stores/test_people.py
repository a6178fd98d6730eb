"""Where people arrive when they log in."""

from __future__ import annotations

import pytest
from allauth.mfa.models import Authenticator
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from stores.models import User
from tests.factories import PASSWORD, Cast


def log_in(user: User) -> str:
    """Log in as a browser does, from the first address; return where it ends."""
    client = Client()
    asked = client.get("/", follow=True)
    form = {"login": user.email, "password": PASSWORD}
    url = asked.redirect_chain[-1][0]
    answer = client.post(url, form, follow=True)
    assert answer.status_code == 200, answer.redirect_chain
    return str(answer.redirect_chain[-1][0])


@pytest.mark.parametrize(
    "who", ["administrator", "staff", "scoped_staff", "merchant_user", "stranger"]
)
def test_members_arrive_at_their_connections(cast: Cast, who: str) -> None:
    assert log_in(getattr(cast, who)) == reverse("connections:list")


def test_the_onboarding_team_arrives_in_its_admin(
    cast: Cast, settings: Settings
) -> None:
    """It has no connections: the list answers 404 to it, and the menu leaves it out."""
    Authenticator.objects.all().delete()
    settings.ADMIN_SECOND_FACTOR = (
        False  # as in the demo; else: tests/test_admin_site.py
    )
    assert log_in(cast.onboarding) == reverse("admin:index")
    client = Client()
    client.force_login(cast.onboarding)
    page = client.get(reverse("mfa_index")).content.decode()
    assert reverse("admin:index") in page
    assert reverse("connections:list") not in page
