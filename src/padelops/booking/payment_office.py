"""
What a person does about card payments: look, reconcile, retry, release; and what webhooks tell.

Source: CRITICAL_PATHS.md, "Enable fallback modes": payments are queued for manual processing.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from padelops.booking.cancellation import Reason
from padelops.booking.payments import NothingToSettle
from padelops.booking.players import checked_text
from padelops.errors import NotFound
from padelops.model import ReservationStatus
from padelops.store import audit as trail
from padelops.store import payments, reservations

if TYPE_CHECKING:
    from datetime import datetime

    from padelops.booking.cancellation import Cancellation, CancellationDesk
    from padelops.booking.card_payments import CardPayment
    from padelops.model import Origin
    from padelops.store.engine import Database, Tx
    from padelops.store.payments import Attempt
    from padelops.store.reservations import Reservation

MOST_LISTED = 500


@dataclass(frozen=True, slots=True)
class PaymentOffice:
    """The services that a person at the payments desk works with."""

    database: Database
    card: CardPayment
    cancellations: CancellationDesk

    def attention(self, *, everything: bool = False) -> list[dict[str, Any]]:
        """Payments that a person should look at, newest first; or all of them."""
        with self.database.reading() as tx:
            return payments.attention(tx, everything=everything, limit=MOST_LISTED)

    def in_doubt(self) -> set[int]:
        """Reservations of which nobody knows whether they were charged, or given back."""
        return {
            row["reservation"]
            for row in self.attention()
            if row["state"] in {"started", "unknown"} or row["refund"] == "unknown"
        }

    def reconcile(self, reservation_id: int, *, origin: Origin, now: datetime) -> Reservation:
        """
        Ask the gateway about a reservation's payment now, and write down what it says.

        Raises:
            NotFound: no such reservation. NothingToSettle: it has no card payment.
        """
        attempt = self._attempt(reservation_id)
        with self.database.transaction(origin) as tx:
            payments.wake_attempt(tx, attempt.id, now=now)
        found = self._take(attempt, origin=origin, now=now)
        with self.database.reading() as tx:
            refund = payments.refund_of_claim(tx, reservation_id)
        if refund is None or refund.state != "unknown":
            return found
        self.card.steps.take_refund(refund.id, worker=_me(), origin=origin, now=now)
        return self._found(reservation_id)

    def retry(
        self, reservation_id: int, *, reason: str, origin: Origin, now: datetime
    ) -> Reservation:
        """
        Try a queued payment again, let a reviewed one be captured, or repeat a failed refund.

        Raises:
            NothingToSettle: nothing waits for a person. And whatever paying by card raises.
        """
        checked_text("reason", reason, longest=500)
        attempt = self._attempt(reservation_id)
        with self.database.transaction(origin) as tx:
            reservation = reservations.lock(tx, reservation_id)
            attempt = payments.attempt(tx, attempt.id, lock=True)
            refund = payments.refund_of_claim(tx, reservation_id)
            if attempt.state == "queued" and _is_pending(reservation):
                self.card.books.restart(tx, attempt, now=now)
            elif attempt.next_step == "review":
                step = attempt.review_of or "reconcile"
                payments.move_attempt(
                    tx, attempt.id, attempt.state, next_step=step, next_step_at=now
                )
            elif refund is not None and refund.state in {"failed", "unknown"}:
                # What failed is answered for ever under its reference; in doubt it keeps its own.
                fresh = f"{attempt.reference}-refund-{refund.tries}"
                payments.move_refund(
                    tx,
                    refund.id,
                    "due",
                    due_at=now,
                    reference=fresh if refund.state == "failed" else None,
                    tries=refund.tries,
                )
            else:
                raise NothingToSettle(
                    f"No payment of reservation {reservation_id} waits for a person:"
                    f" its attempt is {attempt.state}.",
                    state=attempt.state,
                )
            trail.note(
                tx,
                "payment_retry",
                {"reason": reason, "state": attempt.state},
                club_id=attempt.club_id,
                subject_id=reservation_id,
            )
        if attempt.state == "queued":
            return self.card.authorize(attempt.id, origin=origin, now=now)
        if attempt.next_step == "review":
            return self._take(attempt, origin=origin, now=now)
        if refund is not None:
            self.card.steps.take_refund(refund.id, worker=_me(), origin=origin, now=now)
        return self._found(reservation_id)

    def release(
        self, reservation_id: int, *, reason: str, origin: Origin, now: datetime
    ) -> Cancellation:
        """
        Give up a held reservation: the court is free, whatever was authorized is let go.

        Raises:
            NotFound: no such reservation. NothingToSettle: it is no hold.
        """
        checked_text("reason", reason, longest=500)

        def only_a_hold(tx: Tx, reservation: Reservation) -> None:
            if not _is_pending(reservation):
                raise NothingToSettle(
                    f"Reservation {reservation_id} is no hold.",
                    fix=f"Cancel it instead: padelops cancel {reservation_id}",
                )
            trail.note(
                tx,
                "payment_release",
                {"reason": reason},
                club_id=reservation.club_id,
                subject_id=reservation_id,
            )

        return self.cancellations.cancel(
            reservation_id,
            reason=Reason.CLUB_REQUESTED,
            origin=origin,
            now=now,
            checked=only_a_hold,
        )

    def webhook(self, body: bytes, signature: str, *, origin: Origin, now: datetime) -> bool:
        """
        Take in one signed event of the gateway: look at its payment again, once.

        Returns:
            Whether the event was new.

        Raises:
            NotPermitted: its signature does not hold. InvalidInput: it is no event.
        """
        event = self.card.gateway.event(body, signature, now=now)
        with self.database.transaction(origin) as tx:
            new = payments.insert_event(
                tx,
                gateway=self.card.gateway.name,
                event_id=event.event_id,
                kind=event.kind,
                reference=event.reference,
            )
            attempt = (
                payments.attempt_by_reference(tx, event.reference) if event.reference else None
            )
            woken = new and attempt and payments.wake_attempt(tx, attempt.id, now=now)
        if woken and attempt is not None:
            self.card.steps.take_attempt(attempt.id, worker=_me(), origin=origin, now=now)
        return new

    def _take(self, attempt: Attempt, *, origin: Origin, now: datetime) -> Reservation:
        self.card.steps.take_attempt(attempt.id, worker=_me(), origin=origin, now=now)
        return self._found(attempt.claim_id)

    def _attempt(self, reservation_id: int) -> Attempt:
        self._found(reservation_id)
        with self.database.reading() as tx:
            attempt = payments.last_attempt(tx, reservation_id)
        if attempt is None:
            raise NothingToSettle(f"Reservation {reservation_id} has no card payment.")
        return attempt

    def _found(self, reservation_id: int) -> Reservation:
        with self.database.reading() as tx:
            found = reservations.by_id(tx, reservation_id)
        if found is None:
            raise NotFound(f"There is no reservation {reservation_id}.")
        return found


def _is_pending(reservation: Reservation | None) -> bool:
    return reservation is not None and reservation.status == ReservationStatus.PENDING


def _me() -> str:
    """A lease holder of its own for each call."""
    return f"office-{uuid.uuid4()}"
