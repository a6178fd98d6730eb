"""Drafts that nobody goes on with end as the list says, with their keys (U6)."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from connections import tasks
from connections.models import ConnectionDraft
from connections.models.draft import KEPT_FOR
from stores.models import SSHKey
from tests import factories
from tests.connections.wizard.walk import Walk, log_in
from tests.factories import Cast


def last_changed(walk: Walk, ago: timedelta) -> None:
    ConnectionDraft.objects.filter(pk=walk.draft.pk).update(
        updated_at=timezone.now() - ago
    )


def test_u6_the_tick_discards_an_expired_draft_with_its_key(cast: Cast) -> None:
    """A fresh one stays with its own, and so does the key of a store."""
    added, old, fresh = (Walk(cast.staff) for _ in range(3))
    for walk in (old, fresh):
        walk.shown_key()
    store = factories.store(cast.merchant)
    made = factories.connection(store, factories.warehouse(cast.merchant))
    ConnectionDraft.objects.filter(pk=added.draft.pk).update(connection=made)
    for walk in (added, old):
        last_changed(walk, KEPT_FOR + timedelta(minutes=1))
    last_changed(fresh, KEPT_FOR - timedelta(minutes=1))
    tasks.tick()
    left = set(ConnectionDraft.objects.values_list("pk", flat=True))
    assert left == {added.draft.pk, fresh.draft.pk}
    assert old.get("basic").status_code == 404
    assert fresh.get("basic").status_code == 200
    unused, used = SSHKey.objects.order_by("store")[::-1]
    assert (unused.store, used.store) == (None, store)


@pytest.mark.django_db
def test_u14_the_drafts_public_key_downloads_as_a_file(walk: Walk, cast: Cast) -> None:
    """One OpenSSH line, the very one that is shown; there is none before step 4."""
    url = reverse("connections:wizard_key", args=[walk.draft.public_id])
    assert walk.client.get(url).status_code == 404
    key = walk.shown_key()
    response = walk.client.get(url)
    assert response.headers["Content-Type"] == "text/plain"
    assert (
        response.headers["Content-Disposition"]
        == 'attachment; filename="dropstream.pub"'
    )
    assert response.content == f"{key}\n".encode("ascii")
    assert log_in(cast.administrator).get(url).status_code == 404
