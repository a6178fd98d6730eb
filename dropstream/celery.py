"""The Celery application: the bell, never the queue (reliability.md P1)."""

from __future__ import annotations

import gc
import os
from typing import TYPE_CHECKING, Any

from celery import Celery
from celery.signals import heartbeat_sent, worker_init, worker_ready, worker_shutdown
from kombu.transport import redis

if TYPE_CHECKING:
    from connections.runs.heartbeat import Pulse

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "dropstream.settings")


class BellChannel(redis.Channel):
    """Survives the end of its connection to Redis, which ends kombu 5.7's worker.

    A bell that was heard over a connection that is gone by now is neither acknowledged
    nor put back there: the row knows whether its work was done, and the tick rings again.
    """

    do_restore = False

    def basic_ack(self, delivery_tag: str, multiple: bool = False) -> None:
        try:
            super().basic_ack(delivery_tag, multiple=multiple)
        except AttributeError:
            if not self.closed:
                raise


redis.Transport.Channel = BellChannel

app = Celery("dropstream")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.set_default()
app.autodiscover_tasks(["connections"])

# New objects between two searches for cycles; Python's own number is 700.
OBJECTS_BETWEEN_SEARCHES = 50_000


@worker_init.connect
def search_cycles_seldom(**_: Any) -> None:
    """Let whole pages of orders and blocks of reports pass: they hold no cycles.

    Sent before the pool forks. A tenth of an import's time (orders.import).
    """
    gc.set_threshold(OBJECTS_BETWEEN_SEARCHES, *gc.get_threshold()[1:])


# This worker process's, once it takes messages.
_pulse: Pulse | None = None


@worker_ready.connect
def _start_pulse(sender: Any, **_: Any) -> None:
    """Beat from now on. Also sent after a reconnect: the pulse is kept then."""
    global _pulse
    from connections.runs.heartbeat import Pulse  # models: not before Django is set up

    if _pulse is None:
        _pulse = Pulse(sender.hostname)
        _pulse.start()


@heartbeat_sent.connect
def _note_turn(**_: Any) -> None:
    """Sent by a timer of the consumer's loop, which ends with its broker connection."""
    if _pulse is not None:
        _pulse.turned()


@worker_shutdown.connect
def _stop_pulse(**_: Any) -> None:
    if _pulse is not None:
        _pulse.stop()
