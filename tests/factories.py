"""Rows for tests, made through the product's own services."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from allauth.mfa.totp.internal.auth import TOTP
from django.contrib.auth.models import Group
from django.db import transaction
from django.utils import timezone

from connections import dialling, platforms
from connections.models import Channel, Connection, StockReport, SyncRun
from connections.runs import switch
from connections.runs.jobs import ORDERS_IMPORT, STOCK_CHANGES
from connections.warehouses import file_exchange
from connections.warehouses.platforms import WarehousePlatform
from connections.wire import ssh
from dropstream.sandbox import Sandbox
from dropstream.sandbox.ip import Drop
from dropstream.sandbox.warehouse import User as WarehouseUser
from inventory_planner.models import InventoryPlannerSettings
from stores import host_keys, ssh_keys
from stores.apps import ONBOARDING
from stores.models import (
    Account,
    HostKey,
    Membership,
    Merchant,
    Role,
    SSHKey,
    Store,
    User,
    Warehouse,
)

PASSWORD = "correct horse battery staple"
TOTP_SECRET = "JBSWY3DPEHPK3PXP"  # in the onboarding team's authenticator app
PROBE_SECONDS = 10
PLATFORM = "inventory_planner"


def account(name: str = "Acme 3PL") -> Account:
    """Make a tenant."""
    return Account.objects.create(name=name)


def person(
    email: str,
    of: Account | None = None,
    role: Role = Role.ADMINISTRATOR,
    *,
    merchant: Merchant | None = None,
    scope: tuple[Merchant, ...] = (),
) -> User:
    """Make somebody who can log in; without an account: the onboarding team."""
    user = User.objects.create_user(email, PASSWORD, is_staff=of is None)
    if of is None:
        user.groups.add(Group.objects.get(name=ONBOARDING))
        TOTP.activate(user, TOTP_SECRET)
    else:
        membership = Membership.objects.create(
            user=user, account=of, role=role, merchant=merchant
        )
        membership.scope.set(scope)
        membership.refresh_from_db(fields=["is_scoped"])
    return user


def merchant(of: Account, name: str = "Blue Bottle Goods") -> Merchant:
    """Make a brand of an account."""
    return Merchant.objects.create(account=of, name=name)


def key_pair(of: Account) -> SSHKey:
    """Make a key pair as the wizard does; Ed25519, because RSA takes 0.3 s."""
    private_key, public_key = ssh.generate_key_pair("ed25519")
    return ssh_keys.keep_key_pair(
        account=of, private_key=private_key, public_key=public_key, by=None
    )


@transaction.atomic
def store(of: Merchant, **answers: Any) -> Store:
    """Make a store on Inventory Planner; `answers` are the fields of its form."""
    made = Store.objects.create(
        account=of.account, merchant=of, name=f"{of.name} IP", platform=PLATFORM
    )
    ssh_keys.give_to_store(key_pair(of.account), made)
    change_store(made, **answers)
    return made


@transaction.atomic
def change_store(row: Store, **answers: Any) -> None:
    """Save fields of the store's form as its page does; the others stay."""
    platform = platforms.of_store(row)
    if InventoryPlannerSettings.objects.filter(store=row).exists():
        shown = platform.load(row)
    else:
        fields = platform.form_class.base_fields
        shown = {name: field.initial for name, field in fields.items()}
    form = platform.form_class(shown | answers, store=row)  # type: ignore[call-arg]
    assert form.is_valid(), form.errors
    platform.save(row, form.cleaned_data, by=None)


@transaction.atomic
def warehouse(
    of: Merchant, connection_string: str = "", *, code: str = "WH1"
) -> Warehouse:
    """Make a file-exchange warehouse, set up when a connection string is given."""
    made = Warehouse.objects.create(
        account=of.account,
        merchant=of,
        name=f"Main warehouse {code}",
        code=code,
        platform=WarehousePlatform.FILE_EXCHANGE,
    )
    if connection_string:
        file_exchange.save(made, file_exchange.parse(connection_string), by=None)
    return made


@transaction.atomic
def connection(of: Store, to: Warehouse, *, on: bool = True) -> Connection:
    """Join a store and a warehouse with every channel of the platform."""
    made = Connection.objects.create(
        account=of.account,
        name=f"{of.name} to {to.name}",
        merchant=of.merchant,
        store=of,
        warehouse=to,
    )
    switch.add_channels(made, platforms.of_store(of).channels())
    if on:
        switch.enable_connection(made, by=None)
    return made


@transaction.atomic
def many_connections(of: Account, count: int) -> None:
    """Make connections that work, with some history; in bulk, so without services.

    A merchant for every ten, a store and a warehouse each.
    """
    now = timezone.now()
    merchants = Merchant.objects.bulk_create(
        Merchant(account=of, name=f"Merchant {n:05}") for n in range(-(-count // 10))
    )
    stores = Store.objects.bulk_create(
        Store(account=of, merchant=merchants[n // 10], name=f"S{n}", platform=PLATFORM)
        for n in range(count)
    )
    InventoryPlannerSettings.objects.bulk_create(
        InventoryPlannerSettings(
            account=of,
            store=row,
            sealed_api_key=b"never opened",
            ip_account=f"a{row.pk}",
            sftp_endpoint="drop.example.com",
        )
        for row in stores
    )
    warehouses = Warehouse.objects.bulk_create(
        Warehouse(
            account=of,
            merchant=row.merchant,
            name=f"W{n}",
            code=f"W{n}",
            platform=WarehousePlatform.FILE_EXCHANGE,
        )
        for n, row in enumerate(stores)
    )
    StockReport.objects.bulk_create(
        StockReport(
            account=of, warehouse=row, name="inv_1.csv", size=1, state="applied"
        )
        for row in warehouses
    )
    connections = Connection.objects.bulk_create(
        Connection(
            account=of,
            # Names in another order than the rows: the list must use its index.
            name=f"Connection {n * 7919 % count:05}",
            merchant=row.merchant,
            store=row,
            warehouse=to,
            enabled_at=now,
        )
        for n, (row, to) in enumerate(zip(stores, warehouses, strict=True))
    )
    jobs = {
        Channel.Type.INVENTORY: STOCK_CHANGES,
        Channel.Type.PURCHASE_ORDERS: ORDERS_IMPORT,
    }
    channels = Channel.objects.bulk_create(
        Channel(account=of, connection=row, type=channel_type, enabled_at=now)
        for row in connections
        for channel_type in jobs
    )
    SyncRun.objects.bulk_create(
        SyncRun(
            account=of,
            connection=channel.connection,
            channel=channel,
            store=channel.connection.store,
            job=jobs[Channel.Type(channel.type)].slug,
            state=SyncRun.State.SUCCEEDED,
            trigger=SyncRun.Trigger.SCHEDULE,
            due_at=now,
        )
        for _run in range(3)
        for channel in channels
    )


def approve_host_key(of: Account, host: str, *, by: User, port: int = 22) -> HostKey:
    """Ask the far side for its key, as a test of the connection does, and trust it."""
    offered = ssh.fetch_host_key(
        host,
        port,
        policy=dialling.sftp_policy(),
        deadline=ssh.Deadline(PROBE_SECONDS),
    )
    key = host_keys.note_offered(
        of.pk, host, port, key_type=offered.key_type, blob=offered.blob
    )
    host_keys.approve(key, by=by)
    return key


@dataclass(frozen=True)
class Line:
    """A connection from a sandbox's warehouse to its Inventory Planner."""

    sandbox: Sandbox
    person: User
    connection: Connection
    store: Store
    warehouse: Warehouse
    far_warehouse: WarehouseUser
    drop: Drop

    @property
    def account(self) -> Account:
        return self.connection.account

    @property
    def stock(self) -> Channel:
        return self.connection.channels.get(type=Channel.Type.INVENTORY)

    @property
    def orders(self) -> Channel:
        return self.connection.channels.get(type=Channel.Type.PURCHASE_ORDERS)

    def dropped(self) -> list[bytes]:
        """The files that wait on the drop, by name: they sort by time."""
        return [(self.drop.folder / path).read_bytes() for path in self.drop.files()]

    def opened(self, op: str = "open_write") -> list[str]:
        """The paths of one kind of step at Inventory Planner's drop."""
        events = self.sandbox.journal.of(op, side="ip")
        return [event.path for event in events]

    def report(self, name: str, text: str | bytes) -> Path:
        """Let the warehouse put a file into its /out, newer than those before."""
        path = self.far_warehouse.outgoing / name
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        newest = max(p.stat().st_mtime for p in path.parent.iterdir())
        os.utime(path, (newest + 1, newest + 1))
        return path

    def clear_reports(self) -> None:
        """Take the warehouse's own first report away: figures of the test's choice."""
        for path in self.far_warehouse.outgoing.iterdir():
            path.unlink()


def line(
    sandbox: Sandbox,
    by: User,
    *,
    who: str = "demo",
    endpoint: bool = True,
    approved: bool = True,
    **answers: Any,
) -> Line:
    """Set up a connection that is on, its key registered at Inventory Planner.

    `who` is one of the sandbox's two customers. `approved`: both host keys.
    """
    facts = sandbox.facts[who]
    mine = merchant(by.membership.account, f"Merchant {who}")
    to = warehouse(mine, facts["connection_string"])
    credentials = {"api_key": facts["api_key"], "ip_account": facts["account_id"]}
    of = store(mine, **(credentials | answers))
    public_key = ssh_keys.current_key(of).public_key
    drop = sandbox.ip.connect(facts["account_id"], public_key)
    if endpoint:
        change_store(of, sftp_endpoint=drop.endpoint)
    if approved:
        for host in (to.file_exchange.host, drop.endpoint):
            approve_host_key(mine.account, host, by=by)
    return Line(
        sandbox=sandbox,
        person=by,
        connection=connection(of, to),
        store=of,
        warehouse=to,
        far_warehouse=sandbox.warehouse.users[who],
        drop=drop,
    )


@dataclass(frozen=True)
class Cast:
    """Everybody whom a page or a service may meet; anonymous is a client's default."""

    acme: Account
    administrator: User
    staff: User
    scoped_staff: User  # limited to `merchant`
    merchant_user: User  # of `merchant`
    merchant: Merchant
    other_merchant: Merchant  # of acme too, out of scope for the last two
    other: Account
    stranger: User  # administrator of the other account
    onboarding: User


def cast() -> Cast:
    """Make two accounts and their people."""
    acme, other = account("Acme 3PL"), account("Other 3PL")
    mine = merchant(acme, "Blue Bottle Goods")
    return Cast(
        acme=acme,
        administrator=person("ada@acme.example", acme),
        staff=person("sam@acme.example", acme, Role.STAFF),
        scoped_staff=person("sue@acme.example", acme, Role.STAFF, scope=(mine,)),
        merchant_user=person("mia@acme.example", acme, Role.MERCHANT, merchant=mine),
        merchant=mine,
        other_merchant=merchant(acme, "Red Kettle"),
        other=other,
        stranger=person("oz@other.example", other),
        onboarding=person("una@dropstream.example"),
    )
