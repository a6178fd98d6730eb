"""The Celery application: the bell, never the queue (reliability.md P1)."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from celery import Celery
from celery.signals import heartbeat_sent, worker_ready, worker_shutdown
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
