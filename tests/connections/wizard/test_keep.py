"""What is sent while a person types is kept, not judged (U2, U3, U6)."""

from __future__ import annotations

import html
import re

from connections.models import CheckRun, Connection
from tests.connections.wizard.walk import STORE, WAREHOUSE, Walk, errors, log_in
from tests.factories import Cast


def test_u3_what_is_typed_is_kept_and_not_judged(walk: Walk) -> None:
    """Invalid, half-typed, on the last step: stored, and nothing else happens."""
    walk.up_to("store")
    typed = STORE | {"sftp_endpoint": "https://half"}
    assert walk.post("store", typed, keep="1", test="1").status_code == 200
    page = walk.page("store")
    assert 'value="https://half"' in page
    assert STORE["api_key"] not in page
    assert not CheckRun.objects.exists()
    assert not Connection.objects.exists()


def test_u4_the_answer_to_what_is_kept_is_the_review_of_the_step(walk: Walk) -> None:
    """K8: as it is stored, the secret by its last four characters."""
    walk.up_to("warehouse")
    response = walk.post("warehouse", WAREHOUSE, keep="1")
    assert (response.status_code, response.content) == (204, b"")
    walk.up_to("store")
    typed = STORE | {"acknowledgement_status": "", "sftp_endpoint": "https://half"}
    answer = html.unescape(walk.post("store", typed, keep="1").content.decode())
    assert STORE["api_key"] not in answer
    shown = dict(re.findall(r"<dt>(.*?)</dt><dd>(.*?) <a ", answer))
    assert shown == {
        "Name": STORE["name"],
        "Platform": "Inventory Planner",
        "API Key": "…4567",
        "Account ID": "123456",
        "SFTP Endpoint": "https://half",
        "Import Status Filter": "ORDERED",
        "Acknowledgement Status": "Not set: blank sets nothing",
        "Set it when the order is": "Fully received",
        "Send received quantities to Inventory Planner": (
            "When an Acknowledgement Status is set"
        ),
    }


def test_k8_an_empty_secret_that_is_kept_meanwhile_keeps_the_stored_one(
    walk: Walk,
) -> None:
    walk.up_to("store")
    walk.post("warehouse", WAREHOUSE | {"connection_string": ""}, keep="1")
    walk.draft.refresh_from_db()
    answers = walk.draft.answers("warehouse")
    assert answers["connection_string"] == WAREHOUSE["connection_string"]


def test_t1_nobody_else_types_into_a_draft(walk: Walk, cast: Cast) -> None:
    walk.answer(basic={"name": "Mine"})
    client = log_in(cast.administrator)
    url = walk.url("basic")
    assert client.post(url, {"basic-name": "Theirs", "keep": "1"}).status_code == 404
    walk.draft.refresh_from_db()
    assert walk.draft.answers("basic")["name"] == "Mine"


def test_what_is_typed_after_the_end_changes_nothing(walk: Walk) -> None:
    """A late one, of a tab that was open when the connection was added."""
    walk.up_to("store")
    walk.post("store", STORE)
    assert walk.post("store", STORE, keep="1").headers["Location"] == "/connections/"
    assert Connection.objects.count() == 1


def test_u9_a_test_before_a_platform_is_chosen_says_what_is_missing(
    walk: Walk,
) -> None:
    walk.up_to("store")
    page = walk.post("store", {"choice": "new", "name": "Shop"}, test="1")
    assert errors(page) == {"platform": ["Choose the store's platform."]}
    assert not CheckRun.objects.exists()
