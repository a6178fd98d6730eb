"""Alerts on pages: in words, on the page concerned, in a list (U11, U15, U17)."""

from __future__ import annotations

import html
import re

import pytest
from django.db import connection as database
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from connections.alerts.ledger import close_alerts, dismiss_alert, raise_alert
from connections.models import Alert, Channel
from connections.views.paging import ROWS
from stores.models import User
from tests import factories, household
from tests.connections.wizard.walk import log_in
from tests.factories import Cast
from tests.household import Household

LIST = "/operations/alerts/"
REFUSED = "The server did not let us in."


def text_of(person: User, url: str) -> str:
    """A page's text as it is read: no tags, single spaces."""
    page = log_in(person).get(url).content.decode()
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", page)).split())


def page_of(rows: Household) -> str:
    return reverse("connections:page", args=[rows.connection.public_id])


def test_an_alert_says_what_why_since_when_and_who_acts(
    cast: Cast, rows: Household
) -> None:
    """U11, U15: grouped, with count, details, the way to its remedy."""
    raise_alert("auth_refused", channel=rows.channel, job="orders_import", detail="x-7")
    page = text_of(cast.staff, page_of(rows))
    for words in (
        REFUSED,
        "User name, password or registered public key is not the one it knows.",
        "To act: your team",
        "Import · since",
        "2 times, last",
        "Details: x-7",
    ):
        assert words in page
    link = reverse("connections:store", args=[rows.store.public_id])
    shown = log_in(cast.staff).get(page_of(rows)).content.decode()
    section = shown.partition('id="alerts-title"')[2].partition("</section>")[0]
    assert f'href="{link}"' in section


def test_it_is_told_on_the_store_page_too_when_it_is_the_stores(
    cast: Cast, rows: Household
) -> None:
    """U15: a store's trouble where its settings are; a warehouse's is not there."""
    url = reverse("connections:store", args=[rows.store.public_id])
    assert REFUSED in text_of(cast.merchant_user, url)
    Alert.objects.update(side="warehouse")
    assert REFUSED not in text_of(cast.merchant_user, url)


def test_the_list_of_connections_counts_open_alerts(
    cast: Cast, rows: Household
) -> None:
    assert "1 open alert" in text_of(cast.staff, "/connections/")
    close_alerts(rows.channel)
    assert "open alert" not in text_of(cast.staff, "/connections/")


def test_recovery_takes_it_off_the_page_and_keeps_it_in_the_list(
    cast: Cast, rows: Household
) -> None:
    """U15; the list keeps what was lately."""
    close_alerts(rows.channel, job="orders_import")
    assert REFUSED not in text_of(cast.staff, page_of(rows))
    listed = text_of(cast.staff, LIST)
    assert REFUSED in listed
    assert "· over " in listed
    assert "Dismiss" not in listed.partition("Alerts One for")[2].partition(REFUSED)[2]


def test_a_person_dismisses_one(cast: Cast, rows: Household) -> None:
    """A1: named in the list; a second click changes nothing; back where one was."""
    url = reverse("connections:alert_dismiss", args=[rows.alert.public_id])
    client = log_in(cast.scoped_staff)
    assert client.post(url, {"next": "list"}).headers["Location"] == LIST
    assert client.post(url).headers["Location"] == page_of(rows)
    assert f"dismissed by {cast.scoped_staff}" in text_of(cast.staff, LIST)
    assert REFUSED not in text_of(cast.staff, page_of(rows))


def test_merchant_users_see_their_own_and_dismiss_none(
    cast: Cast, rows: Household
) -> None:
    """T1, T5: neither other merchants' alerts nor what a server said in detail."""
    household.household(cast.other_merchant, cast.staff, text="Red")
    mine = text_of(cast.merchant_user, LIST)
    assert "Plain connection" in mine
    assert "Red connection" not in mine
    assert "Details:" not in mine
    assert "Dismiss" not in mine.replace("dismiss one", "")
    everyones = text_of(cast.administrator, LIST)
    assert "Plain connection" in everyones
    assert "Red connection" in everyones


def test_an_empty_list_teaches(cast: Cast) -> None:
    """U17."""
    assert "No alerts When a connection needs somebody" in text_of(cast.staff, LIST)


def test_open_ones_come_first_and_pages_follow(cast: Cast, rows: Household) -> None:
    """Keyset: every alert once, open before closed, whatever a page ends in."""
    channel = rows.channel
    now = timezone.now()
    Alert.objects.bulk_create(
        Alert(
            account=channel.account,
            connection=channel.connection,
            channel=channel,
            code="disk_full",
            detail=f"n{number:03}",
            opened_at=now,
            last_at=now,
            closed_at=now,
            dismissed_by=cast.staff,
        )
        for number in range(2 * ROWS)
    )
    client, seen, url = log_in(cast.staff), [], LIST
    while url:
        page = client.get(url).content.decode()
        seen += re.findall(r"<code>(\w+)</code>", page)
        following = re.search(r'href="(\?after=[0-9a-f-]+)">Next page', page)
        url = LIST + following[1] if following else ""
    assert seen == ["Plain", *(f"n{number:03}" for number in reversed(range(2 * ROWS)))]


@pytest.mark.parametrize("url", [LIST, "/connections/"])
def test_more_alerts_cost_no_more_queries(cast: Cast, url: str) -> None:
    client = log_in(cast.staff)
    counts = []
    for number in range(2):
        for _ in range(1 + 4 * number):
            made = factories.connection(
                factories.store(cast.merchant),
                factories.warehouse(cast.merchant, code=f"W{Alert.objects.count()}"),
            )
            raise_alert("disk_full", channel=made.channels.first() or Channel())
        dismissed = Alert.objects.order_by("pk").last()
        assert dismissed is not None
        dismiss_alert(dismissed, by=cast.staff)
        raise_alert("auth_refused", channel=dismissed.channel)
        with CaptureQueriesContext(database) as queries:
            client.get(url)
        counts.append(len(queries.captured_queries))
    assert counts[0] == counts[1]


def test_only_who_may_open_it_is_led_to_the_warehouse(
    cast: Cast, rows: Household
) -> None:
    stock = rows.connection.channels.get(type=Channel.Type.INVENTORY)
    raise_alert("auth_refused", channel=stock, side="warehouse")
    warehouse = rows.connection.warehouse
    link = reverse("connections:warehouse", args=[warehouse.public_id])
    assert log_in(cast.merchant_user).get(link).status_code == 403
    for url in (LIST, page_of(rows)):
        assert link in log_in(cast.staff).get(url).content.decode()
        page = log_in(cast.merchant_user).get(url).content.decode()
        assert html.escape(REFUSED) in page
        assert link not in page


def test_an_alert_about_a_file_leads_to_the_file(cast: Cast, rows: Household) -> None:
    """One query for all of a page; the ledger is not the merchant's."""
    stock = rows.connection.channels.get(type=Channel.Type.INVENTORY)
    raise_alert("delivery_unknown", channel=stock, detail=rows.delivery.name)
    raise_alert("cut_off_missed", channel=stock, detail="inv_gone.csv")
    link = reverse("connections:delivery", args=[rows.delivery.public_id])
    for url in (LIST, page_of(rows)):
        page = log_in(cast.staff).get(url).content.decode()
        assert f'href="{link}"><code>{rows.delivery.name}' in page
        assert "<code>inv_gone.csv</code>" in page
        assert link not in log_in(cast.merchant_user).get(url).content.decode()
