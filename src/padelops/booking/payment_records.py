"""
The books of card payments: each thing that a gateway said becomes one committed change.

Every entry locks the reservation first and its attempt second, looks at where both stand now, and
only then writes: so two workers, a webhook and the customer's own request may all bring the same
news, in any order, and it is written once.

Source: DESIGN.md sections 3 (`money_matches`) and 4.2.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from padelops.booking.gateway import GatewayStatus
from padelops.errors import NotFound
from padelops.model import ReservationStatus
from padelops.store import payments, reservations

if TYPE_CHECKING:
    from datetime import datetime
    from decimal import Decimal

    from padelops.booking.gateway import GatewayPayment, GatewayRefund
    from padelops.errors import PadelopsError
    from padelops.model import Origin
    from padelops.store.engine import Database, Tx
    from padelops.store.payments import Attempt, Refund
    from padelops.store.reservations import Reservation

GRACE = timedelta(seconds=60)
"""How long after a request the gateway may still be working on it. Only then does "I never saw it"
mean that it never will."""

UNDECIDED = frozenset({"queued", "started", "unknown"})
"""The states of an attempt whose answer is not written down yet."""

GIVEN_UP = "never_arrived"
"""Nobody waits for it any more; an asker that slept through its grace may still bring it back."""

USED = frozenset(
    {ReservationStatus.CONFIRMED, ReservationStatus.COMPLETED, ReservationStatus.NO_SHOW}
)
"""The court was given, so its price is owed."""


@dataclass(frozen=True, slots=True)
class Books:
    """Writes down what became of card payments."""

    database: Database

    def reservation(self, tx: Tx, claim_id: int) -> Reservation:
        """
        Raises:
            NotFound: no such reservation.
        """
        found = reservations.by_id(tx, claim_id)
        if found is None:
            raise NotFound(f"There is no reservation {claim_id}.")
        return found

    def believe(
        self, attempt: Attempt, payment: GatewayPayment | None, *, origin: Origin, now: datetime
    ) -> None:
        """Make the books say what the gateway says; None: it never saw the attempt."""
        if payment is None:
            self._never_arrived(attempt, origin=origin, now=now)
            return
        match payment.status:
            case GatewayStatus.AUTHORIZED:
                self.authorized(attempt, payment, origin=origin, now=now)
            case GatewayStatus.CAPTURED:
                self.authorized(attempt, payment, origin=origin, now=now)
                self.captured(attempt, payment, origin=origin, now=now)
            case GatewayStatus.VOIDED:
                self.voided(attempt, origin=origin, now=now)
            case GatewayStatus.FAILED if attempt.state == "authorized":
                self.capture_failed(attempt, "the gateway says that it failed", origin=origin)
            case GatewayStatus.FAILED:
                self.declined(attempt, None, origin=origin, now=now)
            case GatewayStatus.PROCESSING:
                pass  # the step that asked will ask again

    def authorized(
        self, attempt: Attempt, payment: GatewayPayment, *, origin: Origin, now: datetime
    ) -> bool:
        """
        The gateway reserved the money: confirm the reservation, or let the money go.

        Returns:
            Whether the reservation stands. False: the court is gone, or it was cancelled; then the
            authorization is voided by the next step.
        """
        with self.database.transaction(origin) as tx:
            reservation, attempt = self._locked(tx, attempt)
            if attempt.state not in UNDECIDED | {GIVEN_UP}:
                return reservation.status in USED
            stands = self._take_court(tx, reservation, now=now)
            if not stands and reservation.status != ReservationStatus.CANCELLED:
                payments.queue_message(tx, attempt.claim_id, attempt.id, "late_money_refunded")
            # A price that fell back to the default is charged only after somebody looked at it.
            review = stands and reservation.price_source == "fallback"
            step = "capture" if stands else "void"
            payments.move_attempt(
                tx,
                attempt.id,
                "authorized",
                next_step="review" if review else step,
                review_of=step if review else None,
                next_step_at=now,
                gateway_ref=payment.gateway_ref,
            )
            self._event(tx, reservation, attempt, "authorized", attempt.amount)
        return stands

    def captured(
        self, attempt: Attempt, payment: GatewayPayment, *, origin: Origin, now: datetime
    ) -> None:
        """The gateway took the money; what is owed back of it is queued."""
        with self.database.transaction(origin) as tx:
            reservation, attempt = self._locked(tx, attempt)
            if attempt.state == "captured":
                return
            payments.move_attempt(tx, attempt.id, "captured", gateway_ref=payment.gateway_ref)
            self._event(tx, reservation, attempt, "captured", attempt.amount)
            if "void" in {attempt.next_step, attempt.review_of}:
                # It was to be let go, and somebody took it all the same.
                self.owe_refund(tx, attempt, attempt.amount, now=now)
            elif reservation.status == ReservationStatus.CANCELLED:
                self.owe_refund(tx, attempt, reservation.refund_due, now=now)

    def capture_failed(self, attempt: Attempt, why: str, *, origin: Origin) -> None:
        """The gateway would not pay out what it had authorized: the price is due at the desk."""
        with self.database.transaction(origin) as tx:
            reservation, attempt = self._locked(tx, attempt)
            if attempt.state != "authorized":
                return
            payments.move_attempt(tx, attempt.id, "declined", last_error=why)
            self._event(tx, reservation, attempt, "capture_failed", attempt.amount)
            self._nothing_taken(tx, reservation)

    def voided(self, attempt: Attempt, *, origin: Origin, now: datetime) -> None:
        """The gateway let the money go."""
        with self.database.transaction(origin) as tx:
            reservation, attempt = self._locked(tx, attempt)
            if attempt.state == "voided":
                return
            payments.move_attempt(tx, attempt.id, "voided")
            payments.release_hold(tx, attempt.claim_id, reason="payment_voided", now=now)
            self._event(tx, reservation, attempt, "voided", attempt.amount)
            self._nothing_taken(tx, reservation)

    def declined(
        self, attempt: Attempt, error: PadelopsError | None, *, origin: Origin, now: datetime
    ) -> None:
        """The gateway refused: the hold is released at once, nothing was charged."""
        with self.database.transaction(origin) as tx:
            reservation, attempt = self._locked(tx, attempt)
            if attempt.state not in UNDECIDED | {GIVEN_UP}:
                return
            payments.move_attempt(
                tx, attempt.id, "declined", last_error=None if error is None else error.message
            )
            payments.release_hold(tx, attempt.claim_id, reason="payment_declined", now=now)
            self._event(tx, reservation, attempt, "declined", attempt.amount)
            payments.queue_message(tx, attempt.claim_id, attempt.id, "payment_failed")

    def unknown(
        self, attempt: Attempt, error: PadelopsError, *, retry_at: datetime, origin: Origin
    ) -> None:
        """Nobody knows: flag it, keep the hold, ask the gateway later."""
        with self.database.transaction(origin) as tx:
            reservation, attempt = self._locked(tx, attempt)
            if attempt.state not in UNDECIDED | {GIVEN_UP}:
                return
            payments.move_attempt(
                tx,
                attempt.id,
                "unknown",
                next_step="reconcile",
                next_step_at=retry_at,
                tries=attempt.tries + 1,
                last_error=error.message,
            )
            if reservation.payment_status != "payment_unknown":
                self._event(tx, reservation, attempt, "unknown", attempt.amount)

    def queued(
        self, attempt: Attempt, error: PadelopsError, *, until: datetime, origin: Origin
    ) -> bool:
        """
        Nothing was asked: keep the court for a person who will.

        Returns:
            Whether there is a court to keep; False where the hold has ended meanwhile.
        """
        with self.database.transaction(origin) as tx:
            reservation, attempt = self._locked(tx, attempt)
            if attempt.state not in UNDECIDED:
                return reservation.status in USED
            if reservation.status != ReservationStatus.PENDING:
                payments.move_attempt(tx, attempt.id, GIVEN_UP, last_error=error.message)
                payments.set_payment_status(tx, attempt.claim_id, "nothing_due")
                return False
            payments.move_attempt(
                tx, attempt.id, "queued", tries=attempt.tries + 1, last_error=error.message
            )
            payments.extend_hold(tx, attempt.claim_id, until=until)
            if reservation.payment_status != "queued":
                self._event(tx, reservation, attempt, "queued", attempt.amount)
                payments.queue_message(tx, attempt.claim_id, attempt.id, "payment_pending")
        return True

    def restart(self, tx: Tx, attempt: Attempt, *, now: datetime) -> None:
        """A queued payment is about to be asked for again."""
        payments.move_attempt(
            tx,
            attempt.id,
            "started",
            next_step="reconcile",
            next_step_at=now + GRACE,
            asked_at=now,
            tries=attempt.tries,
        )

    def owe_refund(self, tx: Tx, attempt: Attempt, amount: Decimal, *, now: datetime) -> None:
        """Owe part or all of a payment back, once for each reservation."""
        if amount:
            payments.insert_refund(
                tx, attempt.id, reference=f"{attempt.reference}-refund", amount=amount, now=now
            )

    def refunded(
        self, refund: Refund, done: GatewayRefund, *, origin: Origin, now: datetime
    ) -> None:
        """The gateway gave the money back."""
        with self.database.transaction(origin) as tx:
            reservation = reservations.lock(tx, refund.claim_id)
            moved = payments.move_refund(
                tx, refund.id, "done", due_at=now, gateway_ref=done.gateway_ref
            )
            if reservation is not None and moved:
                reservations.insert_payment_event(
                    tx,
                    reservation,
                    kind="refunded",
                    amount=refund.amount,
                    gateway="card",
                    gateway_ref=done.gateway_ref,
                    event_key=f"refunded:{refund.id}",
                )

    def _never_arrived(self, attempt: Attempt, *, origin: Origin, now: datetime) -> None:
        with self.database.transaction(origin) as tx:
            reservation, attempt = self._locked(tx, attempt)
            if attempt.state == "authorized":
                # The gateway forgot what it had promised: a contradiction, so a person's.
                payments.move_attempt(
                    tx,
                    attempt.id,
                    "authorized",
                    next_step="review",
                    next_step_at=now,
                    review_of=attempt.review_of or attempt.next_step,
                    last_error="the gateway does not know this payment any more",
                )
                return
            if attempt.state == GIVEN_UP:
                payments.move_attempt(tx, attempt.id, GIVEN_UP, last_error=attempt.last_error)
                return
            if attempt.state not in UNDECIDED - {"queued"}:
                return
            payments.move_attempt(tx, attempt.id, GIVEN_UP, last_error="the gateway never saw it")
            if payments.release_hold(tx, attempt.claim_id, reason="payment_failed", now=now):
                payments.queue_message(tx, attempt.claim_id, attempt.id, "payment_failed")
            if reservation.payment_status != "nothing_due":
                payments.set_payment_status(tx, attempt.claim_id, "nothing_due")

    def _take_court(self, tx: Tx, reservation: Reservation, *, now: datetime) -> bool:
        """
        Confirm a hold; an expired one only if its court is still free, and still to be played.
        """
        match reservation.status:
            case ReservationStatus.PENDING if reservation.ends_at <= now:
                payments.release_hold(tx, reservation.id, reason="hold_expired", now=now)
                return False
            case ReservationStatus.EXPIRED if reservation.starts_at <= now:
                return False
            case ReservationStatus.PENDING | ReservationStatus.EXPIRED:
                return payments.confirm(tx, reservation.id)
        return reservation.status in USED

    def _nothing_taken(self, tx: Tx, reservation: Reservation) -> None:
        """
        An authorization came to nothing: a court that was given is due at the desk, and of what was
        never taken nothing goes back.
        """
        if reservation.status in USED:
            payments.set_payment_status(tx, reservation.id, "due")
        elif reservation.status == ReservationStatus.CANCELLED:
            payments.set_payment_status(tx, reservation.id, "voided")
        payments.drop_refund(tx, reservation.id)

    def _locked(self, tx: Tx, attempt: Attempt) -> tuple[Reservation, Attempt]:
        reservation = reservations.lock(tx, attempt.claim_id)
        if reservation is None:
            raise LookupError(f"claim {attempt.claim_id} vanished, though rows are never deleted")
        return reservation, payments.attempt(tx, attempt.id, lock=True)

    def _event(
        self, tx: Tx, reservation: Reservation, attempt: Attempt, kind: str, amount: Decimal
    ) -> None:
        reservations.insert_payment_event(
            tx,
            reservation,
            kind=kind,
            amount=amount,
            gateway=attempt.gateway,
            gateway_ref=attempt.gateway_ref,
            event_key=f"{kind}:{attempt.id}",
        )
