"""
The worker: everything that happens later, done by any number of processes side by side.

Chores take rows by lease or `SKIP LOCKED`, one at a time, each in short transactions of its own: so
a worker that dies loses at most the row in hand, a poisoned row is put aside with its error, and
SIGTERM finishes the row in hand.

Source: CRITICAL_PATHS.md, paths 2, 5 and 7.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Self, TypeAlias

from padelops.errors import OutcomeUnknown, Unavailable
from padelops.model import Door, Origin
from padelops.store import claims, payments, reservations
from padelops.store import clubs as club_rows

if TYPE_CHECKING:
    from padelops.booking.payment_steps import PaymentSteps
    from padelops.store.engine import Database

Stop: TypeAlias = Callable[[], bool]
"""Asked between two rows: whether to end."""

log = logging.getLogger(__name__)

BATCH = 100
"""Rows that a chore takes before the next chore has its turn."""

PUT_ASIDE = timedelta(hours=1)
"""When a row that broke a step is looked at again; `payments list` shows it until then."""

FORGOTTEN_AFTER = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Chore:
    """
    One kind of work, by name.

    Attributes:
        every: its rhythm; zero for work that is looked for in each round.
        work: does what is due at a moment, asks between rows whether to stop, and says how many
            rows it did.
    """

    name: str
    work: Callable[[datetime, Stop], int]
    every: timedelta = timedelta(0)


@dataclass(slots=True)
class Worker:
    """
    Goes round its chores until told to stop. Close it, or use it as a context manager.

    Attributes:
        leave: says goodbye to whom the chores have been talking to.
    """

    name: str
    database: Database
    chores: tuple[Chore, ...]
    clock: Callable[[], datetime]
    leave: Callable[[], None] = lambda: None
    _last: dict[str, datetime] = field(default_factory=dict)
    _started: datetime | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """Say goodbye; a round afterwards begins anew."""
        self.leave()

    def round(self, stop: Stop, *, all_chores: bool = False) -> dict[str, int]:
        """
        Do what is due; how many rows each chore did.

        A chore that cannot reach something, or does not know whether it did, is tried again in the
        next round; the others go on.
        """
        done: dict[str, int] = {}
        for chore in self.chores:
            if stop():
                break
            now = self.clock()
            last = self._last.get(chore.name)
            if not all_chores and last is not None and now - last < chore.every:
                continue
            try:
                done[chore.name] = chore.work(now, stop)
            except (Unavailable, OutcomeUnknown) as exc:
                log.warning("%s: %s", chore.name, exc)
                done[chore.name] = 0
            self._last[chore.name] = now
        self._beat(sum(done.values()))
        return done

    def until_idle(self, stop: Stop, *, rounds: int = 1000) -> dict[str, int]:
        """Rounds until one finds nothing to do: what cron runs."""
        total: dict[str, int] = {}
        for _ in range(rounds):
            done = self.round(stop, all_chores=True)
            for name, rows in done.items():
                total[name] = total.get(name, 0) + rows
            if stop() or not any(done.values()):
                break
        return total

    def _beat(self, rows: int) -> None:
        now = self.clock()
        try:
            with self.database.reading() as tx:
                payments.heartbeat(tx, self.name, done=rows, now=now)
                payments.forget_heartbeats(tx, before=now - FORGOTTEN_AFTER)
        except Unavailable as exc:
            log.warning("heartbeat: %s", exc)


@dataclass(frozen=True, slots=True)
class PaymentChores:
    """The chores of money and holds."""

    database: Database
    steps: PaymentSteps
    worker: str

    @property
    def origin(self) -> Origin:
        return Origin(self.worker, Door.WORKER)

    def expire_holds(self, now: datetime, stop: Stop) -> int:
        """End the holds that ran out and have no payment under way."""
        with self.database.reading() as tx:
            due = payments.expired_holds(tx, now=now, limit=BATCH)
        with self.database.transaction(self.origin) as tx:
            done = payments.lapse_orphans(tx)
        for claim_id in due:
            if stop():
                break
            with self.database.transaction(self.origin) as tx:
                # The lock decides between us and a payment that is just coming through.
                held = reservations.lock(tx, claim_id)
                if held is None or held.payment_status == "payment_unknown":
                    continue
                if held.hold_until is None or held.hold_until > now:
                    continue  # a payment was queued meanwhile, and its hold made longer
                if payments.release_hold(tx, claim_id, reason="hold_expired", now=now):
                    payments.lapse_queued(tx, claim_id)
                    done += 1
        return done

    def finish_payments(self, now: datetime, stop: Stop) -> int:
        """Reconcile, capture and void what is due."""
        with self.database.reading() as tx:
            due = payments.due_attempts(tx, now=now, limit=BATCH)
        done = 0
        for attempt_id in due:
            if stop():
                break
            try:
                done += self.steps.take_attempt(
                    attempt_id, worker=self.worker, origin=self.origin, now=now
                )
            except (Unavailable, OutcomeUnknown):
                raise
            except Exception as exc:
                # Whatever it is, it must not stand in the way of the other rows.
                log.exception("payment attempt %s is put aside", attempt_id)
                self.steps.put_aside(
                    attempt_id, type(exc).__name__, until=now + PUT_ASIDE, origin=self.origin
                )
        return done

    def give_back(self, now: datetime, stop: Stop) -> int:
        """Give back the refunds that are due."""
        with self.database.reading() as tx:
            due = payments.due_refunds(tx, now=now, limit=BATCH)
        done = 0
        for refund_id in due:
            if stop():
                break
            try:
                done += self.steps.take_refund(
                    refund_id, worker=self.worker, origin=self.origin, now=now
                )
            except (Unavailable, OutcomeUnknown):
                raise
            except Exception as exc:
                log.exception("refund %s is put aside", refund_id)
                self.steps.put_refund_aside(
                    refund_id, type(exc).__name__, until=now + PUT_ASIDE, origin=self.origin
                )
        return done

    def complete(self, now: datetime, stop: Stop) -> int:
        """Mark what was played as used, club by club."""
        with self.database.reading() as tx:
            clubs = club_rows.with_past_reservations(tx, now=now)
        done = 0
        for club_id in clubs:
            if stop():
                break
            with self.database.transaction(self.origin) as tx:
                done += len(claims.complete_past(tx, club_id, now=now))
        return done

    def chores(self) -> tuple[Chore, ...]:
        return (
            Chore("payments", self.finish_payments),
            Chore("refunds", self.give_back),
            Chore("holds", self.expire_holds),
            Chore("completed", self.complete, timedelta(minutes=5)),
        )
