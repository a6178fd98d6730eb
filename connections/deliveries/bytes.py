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

CHUNK_BYTES = 1024 * 1024


@dataclass(frozen=True)
class Written:
    """What the file came to."""

    size: int
    sha256: str


def write(delivery: Delivery, pieces: Iterable[bytes]) -> Written:
    """Keep a file's bytes in chunks of 1 MiB; memory stays constant."""
    digest = hashlib.sha256()
    size = 0
    for n, chunk in enumerate(_chunks(pieces)):
        digest.update(chunk)
        size += len(chunk)
        DeliveryChunk.objects.create(
            delivery=delivery, n=n, data=zlib.compress(chunk, level=1)
        )
    return Written(size, digest.hexdigest())


def read(delivery: Delivery) -> Iterator[bytes]:
    """Yield the file again, chunk by chunk."""
    # One query each: a chunk is a megabyte, and a cursor would stay open for as long as
    # the far side takes.
    for n in itertools.count():
        chunk = read_chunk(delivery, n)
        if chunk is None:
            return
        yield chunk


def read_chunk(delivery: Delivery, n: int) -> bytes | None:
    """One chunk of the file, or None beyond its end and once the bytes are dropped."""
    data = delivery.chunks.filter(n=n).values_list("data", flat=True).first()
    return None if data is None else zlib.decompress(data)


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


def _chunks(pieces: Iterable[bytes]) -> Iterator[bytes]:
    buffer = bytearray()
    for piece in pieces:
        buffer += piece
        while len(buffer) >= CHUNK_BYTES:
            yield bytes(buffer[:CHUNK_BYTES])
            del buffer[:CHUNK_BYTES]
    if buffer:
        yield bytes(buffer)
