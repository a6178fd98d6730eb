"""The merchants of a soak: their set-up in the product, and what they do all day."""

from __future__ import annotations

import random
import threading
from dataclasses import dataclass
from typing import Any

from django.db import connection as database
from django.db.models.functions import Now

from connections.models import Channel, Schedule, SyncRun
from connections.runs import queue
from connections.runs.jobs import JOBS, STOCK_FULL, jobs_of
from stores import ssh_keys
from tests import factories
from tests.soak.house import House

STATUS, ACKNOWLEDGED = "ORDERED", "CLOSED"


@dataclass(frozen=True)
class Soaked:
    """A store of the soak, as both far sides know it."""

    store_id: int
    warehouse_id: int
    user: str
    account_id: str
    endpoint: str


def set_up(house: House, count: int) -> list[Soaked]:
    """Make connections that are on, through the product's own services."""
    account = factories.account("Soak 3PL")
    person = factories.person("ada@soak.example", account)
    made = []
    for number in range(1, count + 1):
        user = f"m{number:03}"
        facts = house.facts[user]
        mine = factories.merchant(account, f"Merchant {user}")
        to = factories.warehouse(mine, facts["connection_string"])
        of = factories.store(
            mine,
            api_key=facts["api_key"],
            ip_account=facts["account_id"],
            import_status_filter=STATUS,
            acknowledgement_status=ACKNOWLEDGED,
        )
        public_key = ssh_keys.current_key(of).public_key
        answer = house.submit(
            "/ip/connections", account=facts["account_id"], public_key=public_key
        )
        factories.change_store(of, sftp_endpoint=answer["endpoint"])
        for host in (to.file_exchange.host, answer["endpoint"]):
            factories.approve_host_key(account, host, by=person)
        factories.connection(of, to)
        soaked = Soaked(of.pk, to.pk, user, facts["account_id"], answer["endpoint"])
        made.append(soaked)
        if number % 2:
            house.submit("/warehouse/parts", user=user, on="yes")
    return made


def press_run_now() -> None:
    """Ask for every job of every card, as its people can.

    But for the full stock: it would send what a change forgot.
    """
    database.close()  # its server may have been restarted since
    for channel in Channel.objects.select_related("connection"):
        for job in jobs_of(channel.type):
            if job == STOCK_FULL or not job.has_rules:
                continue
            queue.enqueue(channel, job, SyncRun.Trigger.PERSON)


def hurry_retries() -> None:
    """Press "Run now" where a run waits for its next attempt."""
    database.close()
    waiting = SyncRun.objects.filter(state=SyncRun.State.QUEUED, due_at__gt=Now())
    for run in waiting.select_related("channel__connection"):
        queue.enqueue(run.channel, JOBS[run.job], SyncRun.Trigger.PERSON)


def stop_schedules() -> None:
    """Let nothing come due any more but what is asked for."""
    database.close()
    Schedule.objects.update(next_due_at=None)


class Days:
    """Merchants and warehouses at work, each at its own pace, until stopped."""

    def __init__(self, house: House, merchants: list[Soaked], seed: int) -> None:
        self.house = house
        self.merchants = merchants
        self.deeds: dict[str, int] = {}
        self._random = random.Random(f"days {seed}")
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._live, name="days", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._ended.set()
        self._thread.join()

    def receive_the_rest(self) -> None:
        """Receive what was left of the orders that come in parts."""
        for merchant in self.merchants:
            for order in self._orders(merchant):
                if order["receipts"] and not _is_received(order):
                    self.house.submit(
                        "/warehouse/receive", user=merchant.user, po_id=order["po_id"]
                    )

    def _live(self) -> None:
        due = {m: self._random.uniform(0, self._pause()) for m in self.merchants}
        clock = 0.0
        while not self._ended.wait(0.1):
            clock += 0.1
            for merchant in self.merchants:
                if due[merchant] <= clock:
                    due[merchant] = clock + self._pause()
                    self._do_something(merchant)

    def _pause(self) -> float:
        return self._random.uniform(*self.house.pace.between_deeds_s)

    def _do_something(self, merchant: Soaked) -> None:
        deeds = ("stock", "stock", "stock", "order", "rest")
        deed = self._random.choice(deeds)
        self.deeds[deed] = self.deeds.get(deed, 0) + 1
        if deed == "stock":
            self.house.submit("/warehouse/stock", user=merchant.user)
        elif deed == "order":
            self.house.submit("/ip/order", account=merchant.account_id)
        else:
            waiting = [
                order
                for order in self._orders(merchant)
                if order["receipts"] and not _is_received(order)
            ]
            for order in waiting[:1]:
                self.house.submit(
                    "/warehouse/receive", user=merchant.user, po_id=order["po_id"]
                )

    def _orders(self, merchant: Soaked) -> list[dict[str, Any]]:
        doc = self.house.far_state(f"warehouse_{merchant.user}.json")
        orders: list[dict[str, Any]] = doc["orders"]
        return orders


def _is_received(order: dict[str, Any]) -> bool:
    return all(
        float(line["received"]) >= float(line["quantity"]) for line in order["lines"]
    )
