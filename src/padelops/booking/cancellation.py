"""
Critical path 5 (level 2): a cancellation frees the slot once, and gives back what was promised.

    rights -> policy -> refund -> status -> slot freed -> notice

The policy is the one frozen on the reservation. The slot is free the moment the transaction
commits, because the exclusion constraint only looks at live claims. Of two cancellations at the
same moment one finds the reservation live; the other gets the same answer, marked as a replay.

Source: CRITICAL_PATHS.md, path 5; DESIGN.md section 4.5.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from padelops import fault_points
from padelops.booking.cancellation_policy import CancellationPolicy
from padelops.booking.double_booking import within
from padelops.booking.terms import explain
from padelops.errors import (
    CannotCancel,
    CommitLost,
    Corrupt,
    NotFound,
    OutcomeUnknown,
    PadelopsError,
    Unavailable,
)
from padelops.model import LIVE, Origin, PaymentMethod, round_to_currency
from padelops.store import claims, reservations
from padelops.store.deadline import Deadline

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from decimal import Decimal

    from padelops.booking.counts import Counts
    from padelops.booking.payments import PaymentPath
    from padelops.store.engine import Database, Tx
    from padelops.store.reservations import Reservation


class Reason(StrEnum):
    """Why a reservation ends before it is played."""

    USER_REQUESTED = "user_requested"
    CLUB_REQUESTED = "club_requested"
    WEATHER = "weather"
    MAINTENANCE = "maintenance"
    DUPLICATE = "duplicate"


FULL_REFUND = frozenset({Reason.CLUB_REQUESTED, Reason.WEATHER, Reason.MAINTENANCE})
"""Whoever does not play through the club's doing gets everything back, whatever the policy."""


@dataclass(frozen=True, slots=True)
class Cancellation:
    """
    What a cancellation did, or in a dry run would do.

    Attributes:
        refund: to be given back, of what was captured.
        kept: what the club keeps.
        replayed: it was cancelled before; the same answer again.
    """

    reservation: Reservation
    refund: Decimal
    kept: Decimal
    replayed: bool = False
    dry_run: bool = False

    def as_json(self) -> dict[str, Any]:
        return {
            **self.reservation.as_json(),
            "refund": f"{self.refund:f}",
            "kept": f"{self.kept:f}",
            "replayed": self.replayed,
            "dry_run": self.dry_run,
        }


@dataclass(frozen=True, slots=True)
class CancellationDesk:
    """The services that cancelling works with."""

    database: Database
    payment_of: Callable[[PaymentMethod], PaymentPath]
    counts: Counts
    budget_s: float

    def cancel(
        self,
        reservation_id: int,
        *,
        reason: Reason = Reason.USER_REQUESTED,
        origin: Origin,
        now: datetime,
        dry_run: bool = False,
        checked: Callable[[Tx, Reservation], None] | None = None,
    ) -> Cancellation:
        """
        Cancel one reservation and free its slot.

        Args:
            checked: called with the locked reservation, inside the transaction; may refuse, or
                record more.

        Raises:
            NotFound: no such reservation.
            CannotCancel: it has begun, or has come to its end in another way.
            OutcomeUnknown: lost while committing; asking again settles it.
        """

        def attempt(deadline: Deadline) -> Cancellation:
            with self.database.transaction(origin, keep=not dry_run, deadline=deadline) as tx:
                if checked is not None and (found := reservations.lock(tx, reservation_id)):
                    checked(tx, found)
                return self._cancel(tx, reservation_id, reason=reason, now=now, dry_run=dry_run)

        try:
            done = self._in_time(attempt)
            fault_points.reach("cancelled")
        except CommitLost:
            done = self._again(attempt, reservation_id)
        except OutcomeUnknown as exc:
            raise _unsettled(exc, reservation_id) from exc
        if done.replayed:
            self.database.settle()
        elif not dry_run:
            self.counts.add("cancellation.done")
        return done

    def _in_time(self, attempt: Callable[[Deadline], Cancellation]) -> Cancellation:
        deadline = Deadline(self.budget_s)
        return within(deadline, lambda: attempt(deadline))

    def _again(
        self, attempt: Callable[[Deadline], Cancellation], reservation_id: int
    ) -> Cancellation:
        """Cancelling is idempotent by nature, so a lost commit is settled by asking once more."""
        try:
            done = self._in_time(attempt)
        except (OutcomeUnknown, Unavailable) as exc:
            raise _unsettled(exc, reservation_id) from exc
        return done

    def _cancel(
        self, tx: Tx, reservation_id: int, *, reason: Reason, now: datetime, dry_run: bool
    ) -> Cancellation:
        reservation = reservations.lock(tx, reservation_id)
        if reservation is None:
            raise NotFound(f"There is no reservation {reservation_id}.")
        if reservation.status == "cancelled":
            # What the first cancellation answered, also while the money is still on its way.
            payment = self.payment_of(PaymentMethod(reservation.payment_method))
            at_stake = max(payment.at_stake(reservation), reservation.refund_due)
            return _outcome(
                reservation, at_stake, reservation.refund_due, replayed=True, dry_run=dry_run
            )
        if reservation.status not in LIVE:
            raise CannotCancel(
                f"Reservation {reservation_id} is {reservation.status}; only a live one can be"
                " cancelled.",
                status=reservation.status,
            )
        if reservation.starts_at <= now:
            raise CannotCancel(
                f"Reservation {reservation_id} has begun.",
                fix="Mark it as a no-show or let it complete.",
                status=reservation.status,
            )
        payment = self.payment_of(PaymentMethod(reservation.payment_method))
        at_stake = payment.at_stake(reservation)
        refund = refund_of(tx, reservation, at_stake, reason=reason, now=now)
        claims.end_reservation(
            tx,
            reservation_id,
            reason=reason,
            refund_due=refund,
            payment_status=payment.cancelled(tx, reservation, refund, now=now),
            now=now,
        )
        fault_points.reach("cancelling")
        ended = reservations.by_id(tx, reservation_id)
        return _outcome(ended or reservation, at_stake, refund, replayed=False, dry_run=dry_run)


def refund_of(
    tx: Tx, reservation: Reservation, at_stake: Decimal, *, reason: Reason, now: datetime
) -> Decimal:
    """
    What is given back of what is at stake, by the policy frozen on the reservation.

    Raises:
        Corrupt: the frozen policy cannot be read.
    """
    if reason in FULL_REFUND or reservation.policy_id is None:
        return at_stake
    terms = reservations.policy_terms(tx, reservation.policy_id)
    try:
        policy = CancellationPolicy.model_validate(terms)
    except ValidationError as exc:
        raise Corrupt(
            f"Policy {reservation.policy_id} is damaged: {explain(exc)}",
            fix="Cancel with --reason club_requested to give everything back.",
        ) from exc
    return policy.refund(at_stake, reservation.currency, reservation.starts_at, now=now)


def _outcome(
    reservation: Reservation,
    at_stake: Decimal,
    refund: Decimal,
    *,
    replayed: bool,
    dry_run: bool,
) -> Cancellation:
    exact = round_to_currency(refund, reservation.currency)
    kept = round_to_currency(at_stake - refund, reservation.currency)
    return Cancellation(reservation, exact, kept, replayed=replayed, dry_run=dry_run)


def _unsettled(exc: PadelopsError, reservation_id: int) -> OutcomeUnknown:
    return OutcomeUnknown(
        f"{exc} The cancellation of {reservation_id} may have happened.",
        fix=f"Settle it by running again: padelops cancel {reservation_id}",
        reservation_id=reservation_id,
    )
