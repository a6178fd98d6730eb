"""Fill an empty database with the demo: its people and one live connection."""

from __future__ import annotations

import json
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth.models import Group
from django.core.management.base import BaseCommand, CommandParser
from django.db import transaction
from django.utils.crypto import salted_hmac

from connections import dialling, platforms
from connections.models import Connection
from connections.runs import switch
from connections.warehouses import file_exchange
from connections.warehouses.platforms import WarehousePlatform
from connections.wire import ssh
from stores import host_keys, ssh_keys
from stores.apps import ONBOARDING
from stores.models import (
    Account,
    Membership,
    Merchant,
    Role,
    Store,
    User,
    Warehouse,
)

PLATFORM = "inventory_planner"
THREE_PL, MERCHANT = "Harbor 3PL", "Northwind Traders"


class Command(BaseCommand):
    """Idempotent: a second run finds what the first one made."""

    help = "Make the demo's people and its live connection (python3 run.py calls it)."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--facts", type=Path, help="the sandbox's facts.json")
        parser.add_argument("--json", action="store_true", help="print log-ins as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        facts: dict[str, Any] = {}
        if options["facts"]:
            facts = json.loads(options["facts"].read_text(encoding="utf-8"))
        with transaction.atomic():
            people = _people()
            staff = User.objects.get(email="staff@harbor.example")
            if facts and not Connection.objects.filter(name=_NAME).exists():
                _live_connection(facts, staff)
        if options["json"]:
            self.stdout.write(json.dumps(people))
            return
        for person in people:
            self.stdout.write("{who}: {email} / {password}".format(**person))


_NAME = f"{MERCHANT} — Inventory Planner → Reno 3PL"


def _people() -> list[dict[str, str]]:
    harbor = _account(THREE_PL)
    own = _account(MERCHANT)
    merchant, _made = Merchant.objects.get_or_create(account=harbor, name=MERCHANT)
    return [
        _person(
            "3PL administrator", "admin@harbor.example", harbor, Role.ADMINISTRATOR
        ),
        _person("3PL staff", "staff@harbor.example", harbor, Role.STAFF),
        _person(
            "Merchant user", "merchant@harbor.example", harbor, Role.MERCHANT, merchant
        ),
        _person(
            "Merchant with its own account",
            "owner@northwind.example",
            own,
            Role.ADMINISTRATOR,
        ),
        _person("Onboarding team", "onboarding@dropstream.example"),
    ]


def _account(name: str) -> Account:
    account, _made = Account.objects.get_or_create(name=name)
    return account


def _person(
    who: str,
    email: str,
    account: Account | None = None,
    role: Role | None = None,
    merchant: Merchant | None = None,
) -> dict[str, str]:
    # Different on every machine, the same at every start: no default password.
    password = salted_hmac("seed_demo", email).hexdigest()[:12]
    if not User.objects.filter(email=email).exists():
        user = User.objects.create_user(email, password, is_staff=account is None)
        if account is not None and role is not None:
            Membership.objects.create(
                user=user, account=account, role=role, merchant=merchant
            )
        else:
            user.groups.add(Group.objects.get(name=ONBOARDING))
    return {"who": who, "email": email, "password": password}


def _live_connection(facts: dict[str, Any], staff: User) -> None:
    """Set up what a person would in the wizard, and turn it on."""
    account = Account.objects.get(name=THREE_PL)
    merchant = Merchant.objects.get(account=account, name=MERCHANT)
    warehouse = Warehouse.objects.create(
        account=account,
        merchant=merchant,
        name="Reno 3PL",
        code="WH1",
        platform=WarehousePlatform.FILE_EXCHANGE,
    )
    string = file_exchange.parse(facts["demo"]["connection_string"])
    file_exchange.save(warehouse, string, by=staff)
    store = Store.objects.create(
        account=account,
        merchant=merchant,
        name=f"{MERCHANT} on Inventory Planner",
        platform=PLATFORM,
    )
    private_key, public_key = ssh.generate_key_pair(settings.SSH_KEY_TYPE)
    key = ssh_keys.keep_key_pair(
        account=account, private_key=private_key, public_key=public_key, by=staff
    )
    ssh_keys.give_to_store(key, store)
    endpoint = _register(facts, public_key)
    platforms.of_store(store).save(
        store,
        {
            "api_key": facts["demo"].get("api_key", ""),
            "ip_account": facts["demo"].get("account_id", ""),
            "sftp_endpoint": endpoint,
            "sftp_port": 22,
            "sftp_username": "",
            "import_status_filter": "ORDERED",
            "acknowledgement_status": "CLOSED",
            "acknowledge_when": "received",
            "send_received_quantities": "with_status",
        },
        by=staff,
    )
    connection = Connection.objects.create(
        account=account,
        name=_NAME,
        merchant=merchant,
        store=store,
        warehouse=warehouse,
        created_by=staff,
    )
    switch.add_channels(connection, platforms.of_store(store).channels())
    for host, port in ((string.host, string.port), (endpoint, 22)):
        if host:
            _approve(account, host, port, staff)
    if endpoint:
        switch.enable_connection(connection, by=staff)


def _register(facts: dict[str, Any], public_key: str) -> str:
    """Do the other half of the handoff at the sandbox; "" where there is none."""
    if "api_key" not in facts["demo"]:
        return ""
    form = {"account": facts["demo"]["account_id"], "public_key": public_key}
    request = urllib.request.Request(  # noqa: S310  the sandbox's own loopback address
        f"{facts['url']}/ip/connections",
        data=urllib.parse.urlencode(form).encode(),
        headers={"Accept": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
        return str(json.load(answer)["endpoint"])


def _approve(account: Account, host: str, port: int, staff: User) -> None:
    offered = ssh.fetch_host_key(
        host, port, policy=dialling.sftp_policy(), deadline=ssh.Deadline(20)
    )
    key = host_keys.note_offered(
        account.pk, host, port, key_type=offered.key_type, blob=offered.blob
    )
    host_keys.approve(key, by=staff)
