"""The list of connections (dropstream.md §3, U15, U17)."""

from __future__ import annotations

import html
import re
from typing import Any

import pytest
from django.db import connection as database
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from connections.models import Connection
from tests import factories
from tests.connections.wizard.walk import log_in
from tests.factories import Cast
from tests.household import Household

LIST = "/connections/"


def listed(response: Any) -> list[str]:
    """The names in the list, in its order."""
    text = html.unescape(response.content.decode())
    found = re.findall(r'<th scope="row"><a href="[^"]*">([^<]*)</a>', text)
    return [str(name) for name in found]


def test_an_empty_list_teaches(cast: Cast) -> None:
    """U17: what a connection is, and the way to the first one."""
    page = log_in(cast.staff).get(LIST).content.decode()
    assert "No connections yet" in page
    assert reverse("connections:wizard_start") in page
    page = log_in(cast.merchant_user).get(LIST).content.decode()
    assert "Your 3PL has not connected one of your stores so far." in page
    assert "Add Connection" not in page


def test_a_row_says_all_of_a_connection(cast: Cast, rows: Household) -> None:
    """dropstream.md §3: name, merchant, store, warehouse, switch; U15: status."""
    page = log_in(cast.staff).get(LIST).content.decode()
    assert listed(log_in(cast.staff).get(LIST)) == ["Plain connection"]
    for words in ("Blue Bottle Goods", "Plain store", "Plain warehouse"):
        assert words in page
    for name in ("page", "store", "warehouse", "switch"):
        part = "connection" if name in ("page", "switch") else name
        assert (
            reverse(f"connections:{name}", args=[getattr(rows, part).public_id]) in page
        )
    assert 'aria-checked="true"' in page


def test_a_merchant_user_sees_no_switch_and_no_warehouse_page(
    cast: Cast, rows: Household
) -> None:
    """design.md §3: its own connections, nothing to manage."""
    response = log_in(cast.merchant_user).get(LIST)
    assert listed(response) == ["Plain connection"]
    page = response.content.decode()
    assert 'role="switch"' not in page
    assert "/warehouses/" not in page


def test_everybody_sees_their_own(cast: Cast, rows: Household) -> None:
    """T1."""
    red = cast.other_merchant
    factories.connection(factories.store(red), factories.warehouse(red))
    seen = {
        person.email: len(listed(log_in(person).get(LIST)))
        for person in (cast.administrator, cast.scoped_staff, cast.merchant_user)
    }
    assert list(seen.values()) == [2, 1, 1]
    assert listed(log_in(cast.stranger).get(LIST)) == []


def test_search_and_switch_narrow_the_list(cast: Cast) -> None:
    """dropstream.md §3: search by name, filter by status."""
    factories.many_connections(cast.acme, 12)
    Connection.objects.filter(name__endswith="3").update(enabled_at=None)
    client = log_in(cast.staff)
    assert listed(client.get(LIST, {"q": " connection 0000 "})) != []
    assert len(listed(client.get(LIST, {"q": "CONNECTION 0001"}))) == 2
    assert listed(client.get(LIST, {"state": "off"})) == ["Connection 00003"]
    assert len(listed(client.get(LIST, {"state": "on", "q": "00003"}))) == 0
    assert len(listed(client.get(LIST, {"state": "nonsense"}))) == 12
    nothing = client.get(LIST, {"q": '"><script>'}).content.decode()
    assert "Nothing found" in nothing
    assert "Show all" in nothing
    assert '"><script>' not in nothing


@pytest.mark.parametrize("text", ["\x00", "%", "_", "'", "\\", "x" * 5000])
def test_any_search_is_answered(cast: Cast, rows: Household, text: str) -> None:
    """B7, F7: typed text is data, in both lists."""
    client = log_in(cast.staff)
    for url in (LIST, "/stores/"):
        assert client.get(url, {"q": text}).status_code == 200


def test_pages_hold_everything_once(cast: Cast) -> None:
    """design.md §3: keyset paging, 50 a page, by name."""
    factories.many_connections(cast.acme, 101)
    client, seen = log_in(cast.staff), list[str]()
    url, pages = LIST, 0
    while url:
        response = client.get(url)
        seen += listed(response)
        pages += 1
        following = re.search(
            r'href="([^"]*after=[^"]*)"[^>]*>(?:(?!</a>).)*Next',
            response.content.decode(),
            re.S,
        )
        url = LIST + html.unescape(following[1]) if following else ""
    assert pages == 3
    assert len(seen) == 101
    assert seen == sorted(set(seen))


def test_an_unknown_place_in_the_list_is_its_start(cast: Cast, rows: Household) -> None:
    foreign = factories.merchant(cast.other)
    theirs = factories.connection(
        factories.store(foreign), factories.warehouse(foreign)
    )
    for after in ("nonsense", str(theirs.public_id)):
        assert len(listed(log_in(cast.staff).get(LIST, {"after": after}))) == 1


def queries_of(person: Any, url: str) -> int:
    client = log_in(person)
    client.get(url)  # what is read once a process
    with CaptureQueriesContext(database) as queries:
        assert client.get(url).status_code == 200
    return len(queries)


@pytest.mark.parametrize("url", [LIST, "/stores/"])
def test_the_number_of_queries_does_not_grow(cast: Cast, url: str) -> None:
    """issue 2, connections.growth: the same for 10 and for 60."""
    factories.many_connections(cast.acme, 10)
    few = queries_of(cast.staff, url)
    factories.many_connections(cast.other, 60)
    assert queries_of(cast.stranger, url) <= few + 1  # the scope of a staff person
    assert queries_of(cast.staff, url) == few
    assert few <= 16
