"""The next file of a channel, without sending or keeping anything of it."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass

from psycopg import sql

from connections import platforms, query
from connections.deliveries import copy
from connections.deliveries.preflight import Preflight
from connections.models import Channel, Delivery
from connections.platforms import StockFile
from connections.stock.master_data import stock_was_sent
from connections.stock.plan import Update, Why, plan

# Somebody waits for the page.
PAGE_SECONDS = 30


@dataclass(frozen=True)
class NextFile:
    """What would go out now. `update` is None when there is nothing to say.

    `waits_for`: the code of the setting without which nothing goes out; `begun`: files
    that go out before it; `master_data_first`: whether those do as well.
    """

    file: StockFile
    update: Update | None
    waits_for: str | None
    begun: list[Delivery]
    master_data_first: bool

    @classmethod
    def of(cls, channel: Channel, *, full: bool) -> NextFile:
        store = channel.connection.store
        target = platforms.stock_target(store)
        begun = Delivery.objects.unfinished().filter(
            channel=channel, entity=Delivery.Entity.STOCK
        )
        planned = plan(channel, channel.connection, target, full=full)
        update = planned if isinstance(planned, Update) else None
        is_first = update is not None and not stock_was_sent(
            channel, target.peer(store)
        )
        return cls(
            file=target.file,
            update=update,
            waits_for=target.missing(store),
            begun=list(begun.exclude(state=Delivery.State.BUILT).order_by("part")),
            master_data_first=is_first and target.sends_master_data_first(store),
        )

    @property
    def header(self) -> tuple[str, ...]:
        return tuple(self.file.select)

    @property
    def why(self) -> Why | None:
        return self.update.why if self.update else None

    def count(self, limit: int) -> int:
        """How many rows would be looked at; not counted beyond the limit."""
        if self.update is None:
            return 0
        [[count]] = query.read(
            "SELECT count(*) FROM (SELECT FROM ({rows}) level LIMIT {limit}) counted",
            rows=self.update.rows,
            limit=sql.Literal(limit),
        )
        return int(count)

    def sample(self, rows: int) -> tuple[list[list[str]], Preflight]:
        """The first rows as they would be sent, and what was left out among them."""
        look = Preflight(self.file.sheet, self.header)
        cells = [
            row
            for block in look.blocks(self._lines(PAGE_SECONDS, limit=rows))
            for row in csv.reader(block.data.decode().split("\n")[:-1], strict=True)
        ]
        return cells, look

    def data(self) -> Iterator[bytes]:
        """The file's bytes, however large; what is cut into parts comes as one."""
        look = Preflight(self.file.sheet, self.header)
        yield look.header_line
        for block in look.blocks(self._lines(query.DOWNLOAD_SECONDS)):
            yield block.data

    def _lines(self, longest_s: int, limit: int | None = None) -> Iterator[bytes]:
        if self.update is None:
            return iter([",".join(self.header).encode() + b"\n"])
        rows = self.update.rows
        if limit is not None:
            first = sql.SQL("SELECT * FROM ({}) level LIMIT {}")
            rows = first.format(rows, sql.Literal(limit))
        return copy.rows(self.file.select, rows, longest_s=longest_s)
