"""Every URL of the project × every verb × everybody (security.md T1, T5, B4).

A URL without an expectation here fails `test_every_url_has_an_expectation`.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from django.db import connection as database
from django.db import transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import URLPattern, URLResolver, get_resolver, reverse
from pytest_django import Settings

from connections.models import SyncRun
from stores import audit
from stores.models import AuditEvent, Role, User
from tests import factories, household
from tests.factories import Cast
from tests.household import Household

VERBS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
SAFE = ("GET", "HEAD", "OPTIONS")

OUTSIDE = {"stranger", "staff elsewhere", "merchant user elsewhere", "onboarding"}
EVERYBODY = {"administrator", "staff", "scoped staff", "merchant user"}
STAFF = EVERYBODY - {"merchant user"}
# What people from elsewhere are on pages that name no row.
AT_HOME = {
    "stranger": "administrator",
    "staff elsewhere": "staff",
    "merchant user elsewhere": "merchant user",
}
LOG_INS = {"/people/login/": "log-in", "/admin/login/": "admin log-in"}
PEOPLE = ("anonymous", *sorted(OUTSIDE | EVERYBODY))


@dataclass(frozen=True)
class Page:
    """Who may use a URL of ours. `sees`: others are told that nothing is there."""

    verbs: tuple[str, ...]
    may: set[str]
    sees: set[str] = field(default_factory=lambda: EVERYBODY)
    ids: tuple[str, ...] = ()
    more: dict[str, str] = field(default_factory=dict)


GET, POST = ("GET", "HEAD"), ("POST",)
# Drafts and checks are seen by the one who made them: here, the staff person.
MINE = {"staff"}

OURS = {
    "list": Page(GET, EVERYBODY),
    "store_list": Page(GET, EVERYBODY),
    "wizard_start": Page(POST, STAFF),
    "wizard_discard": Page(POST, MINE, sees=MINE, ids=("draft",)),
    "wizard_platform": Page(("GET",), MINE, sees=MINE, ids=("draft",)),
    "wizard_key": Page(GET, MINE, sees=MINE, ids=("draft",)),
    "wizard": Page(
        ("GET", "HEAD", "POST", "OPTIONS"),
        MINE,
        sees=MINE,
        ids=("draft",),
        more={"step": "basic"},
    ),
    "page": Page(GET, EVERYBODY, ids=("connection",)),
    "switch": Page(POST, STAFF, ids=("connection",)),
    "delete": Page(POST, {"administrator"}, ids=("connection",)),
    "serves": Page(POST, STAFF, ids=("connection",)),
    "delivery_list": Page(GET, STAFF, ids=("connection",)),
    "delivery": Page(GET, STAFF, ids=("delivery",)),
    "delivery_file": Page(POST, STAFF, ids=("delivery",)),
    "preview": Page(GET, STAFF, ids=("connection",)),
    "preview_file": Page(POST, STAFF, ids=("connection",)),
    "delivery_send": Page(("GET", "HEAD", "POST"), STAFF, ids=("delivery",)),
    "channel_switch": Page(POST, STAFF, ids=("channel",)),
    "run_now": Page(POST, STAFF, ids=("channel",), more={"job": "orders_import"}),
    "rules": Page(
        ("GET", "HEAD", "POST"),
        STAFF,
        ids=("channel",),
        more={"job": "orders_import"},
    ),
    "inventory_warehouse": Page(GET, EVERYBODY),
    "inventory_warehouse_file": Page(POST, EVERYBODY),
    "inventory_channel": Page(GET, EVERYBODY),
    "inventory_channel_file": Page(POST, EVERYBODY),
    "listing_list": Page(GET, STAFF, ids=("store",)),
    "listing_add": Page(("GET", "HEAD", "POST"), STAFF, ids=("store",)),
    "listing_file": Page(POST, STAFF, ids=("store",)),
    "listing": Page(("GET", "HEAD", "POST"), STAFF, ids=("listing",)),
    "listing_end": Page(POST, STAFF, ids=("listing",)),
    "listing_import": Page(("GET", "HEAD", "POST"), STAFF, ids=("store",)),
    "listing_import_page": Page(("GET", "HEAD", "POST"), STAFF, ids=("listings_file",)),
    "location_list": Page(("GET", "HEAD", "POST"), STAFF, ids=("connection",)),
    "location_remove": Page(POST, STAFF, ids=("connection", "location")),
    "inventory_sku": Page(GET, EVERYBODY, ids=("merchant",)),
    "alert_list": Page(GET, EVERYBODY),
    "failed_work": Page(GET, STAFF),
    "failed_replay": Page(("GET", "HEAD", "POST"), STAFF),
    "alert_dismiss": Page(POST, STAFF, ids=("alert",)),
    "store": Page(("GET", "HEAD", "POST"), EVERYBODY, ids=("store",)),
    "store_key": Page(GET, EVERYBODY, ids=("store",)),
    "store_master_data": Page(POST, STAFF, ids=("store",)),
    "store_test": Page(POST, EVERYBODY, ids=("store",)),
    "warehouse": Page(("GET", "HEAD", "POST"), STAFF, ids=("warehouse",)),
    "warehouse_test": Page(POST, STAFF, ids=("warehouse",)),
    "stock_upload": Page(("GET", "HEAD", "POST"), STAFF, ids=("warehouse",)),
    "report_list": Page(GET, STAFF, ids=("warehouse",)),
    "report": Page(GET, STAFF, ids=("report",)),
    "report_apply": Page(POST, STAFF, ids=("report",)),
    "report_discard": Page(POST, STAFF, ids=("report",)),
    "check": Page(GET, MINE, sees=MINE, ids=("check",)),
    "check_cancel": Page(POST, MINE, sees=MINE, ids=("check",)),
    "check_approve": Page(POST, MINE, sees=MINE, ids=("check", "host_key")),
    "order_list": Page(GET, EVERYBODY),
    "order_act": Page(POST, STAFF),
    "receipt_list": Page(GET, EVERYBODY),
    "receipt_act": Page(POST, STAFF),
    "receipt": Page(GET, EVERYBODY, ids=("receipt",)),
    "order": Page(GET, EVERYBODY, ids=("order",)),
    "order_send": Page(("GET", "HEAD", "POST"), STAFF, ids=("order",)),
    "order_route": Page(POST, STAFF, ids=("order",)),
    "order_edit": Page(("GET", "HEAD", "POST"), STAFF, ids=("order",)),
    "order_document": Page(GET, EVERYBODY, ids=("order",)),
    "order_file": Page(POST, STAFF, ids=("order",)),
    "order_receive": Page(POST, STAFF, ids=("order",)),
}

# Answered to whoever reaches the port; they say next to nothing (A6).
FOR_MACHINES = {"healthz": 200, "readyz": 200, "metrics": 404}

# allauth's: what anonymous people and members get from GET; it asks nothing of ours.
ALLAUTH = {
    "account_login": (200, 302),
    "account_logout": (302, 200),
    "account_inactive": (200, 200),
    "account_signup": (200, 302),
    "account_reauthenticate": (302, 200),
    "account_email": (302, 200),
    "account_email_verification_sent": (200, 200),
    "account_change_password": (302, 200),
    "account_set_password": (302, 302),
    "account_reset_password": (200, 200),
    "account_confirm_login_code": (302, 302),
    "account_confirm_email": (200, 200),
    "account_reset_password_from_key_done": (200, 200),
    "account_reset_password_from_key": (200, 200),
    "account_reset_password_done": (200, 200),
    "mfa_index": (302, 200),
    "mfa_authenticate": (302, 302),
    "mfa_reauthenticate": (302, 302),
    "mfa_trust": (302, 302),
    "mfa_activate_totp": (302, 302),
    "mfa_deactivate_totp": (302, 404),
    "mfa_view_recovery_codes": (302, 404),
    "mfa_generate_recovery_codes": (302, 302),
    "mfa_download_recovery_codes": (302, 404),
}
ALLAUTH_PARTS = {
    "account_confirm_email": {"key": "k"},
    "account_reset_password_from_key": {"uidb36": "1", "key": "k"},
}

# The admin's models, and whether the onboarding team sees them. Nobody else does.
ADMIN_MODELS = {
    "stores_store": True,
    "stores_account": True,
    "stores_merchant": True,
    "connections_connection": True,
    "stores_auditevent": True,
    "connections_delivery": True,
    "connections_syncrun": True,
    "account_emailaddress": False,
    "mfa_authenticator": False,
    "auth_group": False,
}
MODEL_PAGES = ("changelist", "add", "history", "delete", "change")
# Its other pages, and what the onboarding team gets from GET.
ADMIN = {
    "index": 200,
    "login": 302,
    "logout": 405,
    "password_change": 200,
    "password_change_done": 200,
    "autocomplete": 403,
    "jsi18n": 200,
    "view_on_site": 404,
    "app_list": 200,
}
ADMIN_PARTS = {
    "view_on_site": {"content_type_id": "1", "object_id": "1"},
    "app_list": {"app_label": "stores"},
}


def names(resolver: URLResolver, space: str = "") -> Iterator[str]:
    """The names of all patterns; a nameless one by its route."""
    for pattern in resolver.url_patterns:
        if isinstance(pattern, URLResolver):
            inner = f"{pattern.namespace}:" if pattern.namespace else ""
            yield from names(pattern, space + inner)
        elif isinstance(pattern, URLPattern):
            yield space + (pattern.name or str(pattern.pattern))


def test_every_url_has_an_expectation() -> None:
    """T1: a new URL fails here until somebody says who may use it."""
    model_pages = [f"{model}_{page}" for model in ADMIN_MODELS for page in MODEL_PAGES]
    expected = {
        "home",
        *FOR_MACHINES,
        *(f"connections:{name}" for name in OURS),
        *ALLAUTH,
        *(f"admin:{name}" for name in (*ADMIN, *model_pages)),
        # Redirects of the admin to `change` and to the URL with a slash.
        "admin:<path:object_id>/",
        "admin:(?P<url>.*)$",
    }
    assert set(names(get_resolver())) == expected


# --- Ours


@dataclass
class Scene:
    """A furnished merchant, and everybody who might come by."""

    people: dict[str, User | None]
    rows: Household

    def client(self, who: str, *, csrf: bool = False) -> Client:
        client = Client(enforce_csrf_checks=csrf, raise_request_exception=True)
        person = self.people[who]
        if person is not None:
            client.force_login(person, "django.contrib.auth.backends.ModelBackend")
        return client

    def url(self, name: str, *, missing: bool = False) -> str:
        page = OURS[name]
        kwargs = {
            part: str(uuid.uuid4() if missing else getattr(self.rows, part).public_id)
            for part in page.ids
        }
        return reverse(f"connections:{name}", kwargs=kwargs | page.more)


@pytest.fixture
def scene(cast: Cast, settings: Settings) -> Scene:
    settings.SSH_KEY_TYPE = "ed25519"  # RSA takes 0.3 s a key
    red = cast.other_merchant
    household.household(red, cast.administrator)
    rows = household.household(cast.merchant, cast.staff)
    household.dead_run(rows.channel)
    elsewhere = factories.person(
        "sid@acme.example", cast.acme, Role.STAFF, scope=(red,)
    )
    outsider = factories.person(
        "max@acme.example", cast.acme, Role.MERCHANT, merchant=red
    )
    return Scene(
        people={
            "anonymous": None,
            "stranger": cast.stranger,
            "staff elsewhere": elsewhere,
            "merchant user elsewhere": outsider,
            "onboarding": cast.onboarding,
            "administrator": cast.administrator,
            "staff": cast.staff,
            "scoped staff": cast.scoped_staff,
            "merchant user": cast.merchant_user,
        },
        rows=rows,
    )


def expected(page: Page, who: str, verb: str) -> set[int | str]:
    """What a person gets for a verb; "log-in" is the redirect there."""
    fixed_verbs = "OPTIONS" not in page.verbs  # refused before anybody is looked at
    if fixed_verbs and verb not in page.verbs:
        return {405}
    if who == "anonymous":
        return {"log-in"}
    if not page.ids:
        who = AT_HOME.get(who, who)
    if who not in page.sees:
        return {404}
    if who not in page.may:
        return {403}
    return {405} if verb not in page.verbs else {200, 302}


def got(response: Any) -> int | str:
    """The status, or to which log-in it leads."""
    location = response.headers.get("Location", "")
    for start, log_in in LOG_INS.items():
        if location.startswith(start):
            return log_in
    return int(response.status_code)


def text_of(response: Any) -> str:
    """A page without its CSRF tokens, which differ each time."""
    text: str = response.content.decode()
    return re.sub(r'"[A-Za-z0-9]{64}"', '""', text)


def writes(queries: CaptureQueriesContext) -> list[str]:
    """Statements that change a row, sessions aside."""
    statements = (query["sql"] for query in queries.captured_queries)
    return [
        sql
        for sql in statements
        if re.match("INSERT|UPDATE|DELETE", sql) and "django_session" not in sql
    ]


@pytest.mark.parametrize("name", OURS)
def test_each_verb_for_everybody(scene: Scene, name: str) -> None:
    """T1, T5: what each person gets, and that who is refused changes nothing."""
    page, url = OURS[name], scene.url(name)
    wrong = {}
    for who in PEOPLE:
        client = scene.client(who)
        for verb in VERBS:
            with transaction.atomic(), CaptureQueriesContext(database) as queries:
                response = client.generic(verb, url)
                transaction.set_rollback(True)
            answer, want = got(response), expected(page, who, verb)
            if answer not in want:
                wrong[who, verb] = (answer, want)
            if answer not in (200, 302) or verb in SAFE:
                # The store step makes the draft's key pair when it is first shown.
                assert name == "wizard_platform" or writes(queries) == [], (who, verb)
    assert wrong == {}


@pytest.mark.parametrize("name", [name for name, page in OURS.items() if page.ids])
def test_out_of_scope_reads_like_missing(scene: Scene, name: str) -> None:
    """T1: same status and body; the row itself is never read without its owner."""
    url, missing = scene.url(name), scene.url(name, missing=True)
    row = getattr(scene.rows, OURS[name].ids[0])
    verb = OURS[name].verbs[0]
    for who in PEOPLE[1:]:
        if who in OURS[name].sees:
            continue
        client = scene.client(who)
        with CaptureQueriesContext(database) as queries:
            there = client.generic(verb, url)
        nowhere = client.generic(verb, missing)
        assert (there.status_code, nowhere.status_code) == (404, 404), who
        assert text_of(there) == text_of(nowhere), who
        for query in queries.captured_queries:
            if str(row.public_id) in query["sql"]:
                assert '."account_id" = ' in query["sql"], who


@pytest.mark.parametrize("name", OURS)
def test_csrf_is_enforced(scene: Scene, name: str) -> None:
    """B4: no unsafe verb without the token, for those who may as well."""
    url = scene.url(name)
    for who in ("anonymous", "administrator", "staff", "merchant user"):
        client = scene.client(who, csrf=True)
        for verb in ("POST", "PUT", "PATCH", "DELETE"):
            with CaptureQueriesContext(database) as queries:
                response = client.generic(verb, url)
            assert response.status_code == 403, (who, verb)
            assert writes(queries) == [], (who, verb)


# What is sent, and what the audit then says. Drafts that are begun or filled in, tests
# and runs by hand decide nothing; their rows say who asked.
AUDITED: dict[str, tuple[dict[str, str], list[str]]] = {
    "wizard_start": ({}, []),
    "wizard": ({"basic-name": "Changed"}, []),
    "wizard_discard": ({}, ["draft.discarded"]),
    "switch": ({"on": "0"}, ["connection.disabled"]),
    "delete": ({}, ["connection.deleted"]),
    "serves": ({"remote_warehouse": "c501_WH1"}, ["connection.routed"]),
    "delivery_file": ({}, ["delivery.exported"]),
    "preview_file": ({}, ["next_file.exported"]),
    "delivery_send": ({"token": "a"}, ["delivery.sent_again"]),
    "channel_switch": ({"on": "0"}, ["channel.disabled"]),
    "run_now": ({}, []),
    "rules": ({"go": "save"}, ["channel.rules"]),
    "listing_add": (
        {"sku": "A", "component-TOTAL_FORMS": "0", "component-INITIAL_FORMS": "0"},
        ["listings.changed"],
    ),
    "listing": (
        {"sku": "A", "component-TOTAL_FORMS": "0", "component-INITIAL_FORMS": "0"},
        ["listings.changed"],
    ),
    # A file that waits decides nothing; its row says whose it is.
    "listing_import": ({}, []),
    "listing_import_page": ({"go": "apply"}, ["listings.changed"]),
    "listing_end": ({}, ["listings.changed"]),
    "listing_file": ({}, ["listings.exported"]),
    # Without a report there is no facility to link: tests of locations.
    "location_list": ({}, []),
    "location_remove": ({}, ["location.unlinked"]),
    "inventory_warehouse_file": ({}, ["inventory.warehouse.exported"]),
    "inventory_channel_file": ({}, ["inventory.channel.exported"]),
    "alert_dismiss": ({}, ["alert.dismissed"]),
    "failed_replay": ({"cause": "network_lost"}, ["failed_work.replayed"]),
    "store": (
        {
            "name": "Changed",
            "ip_account": "654321",
            "acknowledge_when": "imported",
            "send_received_quantities": "always",
        },
        ["store.renamed", "store.settings"],
    ),
    "store_master_data": ({}, []),
    "store_test": ({}, []),
    "warehouse": (
        {"connection_string": "sftp://me:new-word@other.example.com"},
        ["warehouse.connection_string"],
    ),
    "warehouse_test": ({}, []),
    # A report that does not wait for it; one that does: test_stock_upload.py.
    "stock_upload": ({}, []),
    "report_apply": ({}, []),
    "report_discard": ({}, []),
    "check_cancel": ({}, []),
    "check_approve": ({}, ["host_key.approved"]),
    # Nothing at a warehouse that exchanges files; by hand: tests of orders.
    "order_file": ({}, []),
    # Without a choice, and where nothing is asked: tests of orders.
    "order_act": ({}, []),
    "receipt_act": ({}, []),
    "order_send": ({}, []),
    "order_route": ({}, []),
    "order_edit": ({}, []),
    "order_receive": ({}, []),
}


def test_every_url_that_changes_something_says_what_is_audited() -> None:
    """A1: a new one fails here until somebody says what it writes."""
    changing = {name for name, page in OURS.items() if "POST" in page.verbs}
    assert AUDITED.keys() == changing


@pytest.mark.parametrize("name", AUDITED)
def test_decisions_are_audited(scene: Scene, name: str) -> None:
    """A1: who, tenant, what, from where, in one request."""
    sent, actions = AUDITED[name]
    who = "administrator" if "administrator" in OURS[name].may else "staff"
    before = AuditEvent.objects.count()
    response = scene.client(who).post(scene.url(name), sent)
    assert response.status_code in (200, 302)
    events = AuditEvent.objects.order_by("pk")[before:]
    assert [event.action for event in events] == actions
    person = scene.people[who]
    assert person is not None
    for event in events:
        assert (event.actor_id, event.actor) == (person.pk, str(person))
        assert event.account_id == scene.rows.store.account_id
        assert event.ip == "127.0.0.1"
        assert event.request_id == response.headers["X-Request-ID"]
    assert audit.first_broken_link(scene.rows.store.account_id) is None


def test_a_merchant_user_may_not_approve_a_host_key(scene: Scene, cast: Cast) -> None:
    """T5: their own test shows the fingerprint; the 3PL's team approves it."""
    check = scene.rows.check
    check.requested_by = cast.merchant_user
    check.save()
    client = scene.client("merchant user")
    shown = client.get(scene.url("check")).content.decode()
    assert scene.rows.host_key.sha256 in shown
    assert "Approve this key" not in shown
    assert client.post(scene.url("check_approve")).status_code == 403
    scene.rows.host_key.refresh_from_db()
    assert scene.rows.host_key.approved_at is None


def test_a_check_approves_only_keys_that_it_found(scene: Scene, cast: Cast) -> None:
    """H5: neither another account's key nor another server's."""
    other = household.household(factories.merchant(cast.other), cast.stranger)
    url = reverse(
        "connections:check_approve",
        args=[scene.rows.check.public_id, other.host_key.public_id],
    )
    assert scene.client("staff").post(url).status_code == 302
    other.host_key.refresh_from_db()
    assert other.host_key.approved_at is None


def test_the_start_page_leads_to_the_connections(scene: Scene) -> None:
    response = scene.client("staff").get("/")
    assert response.headers["Location"] == reverse("connections:list")


@pytest.mark.parametrize("name", FOR_MACHINES)
def test_addresses_for_machines_ask_nobody_who_they_are(
    scene: Scene, name: str
) -> None:
    """A6, B4: the same to everybody; to be read only."""
    answers = set()
    for who in PEOPLE:
        client = scene.client(who)
        answers.add(client.get(reverse(name)).status_code)
        for verb in ("POST", "PUT", "PATCH", "DELETE"):
            assert client.generic(verb, reverse(name)).status_code == 405
    assert answers == {FOR_MACHINES[name]}


# --- Not ours


def test_pages_for_people(scene: Scene) -> None:
    """T1, B4: as listed; nothing unsafe without the CSRF token."""
    found = {name: page_for_people(scene, name) for name in ALLAUTH}
    assert found == ALLAUTH


def page_for_people(scene: Scene, name: str) -> tuple[int, ...]:
    """What anonymous and staff get from GET, once unsafe verbs were refused."""
    url = reverse(name, kwargs=ALLAUTH_PARTS.get(name, {}))
    client = scene.client("staff", csrf=True)
    for verb in ("POST", "PUT", "PATCH", "DELETE"):
        with CaptureQueriesContext(database) as queries:
            response = client.generic(verb, url)
        assert response.status_code in (302, 403, 404, 405), verb
        assert writes(queries) == [], verb
    return tuple(
        scene.client(who).get(url).status_code for who in ("anonymous", "staff")
    )


def test_admin_pages(scene: Scene) -> None:
    """A5: the onboarding team's alone."""
    urls = {
        name: reverse(f"admin:{name}", kwargs=ADMIN_PARTS.get(name, {}))
        for name in ADMIN
    }
    found = {}
    for name, url in urls.items():
        found[name] = scene.client("onboarding").get(url).status_code
    assert found == ADMIN
    for who in ("anonymous", "administrator", "staff", "merchant user"):
        for name in ADMIN.keys() - {"login", "logout", "jsi18n"}:
            response = scene.client(who).get(urls[name])
            assert got(response) == "admin log-in", (who, name)


@pytest.mark.parametrize("model", ADMIN_MODELS)
def test_admin_models(scene: Scene, model: str) -> None:
    """A5, T5: to be looked at by the onboarding team; never added, never deleted."""
    for kind in MODEL_PAGES:
        check_admin_page(scene, model, kind)


def check_admin_page(scene: Scene, model: str, kind: str) -> None:
    """Try one page of a model as everybody, with every verb."""
    kwargs = (
        {} if kind in ("changelist", "add") else {"object_id": object_id(scene, model)}
    )
    url = reverse(f"admin:{model}_{kind}", kwargs=kwargs)
    seen = ADMIN_MODELS[model] and kind in ("changelist", "change", "history")
    client = scene.client("onboarding")
    checking = scene.client("onboarding", csrf=True)
    # The history of a model that they may not see leads back to the start.
    wanted = 200 if seen else 302 if kind == "history" else 403
    assert client.get(url).status_code == wanted
    with CaptureQueriesContext(database) as queries:
        for verb in ("POST", "PUT", "PATCH", "DELETE"):
            unchecked = client.generic(verb, url)
            assert unchecked.status_code in (200, 302, 403), verb
            assert checking.generic(verb, url).status_code == 403, verb
    assert writes(queries) == []
    for who in ("anonymous", "administrator", "staff", "merchant user", "stranger"):
        assert got(scene.client(who).get(url)) == "admin log-in", who


def object_id(scene: Scene, model: str) -> int:
    """The id of a row that is there; of models that nobody sees, any."""
    rows = {
        "stores_store": scene.rows.store,
        "stores_account": scene.rows.store.account,
        "stores_merchant": scene.rows.store.merchant,
        "connections_connection": scene.rows.connection,
        "connections_delivery": scene.rows.delivery,
        "connections_syncrun": SyncRun.objects.dead().first(),
    }
    row = rows.get(model) or AuditEvent.objects.first()
    assert row is not None
    return int(row.pk)
