"""Each merchant needs its own log-in at the warehouse (dropstream.md §3): a warning."""

from __future__ import annotations

import html

import pytest
from django.urls import reverse

from connections.models import Connection
from stores.models import Warehouse
from tests import factories
from tests.connections.wizard.walk import STORE, WAREHOUSE, Walk, log_in
from tests.factories import Cast

WARNING = "uses this log-in already, for “Main warehouse WH1”."


def taken(cast: Cast) -> Warehouse:
    """A warehouse of the cast's merchant with the log-in that the walk types."""
    return factories.warehouse(cast.merchant, WAREHOUSE["connection_string"])


def test_a_second_merchant_on_the_same_log_in_is_warned_and_goes_on(
    walk: Walk, cast: Cast
) -> None:
    taken(cast)
    walk.up_to("store")
    said = f"{cast.merchant} {WARNING}"
    assert said in walk.page("store")  # on the page that Continue leads to
    assert said not in walk.page("store")
    assert said in walk.page("warehouse")  # and where it can be changed, for good
    walk.answer(store=STORE)
    assert Connection.objects.count() == 1


@pytest.mark.parametrize(
    "string",
    [
        "sftp://south:other@files.reno.example:2222",
        "sftp://north:other@files.reno.example:22",
        "sftp://north:other@files.sparks.example:2222",
    ],
)
def test_another_log_in_is_not_warned_of(walk: Walk, cast: Cast, string: str) -> None:
    taken(cast)
    walk.up_to("warehouse")
    walk.answer(warehouse=WAREHOUSE | {"connection_string": string})
    assert WARNING not in walk.page("store")
    assert WARNING not in walk.page("warehouse")


def test_t1_nothing_is_said_of_a_merchant_out_of_scope(cast: Cast) -> None:
    """Neither of one that scoped staff do not see, nor of another account's."""
    warehouse = taken(cast)
    cast.scoped_staff.membership.scope.set([cast.other_merchant])
    for person in (cast.scoped_staff, cast.stranger):
        walk = Walk(person)
        walk.up_to("store")
        assert WARNING not in walk.page("store"), person
        assert WARNING not in walk.page("warehouse"), person
    assert warehouse.account != cast.stranger.membership.account


def test_the_warehouses_own_page_warns_too(cast: Cast) -> None:
    taken(cast)
    other = factories.warehouse(cast.other_merchant, "sftp://a:b@files.reno.example")
    client = log_in(cast.staff)
    page = reverse("connections:warehouse", args=[other.public_id])
    typed = {"connection_string": WAREHOUSE["connection_string"]}
    answer = client.post(page, typed, follow=True)
    assert f"{cast.merchant} {WARNING}" in html.unescape(answer.content.decode())
    other.file_exchange.refresh_from_db()
    assert other.file_exchange.username == "north"
