"""The one place that writes, reads and drops a delivery's bytes."""

from __future__ import annotations

import hashlib
import itertools
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from django.db import connection
from django.db.models import QuerySet

from connections.models import Delivery, DeliveryChunk

CHUNK_BYTES = 512 * 1024
PIECE_BYTES = 64 * 1024


@dataclass(frozen=True)
class Written:
    """What the file came to."""

    size: int
    sha256: str


def write(delivery: Delivery, pieces: Iterable[bytes]) -> Written:
    """Keep a file's bytes in chunks of 512 KiB, packed as they come: no chunk is in memory."""
    digest = hashlib.sha256()
    size = 0
    packer, packed = zlib.compressobj(level=1), bytearray()
    numbers = itertools.count()

    def keep() -> None:
        nonlocal packer, packed
        DeliveryChunk.objects.create(
            delivery=delivery, n=next(numbers), data=packed + packer.flush()
        )
        packer, packed = zlib.compressobj(level=1), bytearray()

    for part in _within_chunks(pieces):
        digest.update(part)
        packed += packer.compress(part)
        size += len(part)
        if size % CHUNK_BYTES == 0:
            keep()
    if size % CHUNK_BYTES:
        keep()
    return Written(size, digest.hexdigest())


def read(delivery: Delivery) -> Iterator[bytes]:
    """Yield the file again, in small pieces."""
    # One query a chunk: a cursor would stay open for as long as the far side takes.
    for n in itertools.count():
        data = _packed(delivery, n)
        if data is None:
            return
        unpacker = zlib.decompressobj()
        while piece := unpacker.decompress(data, PIECE_BYTES):
            yield piece
            data = unpacker.unconsumed_tail


def read_chunk(delivery: Delivery, n: int) -> bytes | None:
    """One chunk of the file, or None beyond its end and once the bytes are dropped."""
    data = _packed(delivery, n)
    return None if data is None else zlib.decompress(data)


def _packed(delivery: Delivery, n: int) -> bytes | memoryview | None:
    return delivery.chunks.filter(n=n).values_list("data", flat=True).first()


def copy(of: Delivery, to: Delivery) -> None:
    """Keep the same bytes for another file, without moving them out of the database."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO connections_deliverychunk (delivery_id, n, data) "
            "SELECT %s, n, data FROM connections_deliverychunk WHERE delivery_id = %s",
            [to.pk, of.pk],
        )


def are_kept(delivery: Delivery) -> bool:
    """Whether the file can still be read."""
    return delivery.chunks.filter(n=0).exists()


def drop(delivery: Delivery) -> None:
    """Forget the bytes; the row keeps their hash and size."""
    delivery.chunks.all().delete()


def oldest(deliveries: QuerySet[Delivery], count: int) -> QuerySet[DeliveryChunk]:
    """The oldest chunks that are kept of such deliveries, to be deleted."""
    first = (
        DeliveryChunk.objects.filter(delivery__in=deliveries)
        .order_by("delivery", "n")
        .values("pk")[:count]
    )
    return DeliveryChunk.objects.filter(pk__in=first)


def _within_chunks(pieces: Iterable[bytes]) -> Iterator[memoryview]:
    """The same bytes, cut where a chunk ends."""
    at = 0
    for piece in pieces:
        rest = memoryview(piece)
        while rest:
            part = rest[: CHUNK_BYTES - at % CHUNK_BYTES]
            yield part
            at += len(part)
            rest = rest[len(part) :]
