"""
Critical path 7 (level 3): every player is told, once, what became of their booking, or we know why
not.

    trigger event -> generate message -> select delivery method -> queue -> deliver
        -> delivered | again later | failed after the last try

The trigger event queues the row itself, in the transaction of the change (`claims_announced_*`), so
nothing is announced that did not happen. The words are made when the message is sent, from the
reservation as it is by then.

Any number of workers call `deliver_due` side by side. A worker takes one message, commits, sends,
and commits what became of it; no transaction is open while somebody else's server thinks. Whoever
dies with a message in hand leaves a claim that runs out. Then nobody knows whether it was sent: a
doubt, as when a server hangs up before it has confirmed. A doubtful message is sent once more under
the same id, and no third time: at most one extra send, whatever happens.

Source: CRITICAL_PATHS.md, path 7; DESIGN.md section 4.7.
"""

from __future__ import annotations

import hashlib
import random
import time
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from padelops.booking.club_time import zone
from padelops.booking.delivery import (
    LONGEST_DELIVERY_S,
    Channel,
    Delivery,
    DeliveryFailed,
    DeliveryUnknown,
    Envelope,
)
from padelops.booking.masking import LONGEST_LINE, scrubbed
from padelops.booking.message_kinds import KINDS, MessageKind
from padelops.booking.operations import seen_by_nobody
from padelops.booking.reminder_rules import quiet_until, rules_of
from padelops.errors import BreakerOpen, Corrupt, OutcomeUnknown, PadelopsError, Unavailable
from padelops.store import messages
from padelops.store.messages import Settlement

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from datetime import datetime

    from padelops.store.engine import Database
    from padelops.store.messages import Taken

PATIENCE = timedelta(seconds=30)
"""How long a worker that has sent a message tries to write that down while the database is away.
Source: CRITICAL_PATHS.md, level 1, recovery time."""

LEASE = timedelta(seconds=LONGEST_DELIVERY_S) + PATIENCE + timedelta(minutes=1)
"""How long a message stays in a worker's hand. Sending and writing down fit in, so that a message
only changes hands when its worker is dead."""

MOST_DOUBTS = 2
"""Sends of which nobody knows what became. Source: ACCEPTANCE 22: at most one extra send."""


@dataclass(slots=True)
class Round:
    """
    What one call of `deliver_due` did.

    Attributes:
        retried: to be tried again later. put_off: not tried, because of quiet hours.
        lost: they had changed hands before their outcome was written down.
        resume_after_s: the breaker is open; there is no use in calling again sooner.
    """

    delivered: int = 0
    retried: int = 0
    failed: int = 0
    skipped: int = 0
    put_off: int = 0
    lost: int = 0
    resume_after_s: float | None = None

    @property
    def taken(self) -> int:
        """How many messages were taken in hand: none means that nothing is due."""
        return self.delivered + self.retried + self.failed + self.skipped + self.put_off + self.lost

    def as_json(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}


def deliver_due(
    database: Database,
    delivery: Delivery,
    *,
    now: Callable[[], datetime],
    worker: str,
    limit: int = 100,
    stop: Callable[[], bool] = lambda: False,
    guard: Callable[[], AbstractContextManager[object]] = nullcontext,
    timed: Callable[[str], AbstractContextManager[object]] = seen_by_nobody,
    chance: Callable[[], float] = random.random,
    pause: Callable[[float], None] = time.sleep,
) -> Round:
    """
    Deliver what is due, one message after the other, until nothing is, or `limit`, or told to stop.

    Args:
        now: the clock; sending takes time, so one moment would not do.
        worker: who has a message in hand, such as `host:pid`.
        stop: asked between two messages; the one in hand is always finished.
        guard: `breakers["notification"].guard`. While it refuses, messages wait and lose no try.
        timed: counts what becomes of each message that is sent.
        chance: from 0 to 1, for the back-off.
        pause: waits so many seconds, while the database is away with a message in hand.

    Raises:
        Unavailable, OutcomeUnknown: the database is away; whatever was in hand is taken up again
            when its claim runs out.
    """
    done = Round()
    hand = _Hand(database, worker[:200], now, pause)
    taken = None
    while taken is not None or (done.taken < limit and not stop()):
        taken = taken or hand.take()
        if taken is None:
            break
        try:
            became = _attempt(taken, delivery, guard=guard, timed=timed, now=now, chance=chance)
        except BreakerOpen as exc:
            done.resume_after_s = float(exc.facts.get("retry_after_s") or 0)
            hand.settle(taken, Settlement(state="queued", given_back=True, reason="breaker_open"))
            break
        if done.taken + 1 < limit and not stop():
            settled, taken = hand.hand_over(taken, became)
        else:
            settled, taken = hand.settle(taken, became), None
        _count(done, became, settled=settled)
    return done


def _attempt(
    taken: Taken,
    delivery: Delivery,
    *,
    guard: Callable[[], AbstractContextManager[object]],
    timed: Callable[[str], AbstractContextManager[object]],
    now: Callable[[], datetime],
    chance: Callable[[], float],
) -> Settlement:
    """One message from taken to settled. Raises nothing but BreakerOpen."""
    try:
        kind = _known(taken)
        prepared = _prepared(taken, kind, delivery.channels, now=now())
    except PadelopsError as exc:
        return _put_aside(exc.code, exc.message)
    except Exception as exc:  # noqa: BLE001 - whatever a row holds, it must not stop the ones behind it
        return _put_aside("poisoned", type(exc).__name__)
    if isinstance(prepared, Settlement):
        return prepared

    try:
        with timed("notifications"), guard():
            receipt = delivery.deliver(prepared)
    except BreakerOpen:
        raise
    except DeliveryFailed as exc:
        return _failed(taken, kind, prepared, exc, now=now(), chance=chance())
    except Exception as exc:  # noqa: BLE001 - a channel's own bug: this message again later, the others now
        surprise = DeliveryUnknown("unexpected", type(exc).__name__)
        return _failed(taken, kind, prepared, surprise, now=now(), chance=chance())
    return Settlement(
        state="delivered",
        delivered_at=now(),
        channel=prepared.channel,
        language=prepared.language,
        receipt=scrubbed(receipt, secret=prepared.address),
    )


def _known(taken: Taken) -> MessageKind:
    """
    Raises:
        Corrupt: no message of ours: written past the library, or about something else.
    """
    kind = KINDS.get(taken.kind)
    if kind is None:
        raise Corrupt("No such kind of message is known here.")
    if taken.claim_kind != "reservation" or taken.claim_club_id != taken.club_id:
        raise Corrupt("The message is not about a reservation of its club.")
    return kind


def _prepared(
    taken: Taken, kind: MessageKind, channels: frozenset[Channel], *, now: datetime
) -> Envelope | Settlement:
    """The message as it goes out, or why it does not."""
    if taken.doubts >= MOST_DOUBTS:
        return Settlement(
            state="failed",
            reason="outcome_unknown",
            detail=f"Tried {taken.doubts} times without learning whether it arrived.",
        )
    if untrue := kind.untrue(taken, now):
        return Settlement(state=untrue.state, reason=untrue.reason)
    if kind.keeps_quiet:
        wall, rules = zone(taken.time_zone), rules_of(taken.reminders)
        if (until := quiet_until(now, wall, rules)) is not None:
            return Settlement(
                state="queued", given_back=True, next_attempt_at=until, reason="quiet_hours"
            )
    contact = {Channel.EMAIL: taken.player_email, Channel.SMS: taken.player_phone}
    reached = {channel: address for channel, address in contact.items() if address}
    if not reached:
        return Settlement(state="skipped", reason="no_address")
    channel = next((channel for channel in reached if channel in channels), None)
    if channel is None:
        return Settlement(state="skipped", reason="no_channel", detail=", ".join(reached))
    return compose(taken, channel, reached[channel], now=now)


def compose(taken: Taken, channel: Channel, address: str, *, now: datetime) -> Envelope:
    """
    The message in words, addressed.

    Raises:
        Corrupt, InvalidInput: the club's language, zone or currency cannot be used.
    """
    from padelops.booking.message_templates import render  # noqa: PLC0415 - Babel, for workers only

    text = render(taken)
    # The time is in it because ids start again at 1 in a rebuilt database, and mail providers hide
    # a second message with the same id.
    seed = f"{taken.club}\n{taken.dedupe_key}\n{taken.created_at.isoformat()}"
    digest = hashlib.sha256(seed.encode()).hexdigest()[:16]
    return Envelope(
        id=f"{taken.kind}-{taken.claim_id}-{digest}",
        key=taken.dedupe_key,
        kind=taken.kind,
        channel=channel,
        address=address,
        sender=taken.club_name,
        language=taken.language or "en",
        subject=text.subject,
        short=text.short,
        body=text.body,
        queued_at=taken.created_at,
        at=now,
    )


def _put_aside(reason: str, detail: str) -> Settlement:
    return Settlement(state="failed", reason=reason[:40], detail=scrubbed(detail))


def _failed(
    taken: Taken,
    kind: MessageKind,
    envelope: Envelope,
    error: DeliveryFailed,
    *,
    now: datetime,
    chance: float,
) -> Settlement:
    """Again later, or failed: for good, by the last try, or because nobody knows any more."""
    doubts = taken.doubts + error.doubtful
    over = error.permanent or taken.attempts >= kind.tries or doubts >= MOST_DOUBTS
    detail = scrubbed(error.detail, secret=envelope.address)
    return Settlement(
        state="failed" if over else "queued",
        doubt=error.doubtful,
        next_attempt_at=None if over else now + kind.wait(taken.attempts, chance),
        channel=envelope.channel,
        language=envelope.language,
        reason=error.reason[:40],
        detail=detail[:LONGEST_LINE] or None,
    )


@dataclass(frozen=True, slots=True)
class _Hand:
    """A worker's hand: it holds one message at the most."""

    database: Database
    worker: str
    now: Callable[[], datetime]
    pause: Callable[[float], None]

    def take(self) -> Taken | None:
        at = self.now()
        with self.database.deciding() as tx:
            return messages.take(tx, now=at, worker=self.worker, claimed_until=at + LEASE)

    def hand_over(self, taken: Taken, became: Settlement) -> tuple[bool, Taken | None]:
        """Settle, and take the next one in the same commit where that can be."""
        at = self.now()
        try:
            with self.database.deciding() as tx:
                return messages.hand_over(
                    tx, taken, became, now=at, worker=self.worker, claimed_until=at + LEASE
                )
        except Unavailable:
            return self.settle(taken, became), None
        except OutcomeUnknown:
            # If it was carried out, the message it took waits until that claim runs out.
            return self.settle(taken, became, again=True), None

    def settle(self, taken: Taken, became: Settlement, *, again: bool = False) -> bool:
        """
        Settle the message in hand; saying it twice is harmless, so a lost answer is asked for
        again.

        Args:
            again: it was said before, and perhaps heard: nothing left to settle is a yes.

        Raises:
            Unavailable, OutcomeUnknown: the database stayed away for `PATIENCE`.
        """
        deadline = self.now() + PATIENCE
        wait_s = 0.1
        while True:
            try:
                with self.database.deciding() as tx:
                    return messages.settle(tx, taken, became) or again
            except (Unavailable, OutcomeUnknown) as exc:
                if self.now() >= deadline:
                    raise
                again = again or isinstance(exc, OutcomeUnknown)
            self.pause(wait_s)
            wait_s = min(wait_s * 2, 2.0)


def _count(done: Round, became: Settlement, *, settled: bool) -> None:
    if not settled:
        done.lost += 1
    elif became.state != "queued":
        setattr(done, became.state, getattr(done, became.state) + 1)
    elif became.given_back:
        done.put_off += 1
    else:
        done.retried += 1
