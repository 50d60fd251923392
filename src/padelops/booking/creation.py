"""
Critical path 3 (level 1): a reservation is made whole, or not at all.

    validate -> price -> claim -> pay -> confirm

The booking, its price and policy, its audit entry, its message and its idempotency key are one
commit. A retry with the same key gives the same reservation; without a key one is made up, so that
even a connection lost during the commit can be settled by asking again.

Source: CRITICAL_PATHS.md, path 3; DESIGN.md section 4.3.
"""

from __future__ import annotations

import os
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from padelops.booking.bookings import Booking, BookingRequest
from padelops.booking.club_time import local
from padelops.booking.double_booking import (
    Replayed,
    TermsChanged,
    claim_slot,
    claim_within,
    within,
)
from padelops.booking.plans import Plan, Planner
from padelops.booking.players import checked_text
from padelops.errors import (
    CommitLost,
    CourtBusy,
    CourtTaken,
    DatabaseUnavailable,
    OutcomeUnknown,
    PadelopsError,
    PartlyDone,
    Refused,
    Unavailable,
)
from padelops.store import claims, reservations
from padelops.store.deadline import Deadline

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from datetime import datetime

    from padelops.booking.clubs import Catalogue, Club, Court
    from padelops.booking.counts import Counts
    from padelops.booking.payments import PaymentPath
    from padelops.model import Origin, Slot
    from padelops.store.claims import Claimed
    from padelops.store.engine import Database, Tx
    from padelops.store.reservations import Reservation

MOST_ATTEMPTS = 5
"""How often one booking is priced and claimed anew, when its club keeps changing under it."""


@dataclass(frozen=True, slots=True)
class Creation:
    """The services that creation works with; the functions below are its steps."""

    database: Database
    catalogue: Catalogue
    payment: PaymentPath
    counts: Counts
    budget_s: float
    alternatives: Callable[[Club, Court, Slot, datetime], list[dict[str, Any]]]
    guard: Callable[[], AbstractContextManager[object]] = nullcontext
    """The breaker `reservation_creation`, around all but the payment."""
    price_guard: Callable[[], AbstractContextManager[object]] = nullcontext
    """The breaker `price_calculation`."""

    def book(
        self, request: BookingRequest, *, origin: Origin, now: datetime, dry_run: bool = False
    ) -> Booking:
        """
        Make a reservation.

        Raises:
            InvalidInput, NotFound, RuleBroken, OutsideHours, CourtOutOfService: not to be booked.
            PriceChanged: the price is not the expected one. BreakerOpen: not now.
            CourtTaken: with free alternatives nearby. CourtBusy: try again.
            KeyReused: the key belongs to another request.
            OutcomeUnknown: carries the key; asking again with it settles the matter.
        """
        key = _checked_key(request.key)
        digest = request.digest(self.payment.method)
        self.payment.check(request.card, courts=len(request.courts))
        lost: OutcomeUnknown | None = None
        deadline = Deadline(self.budget_s)
        for _ in range(MOST_ATTEMPTS):
            try:
                with self.guard():
                    made = self._attempt(
                        request,
                        key,
                        digest,
                        origin=origin,
                        now=now,
                        dry_run=dry_run,
                        lost=bool(lost),
                        deadline=deadline,
                    )
            except CommitLost as exc:
                # The key makes it safe to ask again: either it is there, or it is booked now.
                lost = exc
                deadline = Deadline(self.budget_s)  # reconnecting took its time
            except (OutcomeUnknown, Unavailable) as exc:
                if lost is None and isinstance(exc, Unavailable):
                    raise
                raise _unsettled(lost or exc, key) from exc
            else:
                if isinstance(made, Booking):
                    found = self._resumed(made.reservation, request, key, origin=origin, now=now)
                    return replace(made, reservation=found)
                if made is not None:
                    self.counts.add("booking.created")
                    return self._settled(request, *made, origin=origin, now=now, dry_run=dry_run)
        if lost is not None:
            raise _unsettled(lost, key) from lost
        raise CourtBusy("The club's terms keep changing.")

    def _attempt(
        self,
        request: BookingRequest,
        key: str,
        digest: str,
        *,
        origin: Origin,
        now: datetime,
        dry_run: bool,
        lost: bool,
        deadline: Deadline,
    ) -> tuple[Plan, list[Claimed]] | Booking | None:
        """A claim to be settled, or what the key made before; None when the club had changed."""
        planner = Planner(self.catalogue, self.payment, self.counts, self.price_guard)
        try:
            plan = planner.plan(request, key, digest, now=now)
        except Refused as refusal:
            known = self._second_look(refusal, request, key, digest, lost=lost)
            if known is None:
                return None
            return self._replayed(known, new=lost)
        try:
            return plan, self._claim(
                plan, origin=origin, now=now, dry_run=dry_run, deadline=deadline
            )
        except TermsChanged:
            self.catalogue.read(plan.club.slug)
            return None
        except Replayed as replay:
            return self._replayed(replay.reservation_id, new=lost)
        except CourtTaken as exc:
            self.counts.add("booking.conflict")
            raise self._with_alternatives(exc, plan, now=now) from exc

    def _second_look(
        self, refusal: Refused, request: BookingRequest, key: str, digest: str, *, lost: bool
    ) -> int | None:
        """
        Look again at a refusal that the database was not asked about.

        The club may have changed since this process read it: None, to plan anew. And what the key
        made before (its id) is the answer, also when it could not be made any more.
        """
        slug = request.courts[0].partition("/")[0] if request.courts else ""
        if self.catalogue.outdated(slug):
            return None
        club = self.catalogue.known(slug)
        if club is not None and (lost or request.key is not None):
            with self.database.reading() as tx:
                holder = claims.by_key(tx, club.id, key)
            if holder is not None and holder.request_digest == digest:
                return holder.id
        raise refusal

    def _claim(
        self, plan: Plan, *, origin: Origin, now: datetime, dry_run: bool, deadline: Deadline
    ) -> list[Claimed]:
        with nullcontext() if dry_run else self.counts.timed("double_booking"):
            return self._claimed(plan, origin=origin, now=now, dry_run=dry_run, deadline=deadline)

    def _claimed(
        self, plan: Plan, *, origin: Origin, now: datetime, dry_run: bool, deadline: Deadline
    ) -> list[Claimed]:
        if len(plan.courts) == 1 and not dry_run:
            court, row = plan.courts[0], plan.rows[0]
            return [
                within(
                    deadline,
                    lambda: claim_slot(
                        self.database,
                        plan.club,
                        court,
                        row,
                        origin=origin,
                        now=now,
                        deadline=deadline,
                    ),
                )
            ]
        return within(
            deadline,
            lambda: self._claim_all(
                plan, origin=origin, now=now, dry_run=dry_run, deadline=deadline
            ),
        )

    def _claim_all(
        self, plan: Plan, *, origin: Origin, now: datetime, dry_run: bool, deadline: Deadline
    ) -> list[Claimed]:
        """Several courts, in id order: all of them or none."""
        with self.database.transaction(origin, keep=not dry_run, deadline=deadline) as tx:
            made: list[Claimed] = []
            for court, row in zip(plan.courts, plan.rows, strict=True):
                member = replace(row, party_id=made[0].id) if made else row
                made.append(
                    claim_within(
                        tx, plan.club, court, member, origin=origin, now=now, deadline=deadline
                    )
                )
            return made

    def _settled(
        self,
        request: BookingRequest,
        plan: Plan,
        claimed: list[Claimed],
        *,
        origin: Origin,
        now: datetime,
        dry_run: bool,
    ) -> Booking:
        """Pay for what was claimed; no transaction is open and no lock is held any more."""
        made = plan.made(claimed)
        if not dry_run:
            with _naming(plan.rows[0].idempotency_key or ""):
                made = [
                    self.payment.settle(reservation, card=request.card, origin=origin, now=now)
                    for reservation in made
                ]
        return Booking(made[0], tuple(made[1:]), dry_run=dry_run)

    def _resumed(
        self,
        reservation: Reservation,
        request: BookingRequest,
        key: str,
        *,
        origin: Origin,
        now: datetime,
    ) -> Reservation:
        with _naming(key):
            return self.payment.resume(reservation, card=request.card, origin=origin, now=now)

    def _replayed(self, reservation_id: int, *, new: bool) -> Booking:
        try:
            with self.database.reading() as tx:
                found = _existing(tx, reservation_id)
                others = reservations.by_party(tx, reservation_id)
            self.database.settle()
        except (CommitLost, DatabaseUnavailable) as exc:
            # It was made; whether it lasts could not be asked.
            raise OutcomeUnknown(exc.message) from exc
        self.counts.add("booking.created" if new else "booking.replayed")
        return Booking(found, tuple(others), replayed=not new)

    def _with_alternatives(self, exc: CourtTaken, plan: Plan, *, now: datetime) -> CourtTaken:
        court = next(
            (court for court in plan.courts if court.address == exc.facts.get("court")),
            plan.courts[0],
        )
        try:
            free = self.alternatives(plan.club, court, plan.slot, now)
        except Unavailable:
            return exc  # the refusal stands, whether or not something else can be offered
        nearby = ", ".join(f"{item['court']} {item['starts_at'][:16]}" for item in free[:3])
        return CourtTaken(
            exc.message,
            fix=f"Free nearby: {nearby}." if nearby else "Nothing else is free that day.",
            court=court.address,
            starts_at=local(plan.slot.starts_at, plan.club.zone).isoformat(),
            alternatives=free,
        )


def _existing(tx: Tx, reservation_id: int) -> Reservation:
    found = reservations.by_id(tx, reservation_id)
    if found is None:
        raise LookupError(f"reservation {reservation_id} vanished, though rows are never deleted")
    return found


def _checked_key(key: str | None) -> str:
    if key is None:
        return f"auto-{os.urandom(16).hex()}"
    return checked_text("key", key, longest=200)


@contextmanager
def _naming(key: str) -> Iterator[None]:
    """Tell whoever asks again about a held court to do it with this key."""
    try:
        yield
    except Unavailable as exc:
        raise _unsettled(exc, key) from exc
    except PadelopsError as exc:
        exc.facts.setdefault("key", key)
        if isinstance(exc, OutcomeUnknown | PartlyDone):
            again = f"Or book the same again with the key {key}."
            exc.fix = f"{exc.fix} {again}" if exc.fix else again
        raise


def _unsettled(exc: PadelopsError, key: str) -> OutcomeUnknown:
    return OutcomeUnknown(
        f"{exc.message} The booking may exist.",
        fix=f"Settle it by booking the same again with the key {key}.",
        key=key,
    )
