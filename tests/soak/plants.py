"""Bugs that the harness must find: each makes a promise of the engine untrue.

They live here and are loaded by `tests.soak.planted` alone; the product has no switch.
"""

from __future__ import annotations

import struct
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from django.db import transaction

from connections import platforms
from connections.deliveries import send
from connections.deliveries.names import new_name
from connections.models import Channel, Delivery, StoreLease, SyncRun
from connections.orders import importing
from connections.orders.routing import Routes
from connections.platforms import OrderPage
from connections.runs import lease as leases
from connections.runs.context import RunContext
from connections.runs.lease import Lease
from connections.stock import push
from connections.wire import sftp as wire
from connections.wire.sftp import Sftp

# Wide enough for a kill to fall into, short enough for work to go on.
WINDOW_S = 0.5


def record_before_close() -> None:
    """Call a file delivered when its bytes are sent, and close it afterwards."""
    record = send._record
    late = threading.local()  # a run stays in its thread

    def upload(self: Sftp, path: str, chunks: Iterable[bytes], **more: Any) -> int:
        handle = self._open_handle(
            wire._OPEN,
            wire._string(path.encode())
            + struct.pack(">I", wire._FOR_WRITING)
            + wire._NO_ATTRIBUTES,
            missing="folder_missing",
        )
        offset = 0
        for piece in wire._pieces(chunks):
            packet = wire._string(handle) + struct.pack(">QI", offset, len(piece))
            self._settle({self._send(wire._WRITE, packet, piece): len(piece)})
            offset += len(piece)

        def close() -> None:
            self._expect_ok(*self._ask(wire._CLOSE, wire._string(handle)))

        if "/." in path:  # a hidden name is renamed next: it cannot wait
            close()
        else:
            late.close = close
        return offset

    def record_then_close(
        context: RunContext, delivery: Delivery, on_delivered: send.OnEnd
    ) -> None:
        record(context, delivery, on_delivered)
        time.sleep(WINDOW_S)
        vars(late).pop("close", lambda: None)()

    Sftp.upload = upload  # type: ignore[method-assign]
    send._record = record_then_close


def mark_before_delivery() -> None:
    """Move the mark when the file is built."""
    build = push._build

    def build_and_mark(
        context: RunContext, target: platforms.StockTarget, *, full: bool
    ) -> list[Delivery]:
        made = build(context, target, full=full)
        if made:
            Channel.objects.filter(pk=context.channel.pk).update(
                sent_through=made[-1].upper_bound
            )
            time.sleep(WINDOW_S)
        return made

    push._build = build_and_mark


def no_lease_check() -> None:
    """Work and write whether or not somebody else holds the store."""

    @contextmanager
    def fenced(self: Lease) -> Iterator[None]:
        with transaction.atomic():
            yield

    def take(run: SyncRun) -> Lease:
        row, _made = StoreLease.objects.get_or_create(store_id=run.store_id)
        row.fence += 1
        row.run = run
        row.expires_at = leases._expiry()
        row.save()
        return Lease(run.store_id, run.pk, row.fence)

    Lease.fenced = fenced  # type: ignore[method-assign]
    leases.take = take


def retry_under_new_name() -> None:
    """Give a file that was tried before another name."""
    original, start = send.send, send._start

    def start_slowly(
        context: RunContext, delivery: Delivery, sftp: Sftp, folder: str
    ) -> None:
        start(context, delivery, sftp, folder)
        time.sleep(WINDOW_S)

    def send_renamed(
        context: RunContext, delivery: Delivery, *args: Any, **more: Any
    ) -> None:
        if delivery.state != Delivery.State.BUILT:
            delivery.name = new_name(delivery.name.partition("_2")[0])
            delivery.state = Delivery.State.BUILT
            delivery.save(update_fields=["name", "state"])
        original(context, delivery, *args, **more)

    send.send, send._start = send_renamed, start_slowly


def acknowledge_before_commit() -> None:
    """Tell the platform that orders are taken, then store them."""
    store = importing._store
    sessions: dict[int, platforms.OrderSession] = {}
    run_import = importing.import_orders

    def import_orders(context: RunContext, session: platforms.OrderSession) -> None:
        sessions[id(context)] = session
        try:
            run_import(context, session)
        finally:
            del sessions[id(context)]

    def acknowledge_and_store(
        context: RunContext, page: OrderPage, routes: Routes
    ) -> None:
        for external_id in page.documents:
            sessions[id(context)].set_status(external_id, "CLOSED")
        time.sleep(WINDOW_S)
        store(context, page, routes)

    importing.import_orders = import_orders
    importing._store = acknowledge_and_store


PLANTS: dict[str, Callable[[], None]] = {
    "record-before-close": record_before_close,
    "mark-before-delivery": mark_before_delivery,
    "no-lease-check": no_lease_check,
    "retry-under-new-name": retry_under_new_name,
    "acknowledge-before-commit": acknowledge_before_commit,
}
