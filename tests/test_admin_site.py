"""The way into the admin: the product's own log-in, and a second factor (A5, B5)."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from allauth.mfa.models import Authenticator
from django.core.cache import cache
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from dropstream.checks import check_deployment
from stores.models import AuditEvent
from tests import factories
from tests.connections.wizard.walk import log_in
from tests.factories import PASSWORD, TOTP_SECRET, Cast
from tests.lab.authenticator import totp_now

STORES = "/admin/stores/store/"
LOG_IN = f"/people/login/?next={STORES.replace('/', '%2F')}"


@pytest.fixture(autouse=True)
def fresh_counts(settings: Settings) -> Iterator[None]:
    """No attempt of another test counts here, and none of these elsewhere."""
    settings.MFA_TOTP_TOLERANCE = 1  # the half minute may end while we type
    cache.clear()
    yield
    cache.clear()


def type_password(client: Client, email: str, password: str = PASSWORD) -> str:
    """Log in on the way to the admin's list of stores; return where that leads."""
    asked = client.get(STORES, follow=True)
    url = asked.redirect_chain[-1][0]
    assert url == LOG_IN
    answer = client.post(url, {"login": email, "password": password})
    return answer.headers.get("Location") or answer.content.decode()


def test_the_admin_has_no_log_in_of_its_own(cast: Cast) -> None:
    """One that is not throttled and asks for no code would be the way round."""
    client = Client()
    form = {"username": cast.onboarding.email, "password": PASSWORD, "next": STORES}
    assert client.post("/admin/login/", form).headers["Location"] == LOG_IN
    assert client.get(STORES).status_code == 302


def test_a_password_alone_does_not_open_the_admin(cast: Cast) -> None:
    """B5: who has an authenticator app is asked for its code, there as everywhere."""
    client = Client()
    code_asked = type_password(client, cast.onboarding.email)
    assert code_asked.startswith("/people/2fa/authenticate/")
    assert client.get(STORES).status_code == 302
    client.post(code_asked, {"code": totp_now(TOTP_SECRET)})
    client.post("/people/2fa/trust/", {"action": "no"})
    assert client.get(STORES).status_code == 200


def test_who_has_no_second_factor_sets_one_up_first(cast: Cast) -> None:
    """B5: staff without one cannot open the admin; the way on is shown."""
    Authenticator.objects.all().delete()
    client = Client()
    assert type_password(client, cast.onboarding.email) == STORES
    asked = client.get(STORES, follow=True)
    assert "asks for a second factor" in asked.content.decode()
    url = asked.redirect_chain[-1][0]
    assert url == "/people/reauthenticate/?next=%2Fpeople%2F2fa%2Ftotp%2Factivate%2F"
    set_up = client.post(url, {"password": PASSWORD}, follow=True)
    [secret] = re.findall(r'value="([A-Z2-7]{32})"', set_up.content.decode())
    assert client.get(STORES).status_code == 302
    client.post("/people/2fa/totp/activate/", {"code": totp_now(secret)})
    assert client.get(STORES).status_code == 200
    assert client.get("/admin/login/").headers["Location"] == "/admin/"


def test_recovery_codes_alone_are_no_second_factor(cast: Cast) -> None:
    Authenticator.objects.update(type=Authenticator.Type.RECOVERY_CODES)
    assert log_in(cast.onboarding).get(STORES).status_code == 302


def test_everybody_else_is_refused_and_sent_nowhere(cast: Cast) -> None:
    """A second factor makes nobody one of the onboarding team."""
    for person in (cast.administrator, cast.staff, cast.merchant_user):
        Authenticator.objects.update(user=person)
        assert log_in(person).get(STORES, follow=True).status_code == 403


def test_bad_log_ins_on_the_way_to_the_admin_are_throttled(cast: Cast) -> None:
    """B5: after some even the right password is refused, with a word on why."""
    email = cast.onboarding.email
    for _ in range(5):
        assert "not correct" in type_password(Client(), email, "wrong")
    assert "Too many failed login attempts" in type_password(Client(), email)
    # Nobody else is locked out by that.
    assert type_password(Client(), cast.staff.email) == STORES


def test_behind_a_proxy_each_address_counts_for_itself(
    cast: Cast, settings: Settings
) -> None:
    """B5: an outsider locks nobody else out. What they claim to be is not believed."""
    settings.ALLAUTH_TRUSTED_PROXY_COUNT = 1
    outsider = Client(headers={"x-forwarded-for": "198.51.100.9, 203.0.113.7"})
    for n in range(10):
        type_password(outsider, f"guess-{n}@acme.example", "wrong")
    refused = type_password(outsider, cast.staff.email)
    assert "Too many failed login attempts" in refused
    neighbour = Client(headers={"x-forwarded-for": "203.0.113.7, 198.51.100.9"})
    assert type_password(neighbour, cast.staff.email) == STORES
    switched = factories.connection(
        factories.store(cast.merchant), factories.warehouse(cast.merchant), on=False
    )
    url = reverse("connections:switch", args=[switched.public_id])
    neighbour.post(url, {"on": "1"})
    assert AuditEvent.objects.latest("pk").ip == "198.51.100.9"


def test_a_deployment_without_the_second_factor_is_refused(settings: Settings) -> None:
    """A7: only the demo does without."""
    settings.ADMIN_SECOND_FACTOR = False
    assert "dropstream.E006" in [found.id for found in check_deployment(None)]
    settings.ADMIN_SECOND_FACTOR = True
    assert "dropstream.E006" not in [found.id for found in check_deployment(None)]
