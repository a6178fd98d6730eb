"""Cut an update into files below the size limit, as its rows stream by."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from django.conf import settings

from connections.deliveries.preflight import BLOCK_ROWS, Block, Preflight


class Part:
    """The rows of one file; `rows` counts those that were taken from it."""

    def __init__(self, waiting: _Waiting, size: int) -> None:
        self.rows = 0
        self._size = size
        self._waiting = waiting

    def __iter__(self) -> Iterator[bytes]:
        while (block := self._waiting.block) is not None and self._has_room(block):
            self.rows += block.rows
            self._size += len(block.data)
            self._waiting.move_on()
            yield block.data

    def _has_room(self, block: Block) -> bool:
        """The first block always has: a part without rows would never end."""
        return not self.rows or (
            self.rows + block.rows <= settings.STOCK_FILE_ROWS
            and self._size + len(block.data) <= settings.STOCK_FILE_BYTES
        )


def parts_of(look: Preflight, rows: Iterable[bytes]) -> Iterator[Part]:
    """Yield parts, each to be used up before the next is asked for; none for no rows.

    Blocks are not cut: what a part may hold above the limit of bytes is one of them.
    """
    at_once = min(BLOCK_ROWS, settings.STOCK_FILE_ROWS)
    waiting = _Waiting(look.blocks(rows, at_once))
    while waiting.block is not None:
        yield Part(waiting, len(look.header_line))


class _Waiting:
    """The block that comes next: it decides where a part ends."""

    def __init__(self, blocks: Iterator[Block]) -> None:
        self._blocks = blocks
        self.move_on()

    def move_on(self) -> None:
        self.block = next(self._blocks, None)
