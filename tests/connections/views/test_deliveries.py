"""The ledger of files: the list, a file's page, its bytes."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from connections.deliveries import build
from connections.deliveries import bytes as file_bytes
from connections.messages import explain
from connections.models import Channel, Delivery, DeliveryChunk, SyncRun
from connections.runs import switch
from connections.views import paging
from stores.models import AuditEvent, Warehouse
from tests.connections.wizard.walk import log_in
from tests.factories import Cast
from tests.household import STOCK_FILE, Household, stock_file

State = Delivery.State


@pytest.fixture
def client(cast: Cast) -> Client:
    return log_in(cast.staff)


@pytest.fixture
def stock(rows: Household) -> Channel:
    return rows.connection.channels.get(type=Channel.Type.INVENTORY)


def html_of(response: Any) -> str:
    """A page in which names stand in one piece."""
    return str(response.content.decode().replace("<wbr>", ""))


def page(client: Client, file: Delivery) -> str:
    return html_of(client.get(reverse("connections:delivery", args=[file.public_id])))


def download(client: Client, file: Delivery, **sent: str) -> Any:
    url = reverse("connections:delivery_file", args=[file.public_id])
    return client.post(url, sent)


def listed(client: Client, rows: Household, **query: str) -> str:
    url = reverse("connections:delivery_list", args=[rows.connection.public_id])
    return html_of(client.get(url, query))


def order_file(rows: Household, **values: Any) -> Delivery:
    """The file that hands the household's order over."""
    file = build.build(
        rows.channel,
        entity=Delivery.Entity.PURCHASE_ORDER,
        prefix="po",
        pieces=[b"po_id\n1\n"],
        subject=str(rows.order.public_id),
    )
    for name, value in values.items():
        setattr(file, name, value)
    file.save()
    return file


# --- The page


def test_the_page_says_what_the_file_is_and_what_became_of_it(
    client: Client, rows: Household, stock: Channel
) -> None:
    now = timezone.now()
    file = stock_file(
        stock,
        rows=1234567,
        upper_bound=98765,
        attempts=3,
        first_attempt_at=now - timedelta(seconds=4.2),
        delivered_at=now,
        error_code="network_lost",
        part=2,
        parts=3,
        left_out=1,
        problems=[{"row": 7, "key": ["A", "W"], "column": "C", "reason": "is <b>"}],
    )
    text = page(client, file)
    size = f"{len(STOCK_FILE)} bytes"
    for words in (
        *("Uploaded.", "Stock levels", "1,234,567", "1 left out", "98,765", "4.2 s"),
        "part 2 of 3",
        *(file.name, f"/a/stock/{file.name}", file.sha256, "<dd>3</dd>"),
        *("The connection broke off.", "is &lt;b&gt;"),
    ):
        assert words in text, words
    assert text.count(size) == 2  # made so, and seen so
    assert hashlib.sha256(STOCK_FILE).hexdigest() == file.sha256
    assert "mported" not in text.partition("<main")[2]


STATES = {
    State.ASKED: "To be sent again.",
    State.BUILT: "Ready to send.",
    State.SENDING: "Being sent.",
    State.CLOSING: "Sent whole; not yet seen there.",
    State.RENAMING: "Sent whole; not yet seen there.",
    State.DELIVERED: "Uploaded.",
    State.SUPERSEDED: "Not sent: newer values took its place.",
    State.FOREIGN: "Not sent: somebody else&#x27;s file had its name.",
    State.UNKNOWN: "Nobody can tell whether a file arrived.",
}


def test_every_state_has_words(client: Client, stock: Channel) -> None:
    """U15: what happened and, while it is not over, who acts."""
    assert STATES.keys() == set(State)
    for state, words in STATES.items():
        file = stock_file(stock, state, size_seen=None, delivered_at=None)
        text = page(client, file)
        assert words in text.partition("<main")[2], state
        waits = state in (State.ASKED, *Delivery.UNFINISHED, State.UNKNOWN)
        assert ("To act:" in text) == waits, state
        file.delete()


def test_one_that_never_started_says_so(client: Client, stock: Channel) -> None:
    file = stock_file(
        stock,
        State.BUILT,
        attempts=0,
        folder="",
        size_seen=None,
        first_attempt_at=None,
        delivered_at=None,
    )
    text = page(client, file)
    for words in ("not sent yet", "not seen", "never"):
        assert words in text, words


def test_one_that_waits_says_what_its_channel_waits_for(
    client: Client, rows: Household, stock: Channel
) -> None:
    for state in (State.UNKNOWN, State.SENDING):
        text = page(client, stock_file(stock, state, delivered_at=None, upper_bound=1))
        assert "The SFTP endpoint is not set yet." in text
        assert reverse("connections:store", args=[rows.store.public_id]) in text
    assert "The SFTP endpoint" not in page(client, rows.delivery)
    Delivery.objects.filter(state=State.SENDING).update(state=State.DELIVERED)
    unknown = Delivery.objects.get(state=State.UNKNOWN)
    assert "The SFTP endpoint" not in page(client, unknown)  # it was sent instead


@pytest.mark.parametrize("state", [State.SUPERSEDED, State.FOREIGN, State.UNKNOWN])
def test_what_is_not_there_leads_to_what_was_sent_instead(
    client: Client, stock: Channel, state: str
) -> None:
    file = stock_file(stock, state, upper_bound=5)
    words = "The file that was sent instead"
    stock_file(stock, upper_bound=4)
    assert words not in page(client, file)
    after = stock_file(stock, upper_bound=5)
    stock_file(stock, upper_bound=9)
    stock_file(stock, State.BUILT, upper_bound=5)
    text = page(client, file)
    assert words in text
    assert "To act:" not in text
    assert reverse("connections:delivery", args=[after.public_id]) in text


def test_an_orders_file_leads_to_the_order(client: Client, rows: Household) -> None:
    file = order_file(rows, state=State.DELIVERED, delivered_at=timezone.now())
    text = page(client, file)
    assert "Downloaded by hand." in text  # no attempt was ever made
    assert reverse("connections:order", args=[rows.order.public_id]) in text
    rows.order.delete()
    assert file.name in page(client, file)


def test_the_connections_page_links_to_its_files(
    client: Client, cast: Cast, rows: Household
) -> None:
    """A merchant's people see that files went; the ledger is the 3PL's."""
    url = reverse("connections:page", args=[rows.connection.public_id])
    links = (
        reverse("connections:delivery", args=[rows.delivery.public_id]),
        reverse("connections:delivery_list", args=[rows.connection.public_id]),
    )
    for person, seen in ((cast.staff, True), (cast.merchant_user, False)):
        text = html_of(log_in(person).get(url))
        assert rows.delivery.name in text
        assert [link in text for link in links] == [seen, seen]


# --- The list


def test_the_list_is_filtered_by_kind_and_state(
    client: Client, rows: Household, stock: Channel
) -> None:
    names = {state: stock_file(stock, state).name for state in (*ENDED, State.SENDING)}
    order = order_file(rows, state=State.SENDING).name
    every = {*names.values(), order, rows.delivery.name}

    def shown(**query: str) -> set[str]:
        text = listed(client, rows, **query)
        return {name for name in every if name in text}

    assert shown() == shown(kind="nonsense", state="nonsense") == every
    assert shown(kind="purchase_order") == {order}
    assert shown(state="under_way") == {order, names[State.SENDING]}
    assert shown(state="under_way", kind="stock") == {names[State.SENDING]}
    assert shown(state="unknown") == {names[State.UNKNOWN]}
    assert shown(state="not_sent") == {names[State.SUPERSEDED], names[State.FOREIGN]}
    assert shown(state="uploaded") == {rows.delivery.name}
    assert "Nothing found" in listed(
        client, rows, state="unknown", kind="purchase_order"
    )


ENDED = (State.SUPERSEDED, State.FOREIGN, State.UNKNOWN)


def test_an_empty_list_says_what_will_stand_there(
    client: Client, rows: Household
) -> None:
    rows.delivery.delete()
    assert "No files yet" in listed(client, rows)


def test_the_list_costs_the_same_however_long(
    client: Client,
    rows: Household,
    stock: Channel,
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    """Cut by keyset: each file once, newest first, and no query a row."""
    for _ in range(paging.ROWS + 4):
        stock_file(stock)
    names = list(rows.connection.deliveries.values_list("name", flat=True))
    url = reverse("connections:delivery_list", args=[rows.connection.public_id])
    for state in ("", "under_way"):
        # Session, person, membership, account; the connection, its files.
        with django_assert_num_queries(6):
            client.get(url, {"state": state})
    found: list[str] = []
    after = ""
    while True:
        shown = client.get(url, {"after": after})
        found += [file.name for file in shown.context["files"]]
        after = shown.context["page"].next_after
        if not after:
            break
    assert found == names


# --- The bytes


def test_the_download_is_the_very_bytes(
    client: Client, rows: Household, stock: Channel
) -> None:
    """F2, F3: byte for byte, as a file, of the type that it is."""
    content = b"A,B\n" + b"\xc3\xa9,1\n" * 400_000  # several chunks
    file = stock_file(stock, size=len(content))
    file_bytes.drop(file)
    file_bytes.write(file, [content])
    assert file.chunks.count() > 1
    response = download(client, file)
    assert b"".join(response.streaming_content) == content
    assert response.headers["Content-Length"] == str(len(content))
    assert response.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    disposition = f'attachment; filename="{file.name}"'
    assert response.headers["Content-Disposition"] == disposition


def test_for_spreadsheets_no_value_is_a_formula(
    client: Client, rows: Household
) -> None:
    """F3: numbers stay numbers."""
    response = download(client, rows.delivery, **{"as": "spreadsheet"})
    text = b"".join(response.streaming_content).decode("utf-8-sig")
    assert text == "VARIANT_ID,IN_STOCK\r\nSKU-1,5\r\n'=1+1,-2\r\n"
    name = f"{rows.delivery.name.removesuffix('.csv')}-spreadsheet.csv"
    disposition = f'attachment; filename="{name}"'
    assert response.headers["Content-Disposition"] == disposition
    assert "Content-Length" not in response.headers
    exported = AuditEvent.objects.get(action="delivery.exported")
    assert exported.after == {"form": "spreadsheet"}


def test_what_was_dropped_is_said_and_not_offered(
    client: Client, rows: Household
) -> None:
    assert "is not kept any more" not in page(client, rows.delivery)
    DeliveryChunk.objects.all().delete()
    text = page(client, rows.delivery)
    assert "The content is not kept any more" in text
    assert "Download" not in text
    response = download(client, rows.delivery)
    assert response.status_code == 302
    shown = client.get(response.headers["Location"]).content.decode()
    assert "The content of this file is not kept any more." in shown


def test_a_file_that_is_not_confirmed_names_what_differs(
    client: Client, stock: Channel
) -> None:
    """D18: what happened, which variants, and what to do."""
    file = stock_file(stock, attempts=1)
    file.proof, file.proved_at = Delivery.Proof.NOT_CONFIRMED, timezone.now()
    file.proof_due_at = timezone.now() + timedelta(days=1)
    differ = [["SKU-1", "5", "0"], ["SKU-2", "7", None]]
    file.proof_facts = {"asked": 3, "shown": 1, "differ": differ}
    file.save()
    html = page(client, file)
    assert "Inventory Planner does not show what was uploaded." in html
    assert "1 of 3 variants show the uploaded stock" in html
    assert "SKU-2" in html
    assert "not known" in html
    # The second one cannot be mended by sending its stock again.
    assert "or sent with “Send master data”" in html
    assert "Check intake now" in html
    file.proof_facts = {"asked": 3, "shown": 2, "differ": differ[:1]}
    file.save()
    assert "Run a full inventory update" in page(client, file)


def test_whoever_asks_for_a_look_sees_it_on_the_files_page(
    client: Client, stock: Channel
) -> None:
    file = stock_file(stock, attempts=1)
    file.proof = Delivery.Proof.WAITING
    file.proof_due_at = timezone.now() + timedelta(days=1)
    file.save()
    assert "hx-get" not in page(client, file)
    url = reverse("connections:run_now", args=[stock.public_id, "stock_proof"])
    shown = html_of(client.post(url, {"file": file.public_id}, follow=True))
    here = reverse("connections:delivery", args=[file.public_id])
    assert "Being looked up…" in shown
    assert f'hx-get="{here}"' in shown
    SyncRun.objects.update(state=SyncRun.State.SUCCEEDED)
    file.proof_facts = {"asked": 1, "shown": 0, "early": True, "differ": []}
    file.save()
    part = html_of(client.get(here, headers={"HX-Request": "true"}))
    assert "Looked up early: what differs may still come." in part
    assert "<html" not in part
    assert "hx-get" not in part
    file.proof_facts = {"asked": 0, "why": "api_timeout", "early": True}
    file.save()
    assert str(explain("api_timeout").happened) in page(client, file)


def test_a_file_that_was_overtaken_says_why_nobody_can_tell(
    client: Client, stock: Channel
) -> None:
    file = stock_file(stock, attempts=1)
    file.proof, file.proof_facts = Delivery.Proof.CANNOT_TELL, {"why": "overtaken"}
    file.save()
    html = page(client, file)
    assert "All its figures have changed since" in html
    assert "Check intake now" not in html


# --- Send again


def send_page(client: Client, file: Delivery) -> str:
    url = reverse("connections:delivery_send", args=[file.public_id])
    return client.get(url).content.decode()


def send_again(client: Client, file: Delivery, token: str) -> Any:
    url = reverse("connections:delivery_send", args=[file.public_id])
    return client.post(url, {"token": token}, follow=True)


def test_the_current_stock_is_what_is_offered_first(
    client: Client, rows: Household, stock: Channel
) -> None:
    """R6: the very file comes second, with a warning."""
    Channel.objects.filter(pk=stock.pk).update(sent_through=12)
    Warehouse.objects.update(change_number=12)
    file = stock_file(stock, rows=1234, upper_bound=7)
    assert reverse("connections:delivery_send", args=[file.public_id]) in page(
        client, file
    )
    text = send_page(client, file)
    current = text.index("Send current stock now")
    warned = text.index("It holds older stock.")
    assert current < warned < text.index("Send this very file again")
    assert "1,234 rows go out once more" in text
    assert "The file reaches change 7; sent so far: 12." in text
    url = reverse("connections:run_now", args=[stock.public_id, "stock_full"])
    assert f'action="{url}"' in text
    client.post(url)
    run = SyncRun.objects.get()
    assert (run.job, run.requested_by_id) == ("stock_full", user_of(client))


def test_a_file_that_may_be_the_newest_is_not_called_old(
    client: Client, stock: Channel
) -> None:
    Warehouse.objects.update(change_number=7)
    file = stock_file(stock, State.UNKNOWN, upper_bound=7)
    assert "Nothing has changed since this file was made." in send_page(client, file)
    Warehouse.objects.update(change_number=8)
    assert "It holds older stock." in send_page(client, file)
    part = stock_file(stock, State.UNKNOWN, upper_bound=0, part=1, parts=2)
    assert "It may hold older stock." in send_page(client, part)


def user_of(client: Client) -> int:
    return int(client.session["_auth_user_id"])


def test_a_double_click_sends_once_and_leads_to_the_new_file(
    client: Client, rows: Household
) -> None:
    """R6: counted, confirmed, audited; the same token never makes a second one."""
    old = rows.delivery
    first = send_again(client, old, "one")
    again = old.resends.get()
    assert first.redirect_chain[-1][0] == reverse(
        "connections:delivery", args=[again.public_id]
    )
    assert "To be sent again." in first.content.decode()
    assert old.name in html_of(first)
    for token in ("one", "two"):  # another tab: one is on its way already
        second = send_again(client, old, token)
        assert "It was asked for already" in second.content.decode()
    Delivery.objects.filter(pk=again.pk).update(state=State.DELIVERED)
    send_again(client, old, "one")
    assert old.resends.count() == 1
    assert again.name != old.name
    assert again.name.startswith("inv_")
    assert (again.rows, again.size, again.sha256) == (old.rows, old.size, old.sha256)
    assert b"".join(file_bytes.read(again)) == STOCK_FILE
    assert again.name in page(client, old)
    event = AuditEvent.objects.get(action="delivery.sent_again")
    assert (event.target, event.after["file"]) == (old.name, again.name)
    assert SyncRun.objects.get().job == "stock_changes"
    send_again(client, old, "three")
    assert old.resends.count() == 2


@pytest.mark.parametrize("state", [State.FOREIGN, State.SUPERSEDED, State.SENDING])
def test_only_what_may_have_arrived_is_sent_again_itself(
    client: Client, stock: Channel, state: str
) -> None:
    file = stock_file(stock, state)
    text = send_page(client, file)
    assert "Send current stock now" in text
    assert "Send this very file again" not in text
    refused = send_again(client, file, "one").content.decode()
    assert "This very file cannot be sent again." in refused
    assert not file.resends.exists()


def test_what_was_dropped_is_not_sent_again(client: Client, rows: Household) -> None:
    DeliveryChunk.objects.all().delete()
    assert "Send this very file again" not in send_page(client, rows.delivery)
    send_again(client, rows.delivery, "one")
    assert not rows.delivery.resends.exists()


def test_nothing_is_sent_again_while_it_is_off(client: Client, rows: Household) -> None:
    switch.disable_connection(rows.connection, by=None)
    text = send_page(client, rows.delivery)
    assert text.count("disabled>") == 2
    said = send_again(client, rows.delivery, "one").content.decode()
    assert "Nothing runs while it is off." in said
    assert not rows.delivery.resends.exists()


def test_an_orders_file_is_not_sent_again_here(client: Client, rows: Household) -> None:
    file = order_file(rows, state=State.DELIVERED, delivered_at=timezone.now())
    assert "Send again" not in page(client, file)
    url = reverse("connections:delivery_send", args=[file.public_id])
    assert client.get(url).status_code == client.post(url).status_code == 404
