"""Links of facilities to locations: added, changed, removed."""

from __future__ import annotations

from html import unescape

import pytest
from django.urls import reverse

from connections.models import Connection, Location
from connections.stock import locations
from stores.models import AuditEvent, User
from tests import factories
from tests.connections.views.test_inventory import client_of, line, report, table
from tests.factories import Cast


@pytest.fixture
def of(cast: Cast) -> Connection:
    return line(cast.merchant)


def url_of(row: Connection, **query: str) -> str:
    return reverse("connections:location_list", args=[row.public_id], query=query)


def post(person: User, url: str, **sent: str) -> str:
    response = client_of(person).post(url, sent, follow=True)
    assert response.status_code == 200
    return unescape(response.content.decode())


def live(of: Connection) -> dict[str, str]:
    rows = Location.objects.filter(connection=of, retired_at__isnull=True)
    return {row.facility: row.location_id for row in rows}


def test_without_a_report_there_is_nothing_to_link_yet(
    cast: Cast, of: Connection
) -> None:
    html = client_of(cast.staff).get(url_of(of)).content.decode()
    assert "No location links configured" in html
    assert "can be linked after its first report" in html


def test_links_are_added_for_facilities_that_have_none(
    cast: Cast, of: Connection
) -> None:
    report(of.warehouse, "A@RENO=1", "A@DALLAS=1", "A@=1")
    assert "counts at r-1" in post(
        cast.staff, url_of(of), facility="RENO", location_id=" r-1 "
    )
    html = post(cast.staff, url_of(of), facility="", location_id="d-1")
    assert live(of) == {"RENO": "r-1", "": "d-1"}
    assert [row[:2] for row in table(html)] == [
        ["(no facility named)", "d-1"],
        ["RENO", "r-1"],
    ]
    assert html.count("<option") == 1
    html = post(cast.staff, url_of(of), facility="DALLAS", location_id="r-1")
    assert "Every facility that the warehouse has reported is linked." in html


def test_what_is_wrong_is_said_and_nothing_typed_is_lost(
    cast: Cast, of: Connection
) -> None:
    report(of.warehouse, "A@RENO=1")
    html = post(cast.staff, url_of(of), facility="NOWHERE", location_id="r-1")
    assert "Choose one of the facilities." in html
    assert 'value="r-1"' in html
    html = post(cast.staff, url_of(of), facility="RENO", location_id="")
    assert "Enter the location's id." in html
    other = factories.warehouse(cast.merchant, code="WH2")
    second = factories.connection(of.store, other)
    html = post(cast.staff, url_of(of), facility="RENO", location_id="WH2")
    assert f"“{second}” sends stock for WH2 already." in html
    assert 'value="WH2"' in html
    assert live(of) == {}


def test_a_link_is_changed_in_place(cast: Cast, of: Connection) -> None:
    report(of.warehouse, "A@RENO=1", "A@DALLAS=1")
    locations.link(of, "RENO", "r-1", by=None)
    link = Location.objects.get(retired_at__isnull=True)
    url = url_of(of, edit=str(link.public_id))
    html = client_of(cast.staff).get(url).content.decode()
    assert "Edit link" in html
    assert 'value="r-1"' in html
    post(cast.staff, url, facility="RENO", location_id="r-2")
    assert live(of) == {"RENO": "r-2"}
    event = AuditEvent.objects.latest("pk")
    assert (event.action, event.actor) == ("location.linked", "sam@acme.example")
    assert (event.before, event.after) == ({"RENO": "r-1"}, {"RENO": "r-2"})


def test_removing_twice_is_removing_once(cast: Cast, of: Connection) -> None:
    report(of.warehouse, "A@RENO=1")
    locations.link(of, "RENO", "r-1", by=None)
    link = Location.objects.get(retired_at__isnull=True)
    url = reverse("connections:location_remove", args=[of.public_id, link.public_id])
    for _click in range(2):
        assert "counts at WH1 again" in post(cast.staff, url)
    assert live(of) == {}


def test_a_link_of_another_connection_is_not_removed(
    cast: Cast, of: Connection
) -> None:
    """T1: not even of the same account, by way of one's own connection."""
    other = line(cast.other_merchant)
    locations.link(other, "RENO", "r-1", by=None)
    link = Location.objects.get(retired_at__isnull=True)
    url = reverse("connections:location_remove", args=[of.public_id, link.public_id])
    assert client_of(cast.staff).post(url).status_code == 404
    assert live(other) == {"RENO": "r-1"}
