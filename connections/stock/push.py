"""Send changed levels to the store's platform as one file."""

from __future__ import annotations

from datetime import datetime

from connections import platforms
from connections.deliveries import build, copy, resend
from connections.deliveries.preflight import Preflight
from connections.failpoints import failpoint
from connections.models import Channel, Delivery
from connections.platforms import StockTarget
from connections.runs.context import RunContext
from connections.stock import intake, master_data
from connections.stock.deliver import deliver, tell_left_out
from connections.stock.plan import NothingSold, plan

State = Delivery.State


def push(context: RunContext, *, full: bool) -> None:
    """Bring the platform up to the warehouse's newest levels; once each.

    An unfinished delivery is brought to its end first. Raises WireError, Problem.
    """
    target = platforms.stock_target(context.store)
    waits_for = target.missing(context.store)
    if waits_for:
        # A normal path, not an error: nothing is built, so the newest levels go out
        # once when it is there (D17).
        context.counts["waiting_for"] = waits_for
        return

    def record(delivery: Delivery) -> None:
        _move_mark(context, delivery)

    deliver(context, _unfinished(context, target.peer(context.store)), record)
    if target.sends_master_data_first(context.store):
        master_data.send_first(context)
    for again in resend.asked(context.channel):
        if resend.take_up(context, again):
            deliver(context, [again], record)
    deliver(context, _build(context, target, full=full), record)


def _unfinished(context: RunContext, here: str) -> list[Delivery]:
    """What an earlier run left, in order; what never started gives way to newer values.

    Not so a file that a person wants sent again. Of an update that has begun, the other
    parts go out as well: starting over each time would bring a large one never to its
    end. Unless one part is lost: then what is left reaches no bound any more. Or unless
    it is meant for another drop: this one is told everything, and must not count as told
    by a part of it.
    """
    left = list(
        Delivery.objects.unfinished()
        .filter(channel=context.channel, entity=Delivery.Entity.STOCK)
        .order_by("part")
    )
    begun = [part for part in left if _must_end(part, here)]
    is_for_here = all(part.peer in ("", here) for part in left)
    if is_for_here and left and left[-1].upper_bound and (begun or left[0].part > 1):
        return left
    if left != begun:
        with context.fenced():
            for part in left:
                if part not in begun:
                    build.supersede(part)
    return begun


def _must_end(part: Delivery, here: str) -> bool:
    """Whether it gives way to nothing: it may be seen, or has begun, or a person wants it."""
    if part.announced or part.resend_of_id:
        return True
    return part.state != State.BUILT and part.peer in ("", here)


def _build(context: RunContext, target: StockTarget, *, full: bool) -> list[Delivery]:
    """Commit the next files; none when there is nothing to say."""
    update = plan(context.channel, context.connection, target, full=full)
    if update is None:
        return []
    if isinstance(update, NothingSold):
        with context.fenced():
            _reach(context, update.bound)
        return []
    look = Preflight(target.file.sheet, tuple(target.file.select))
    with context.fenced():
        made = build.build_parts(
            context.channel,
            look,
            copy.rows(target.file.select, update.rows),
            entity=Delivery.Entity.STOCK,
            upper_bound=update.bound,
            repeated_through=update.repeated_through,
            peer=target.peer(context.store),
        )
        for part in made:
            intake.aim(part)
        tell_left_out(context, look)
        if not made:
            # What changed is not sold here; the next push need not look again.
            _reach(context, update.bound, update.repeated_through)
            return []
    failpoint("delivery.built")
    return made


def _move_mark(context: RunContext, delivery: Delivery) -> None:
    _reach(context, delivery.upper_bound, delivery.repeated_through)
    intake.await_proof(delivery)
    context.note("stock_sent", file=delivery.name, rows=delivery.rows)


def _reach(
    context: RunContext, bound: int, repeated_through: datetime | None = None
) -> None:
    channel = Channel.objects.filter(pk=context.channel.pk)
    channel.filter(sent_through__lt=bound).update(sent_through=bound)
    if repeated_through is not None:
        channel.update(repeated_at=repeated_through)
