"""What every answer has: headers, safe redirects, escaped text (B1, B2, B6, B7)."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from tests import factories, household
from tests.canary import hidden_in, private_parts
from tests.connections.wizard.walk import Walk, log_in
from tests.crawl import crawl, text_of
from tests.factories import Cast
from tests.household import API_KEY, PASSWORD, Household

CSP = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "form-action": "'self'",
    "frame-ancestors": "'none'",
    "base-uri": "'none'",
    "object-src": "'none'",
}


def check_headers(response: Any) -> None:
    """B1, B2."""
    headers = response.headers
    where = (response.request["PATH_INFO"], response.status_code)
    policy = dict(
        part.strip().split(" ", 1)
        for part in headers["Content-Security-Policy"].split(";")
        if part.strip()
    )
    assert policy.items() >= CSP.items(), where
    assert "unsafe" not in headers["Content-Security-Policy"], where
    assert headers["X-Content-Type-Options"] == "nosniff", where
    assert headers["X-Frame-Options"] == "DENY", where
    assert headers["Referrer-Policy"] == "same-origin", where
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin", where
    assert "camera=()" in headers["Permissions-Policy"], where


def test_every_kind_of_answer_has_the_headers(cast: Cast, rows: Household) -> None:
    """B2: 200, 302, 403, 404, 405, downloads, the log-in, the admin."""
    missing = reverse(
        "connections:page", args=["0" * 8 + "-0000-0000-0000-" + "0" * 12]
    )
    delete = reverse("connections:delete", args=[rows.connection.public_id])
    staff = log_in(cast.staff)
    tokenless = Client(enforce_csrf_checks=True)
    answers = {
        200: [
            staff.get("/connections/"),
            staff.get(reverse("connections:store_key", args=[rows.store.public_id])),
            Client().get("/people/login/"),
            log_in(cast.onboarding).get("/admin/stores/store/"),
        ],
        302: [
            Client().get("/connections/"),
            Client().get("/admin/"),
            Client().get("/admin/login/"),
            staff.get("/"),
        ],
        403: [staff.post(delete), tokenless.post("/connections/add/")],
        404: [staff.get(missing), staff.get("/nowhere"), Client().get("/nowhere")],
        405: [staff.get(delete)],
    }
    for status, responses in answers.items():
        for response in responses:
            assert response.status_code == status
            check_headers(response)


def test_pages_of_a_person_are_not_kept_by_anybody(cast: Cast, rows: Household) -> None:
    response = log_in(cast.staff).get("/connections/")
    assert response.headers["Cache-Control"] == "private, no-store"


def test_https_is_insisted_on(cast: Cast, settings: Settings) -> None:
    """B2: as with an https PUBLIC_URL."""
    settings.SECURE_HSTS_SECONDS = 31_536_000
    settings.SECURE_SSL_REDIRECT = True
    client = log_in(cast.staff)
    assert client.get("/connections/").headers["Location"].startswith("https://")
    safe = client.get("/connections/", secure=True)
    assert "max-age=31536000" in safe.headers["Strict-Transport-Security"]


def test_cookies_are_for_us_alone(cast: Cast) -> None:
    """B3: not for scripts, not for other sites."""
    client = Client()
    client.get("/people/login/")
    sign_in = {"login": cast.staff.email, "password": factories.PASSWORD}
    response = client.post("/people/login/", sign_in)
    assert response.status_code == 302
    session = client.cookies["session"]
    assert (session["httponly"], session["samesite"]) == (True, "Lax")
    assert client.cookies["csrf"]["samesite"] == "Lax"


def test_an_ended_session_stays_ended(cast: Cast, rows: Household) -> None:
    """B3: the server forgets it at log-out."""
    client = log_in(cast.staff)
    cookie = client.cookies["session"].value
    client.post("/people/logout/")
    thief = Client()
    thief.cookies["session"] = cookie
    assert thief.get("/connections/").status_code == 302


def test_a_strange_host_is_refused(cast: Cast) -> None:
    """B6."""
    client = log_in(cast.staff)
    response = client.get("/connections/", headers={"host": "evil.example"})
    assert response.status_code == 400
    assert "evil" not in response.content.decode()


@pytest.mark.parametrize("evil", ["//evil.example", "https://evil.example/", "/\\evil"])
def test_the_log_in_leads_nowhere_else(cast: Cast, evil: str) -> None:
    """B6: next=//evil is ignored."""
    sign_in = {"login": cast.staff.email, "password": factories.PASSWORD, "next": evil}
    response = Client().post(f"/people/login/?next={evil}", sign_in)
    assert response.headers["Location"] == "/"


# --- Text of people and of far sides

# Few, because each is taken to every page.
WEIRD = [
    "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>",
    "javascript:alert(1) {{ 7|add:7 }} %(name)s %s",
    "\u202egnp.exe \u2066x 🛍️ مرحبا 東京",
]
TAGS = re.compile(r"<script>alert|<img src=x|onerror=alert\(1\)>")


@pytest.mark.parametrize("text", WEIRD)
def test_text_is_text_on_every_page(cast: Cast, text: str) -> None:
    """B7: in every field, on every page, for everybody, the admin included."""
    weird = factories.merchant(cast.acme, f"{text} merchant")
    rows = household.household(weird, cast.staff, text=text)
    walk = Walk(cast.staff, rows.draft)
    people = {
        cast.staff: ("/connections/", walk.url("basic"), walk.url("merchant")),
        cast.administrator: ("/connections/",),
        cast.onboarding: ("/admin/",),
    }
    found: set[str] = set()
    for person, starts in people.items():
        for path, response in crawl(log_in(person), *starts).items():
            assert response.status_code < 400 or path.startswith("/people/"), path
            source = text_of(response)
            assert TAGS.search(source) is None, path
            assert 'href="javascript:' not in source, path
            if f"{text.split()[0][:4]}".replace("<", "&lt;") in source:
                found.add(path)
    for name in ("page", "store", "warehouse", "order"):
        part = "connection" if name == "page" else name
        url = reverse(f"connections:{name}", args=[getattr(rows, part).public_id])
        if text.isascii():
            assert url in found


@pytest.mark.parametrize("text", WEIRD[:2])
def test_text_is_text_in_what_is_said(cast: Cast, rows: Household, text: str) -> None:
    """B7: messages repeat what was typed."""
    client = log_in(cast.administrator)
    store = reverse("connections:store", args=[rows.store.public_id])
    form = {
        "name": text,
        "ip_account": "1",
        "acknowledge_when": "received",
        "send_received_quantities": "never",
    }
    assert client.post(store, form).status_code == 302
    delete = reverse("connections:delete", args=[rows.connection.public_id])
    client.post(delete)
    for url in (store, "/connections/", "/stores/"):
        assert TAGS.search(client.get(url).content.decode()) is None


def test_a_huge_form_is_refused(cast: Cast, rows: Household) -> None:
    """B8: before anything is read into rows."""
    store = reverse("connections:store", args=[rows.store.public_id])
    client = log_in(cast.staff)
    assert client.post(store, {"name": "x" * 5_000_000}).status_code == 400
    many = {f"field-{n}": "x" for n in range(20_200)}
    assert client.post(store, many).status_code == 400


def test_pages_hold_no_inline_code(cast: Cast, rows: Household) -> None:
    """B1: nothing that the policy would block, and no link that leads nowhere."""
    pages = crawl(log_in(cast.administrator), "/connections/")
    pages |= crawl(log_in(cast.staff), "/connections/")
    assert len(pages) > 8
    for path, response in pages.items():
        assert response.status_code < 400, path
        source = text_of(response)
        assert re.search(r"<script(?![^>]*\bsrc=)", source) is None, path
        assert re.search(r"<[^>]*\s(style|on[a-z]+)=\"", source) is None, path
        check_headers(response)


def test_no_page_of_anybody_holds_a_secret(cast: Cast, rows: Household) -> None:
    """K2, K8, A5: pages, error pages and the admin."""
    keys = [rows.store.ssh_keys.get(), rows.draft.ssh_key]
    secrets = [API_KEY, PASSWORD]
    for key in keys:
        assert key is not None
        secrets += private_parts(key)
    for person in (
        cast.administrator,
        cast.staff,
        cast.merchant_user,
        cast.stranger,
        cast.onboarding,
    ):
        start = "/admin/" if person == cast.onboarding else "/connections/"
        for path, response in crawl(log_in(person), start, "/nowhere").items():
            assert hidden_in(response.content.decode(), *secrets) == [], path
