"""A person who walks through the wizard with Django's test client."""

from __future__ import annotations

import html
import re
from typing import Any

from django.test import Client
from django.urls import reverse

from connections.models import ConnectionDraft
from stores.models import Merchant, Store, User

PASSWORD = "marker-of-the-typed-password-0123"
API_KEY = "marker-of-the-typed-api-key-4567"
ENDPOINT = "s-abc123.server.transfer.us-east-1.amazonaws.com"

BASIC = {"name": "Northwind — Inventory Planner → Reno 3PL"}
NEW_MERCHANT = {
    "choice": "new",
    "company_name": "Northwind Traders",
    "street": "1 Quay",
    "city": "Reno",
    "state": "NV",
    "zipcode": "89501",
    "country": "US",
}
WAREHOUSE = {
    "description": "Reno 3PL",
    "code": "WH1",
    "platform": "file_exchange",
    "connection_string": f"sftp://north:{PASSWORD}@files.reno.example:2222",
}
STORE = {
    "choice": "new",
    "name": "Northwind on Inventory Planner",
    "platform": "inventory_planner",
    "api_key": API_KEY,
    "ip_account": "123456",
    "sftp_endpoint": ENDPOINT,
    "sftp_username": "",
    "import_status_filter": "ORDERED",
    "acknowledgement_status": "CLOSED",
    "acknowledge_when": "received",
    "send_received_quantities": "with_status",
}
STEPS = {
    "basic": BASIC,
    "merchant": NEW_MERCHANT,
    "warehouse": WAREHOUSE,
    "store": STORE,
}


def log_in(person: User) -> Client:
    """A browser in which the person is logged in."""
    client = Client()
    client.force_login(person, "django.contrib.auth.backends.ModelBackend")
    return client


class Walk:
    """One draft in one browser."""

    def __init__(self, person: User, draft: ConnectionDraft | None = None) -> None:
        self.client = log_in(person)
        if draft is None:
            self.client.post(reverse("connections:wizard_start"))
            draft = ConnectionDraft.objects.for_user(person).latest("pk")
        self.draft = draft

    def url(self, step: str) -> str:
        kwargs = {"draft": self.draft.public_id, "step": step}
        return reverse("connections:wizard", kwargs=kwargs)

    def get(self, step: str) -> Any:
        return self.client.get(self.url(step))

    def page(self, step: str) -> str:
        """The step's page, as a person would read it."""
        response = self.get(step)
        assert response.status_code == 200, response.headers
        return html.unescape(response.content.decode())

    def post(self, step: str, fields: dict[str, str], **buttons: str) -> Any:
        """Send a step; `buttons` are those pressed (goto, test)."""
        data = {f"{step}-{name}": value for name, value in fields.items()}
        return self.client.post(self.url(step), data | buttons)

    def answer(self, **steps: dict[str, str]) -> None:
        """Answer steps so that each leads on."""
        for step, fields in steps.items():
            response = self.post(step, fields)
            assert response.status_code == 302, errors(response)

    def up_to(self, last: str) -> None:
        """Answer the steps before one, with what is new in each."""
        for step, fields in STEPS.items():
            if step == last:
                return
            self.answer(**{step: fields})

    def shown_key(self) -> str:
        """The public key that step 4 shows once the platform is picked."""
        url = reverse("connections:wizard_platform", args=[self.draft.public_id])
        part = self.client.get(url, {"store-platform": STORE["platform"]})
        return public_key(html.unescape(part.content.decode()))


def public_key(page: str) -> str:
    found = re.findall(r"ssh-[a-z0-9]+ [A-Za-z0-9+/=]+[^<\n]*", page)
    assert found, "no public key on the page"
    return str(found[0]).strip()


def errors(response: Any) -> dict[str, list[str]]:
    """The errors of the form that was shown again, by field."""
    assert response.status_code == 200, response.headers
    return {
        name: [str(error) for error in found]
        for name, found in response.context["form"].errors.items()
    }


def choose(merchant: Merchant) -> dict[str, str]:
    """Step 2 with an existing merchant."""
    return {"choice": "existing", "merchant": str(merchant.public_id)}


def reuse(store: Store) -> dict[str, str]:
    """Step 4 with an existing store."""
    return {"choice": "existing", "store": str(store.public_id)}
