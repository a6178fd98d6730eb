"""The wizard's storage is the draft's row: sealed, never in the session."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse
from formtools.wizard.storage.base import BaseStorage

from connections.models import ConnectionDraft


class DraftStorage(BaseStorage):
    """Keeps raw input in the draft that the view put on the request."""

    def __init__(self, prefix: str, request: Any, file_storage: Any = None) -> None:
        super().__init__(prefix, request, file_storage)
        self.draft: ConnectionDraft = request.draft
        self.init_data()
        self.data.update(self.draft.load())

    def update_response(self, response: HttpResponse) -> None:
        """Nothing to do: `save` is called where something was typed."""

    def save(self) -> None:
        """Seal what was typed; name and step stand open for the list of drafts."""
        self.draft.keep(self.data)
        name = self.draft.answers("basic").get("name", "")
        # Raw input: the form refuses NUL later, a column of the database at once.
        self.draft.name = name.replace("\0", "").strip()[:200]
        self.draft.step = self.current_step or self.draft.step
        self.draft.save(update_fields=["sealed_answers", "name", "step", "updated_at"])
