"""
Critical path 2 (level 1), by card: hold -> authorize -> confirm -> capture.

    hold (committed) -> attempt written down (committed) -> gateway asked, no lock held
        authorized -> confirmed (committed) -> captured later, from the outbox
        declined   -> hold released at once
        unknown    -> hold kept and flagged; the gateway is asked, never charged blind again
        away       -> hold kept for longer, the payment queued for a person

Whatever dies in between leaves an attempt with a reference that the gateway knows; the steps in
payment_steps.py finish it. An authorization for a hold that was lost meanwhile takes the court back
if it is still free, and is voided if it is not: nobody is charged without a court.

Source: CRITICAL_PATHS.md, path 2; DESIGN.md section 4.2.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from padelops import fault_points
from padelops.booking.double_booking import within
from padelops.booking.gateway import (
    Declined,
    GatewayOutcomeUnknown,
    GatewayRefused,
    GatewayUnavailable,
)
from padelops.booking.operations import seen_by_nobody
from padelops.booking.payment_records import GRACE
from padelops.booking.payments import Opening
from padelops.errors import (
    BreakerOpen,
    InvalidInput,
    OutcomeUnknown,
    PartlyDone,
    Refused,
    Unavailable,
)
from padelops.model import PaymentMethod, ReservationStatus
from padelops.store import payments, reservations
from padelops.store.deadline import Deadline

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from datetime import datetime
    from decimal import Decimal

    from padelops.booking.gateway import PaymentGateway
    from padelops.booking.payment_records import Books
    from padelops.booking.payment_steps import PaymentSteps
    from padelops.model import Origin
    from padelops.store.engine import Database, Tx
    from padelops.store.payments import Attempt
    from padelops.store.reservations import Reservation

QUEUED_HOLD = timedelta(hours=12)
"""How long a court is kept for a payment that waits for a person; never beyond its own start."""

CONFIRM_BUDGET_S = 5.0
"""How long confirming an authorized hold may be tried again against rivals for its court."""

LONGEST_TOKEN = 200


class PaymentUnknown(OutcomeUnknown):
    """The payment's outcome is unknown. The court is kept until the gateway has told."""

    code = "payment_unknown"


class PaymentQueued(PartlyDone):
    """The court is held; its payment is queued for a person."""

    code = "payment_queued"


class LatePayment(Refused):
    """The court was sold to somebody else while the payment was under way. Nothing is charged."""

    code = "late_payment"


@dataclass(frozen=True, slots=True)
class CardPayment:
    """
    The payment path by card. Implements `PaymentPath`.

    Attributes:
        guard: the breaker `payment_processing`, entered around each call to the gateway.
        hold: how long an unpaid claim keeps its court.
        timed: counts what becomes of a payment, from asking for it to the confirmed booking.
    """

    database: Database
    gateway: PaymentGateway
    guard: Callable[[], AbstractContextManager[object]]
    books: Books
    steps: PaymentSteps
    hold: timedelta
    timed: Callable[[str], AbstractContextManager[object]] = seen_by_nobody

    method = PaymentMethod.CARD

    def check(self, card: str | None, *, courts: int) -> None:
        """
        Raises:
            InvalidInput: no card, something that is no token, or several courts: one authorization
                cannot be all or nothing for several holds.
        """
        if courts > 1:
            raise InvalidInput(
                "Several courts at once are paid at the desk.", fix="Use --pay desk."
            )
        if not card:
            raise InvalidInput("A card payment needs a card.", fix="Add --card tok_visa.")
        if len(card) > LONGEST_TOKEN or not card.isascii() or not card.isprintable():
            raise InvalidInput("The card must be a gateway's token, such as tok_visa.")
        if card.replace(" ", "").replace("-", "").isdigit():
            raise InvalidInput("Never pass a card number; pass the gateway's token for it.")

    def opening(self, total: Decimal, *, now: datetime) -> Opening:
        if not total:
            return Opening(ReservationStatus.CONFIRMED, "nothing_due")
        return Opening(ReservationStatus.PENDING, "pending", now + self.hold)

    def settle(
        self, reservation: Reservation, *, card: str | None, origin: Origin, now: datetime
    ) -> Reservation:
        """
        Authorize the total and confirm the reservation.

        Raises:
            Declined: the hold is released. GatewayRefused: likewise.
            PaymentQueued: the gateway is away; the hold is kept for a person.
            PaymentUnknown: the hold is kept and flagged.
            LatePayment: the hold was lost, and the court with it.
        """
        if reservation.status != ReservationStatus.PENDING:
            return reservation
        fault_points.reach("held")
        reference = f"padelops-{reservation.id}-{uuid.uuid4().hex[:12]}"
        with self.database.transaction(origin) as tx:
            attempt_id = payments.insert_attempt(
                tx,
                reservation.id,
                reference=reference,
                gateway=self.gateway.name,
                card=card or "",
                asked_at=now,
                next_step_at=now + GRACE,
            )
        fault_points.reach("attempt_written")
        if attempt_id is None:
            return self._settled_by_another(reservation.id)
        return self.authorize(attempt_id, origin=origin, now=now)

    def authorize(self, attempt_id: int, *, origin: Origin, now: datetime) -> Reservation:
        """Ask the gateway for a written attempt, and write down what it says."""
        with self.database.reading() as tx:
            attempt = payments.attempt(tx, attempt_id)
        fault_points.reach("asking")
        try:
            with self.timed("payments"):
                return self._authorize(attempt, origin=origin, now=now)
        except PaymentUnknown:
            raise
        except (Unavailable, OutcomeUnknown) as exc:
            # The gateway was asked and its answer could not be written down: reconciling will.
            raise self._unknown(attempt.claim_id) from exc

    def _authorize(self, attempt: Attempt, *, origin: Origin, now: datetime) -> Reservation:
        try:
            with self.guard():
                payment = self.gateway.authorize(
                    reference=attempt.reference,
                    key=f"authorize:{attempt.reference}",
                    amount=attempt.amount,
                    currency=attempt.currency,
                    card=attempt.card,
                )
        except (Declined, GatewayRefused) as exc:
            self.books.declined(attempt, exc, origin=origin, now=now)
            raise
        except (GatewayUnavailable, BreakerOpen) as exc:
            if not self.books.queued(attempt, exc, until=now + QUEUED_HOLD, origin=origin):
                raise self._late(attempt.claim_id) from exc
            raise PaymentQueued(
                f"Reservation {attempt.claim_id} is held; its payment is queued. {exc.message}",
                fix=f"When the gateway is back: padelops payments retry {attempt.claim_id}",
                reservation_id=attempt.claim_id,
            ) from exc
        except GatewayOutcomeUnknown as exc:
            self.books.unknown(attempt, exc, retry_at=now + GRACE, origin=origin)
            raise self._unknown(attempt.claim_id) from exc
        fault_points.reach("authorized")
        stands = within(
            Deadline(CONFIRM_BUDGET_S),
            lambda: self.books.authorized(attempt, payment, origin=origin, now=now),
        )
        if not stands:
            raise self._late(attempt.claim_id)
        fault_points.reach("confirmed")
        return self._now(attempt.claim_id)

    def resume(
        self, reservation: Reservation, *, card: str | None, origin: Origin, now: datetime
    ) -> Reservation:
        """
        Go on where an earlier request with the same key stopped: pay for a hold that nobody asked
        the gateway about, or ask what became of a payment that was left open.

        Raises:
            PaymentUnknown: the gateway still does not tell. And whatever `settle` raises.
        """
        with self.database.reading() as tx:
            attempt = payments.last_attempt(tx, reservation.id)
        if attempt is None:
            return self.settle(reservation, card=card, origin=origin, now=now)
        if attempt.state == "queued":
            return self._requeued(attempt, origin=origin, now=now)
        if attempt.state not in {"started", "unknown"}:
            return reservation
        self.steps.take_attempt(attempt.id, worker=f"replay-{uuid.uuid4()}", origin=origin, now=now)
        with self.database.reading() as tx:
            attempt = payments.attempt(tx, attempt.id)
        if attempt.state in {"started", "unknown"}:
            raise self._unknown(reservation.id)
        return self._now(reservation.id)

    def _requeued(self, attempt: Attempt, *, origin: Origin, now: datetime) -> Reservation:
        """Ask again for what was never asked, unless somebody else is just doing it."""
        with self.database.transaction(origin) as tx:
            held = reservations.lock(tx, attempt.claim_id)
            attempt = payments.attempt(tx, attempt.id, lock=True)
            ours = (
                held is not None
                and held.status == ReservationStatus.PENDING
                and attempt.state == "queued"
            )
            if ours:
                self.books.restart(tx, attempt, now=now)
        if ours:
            return self.authorize(attempt.id, origin=origin, now=now)
        return self._settled_by_another(attempt.claim_id)

    def _settled_by_another(self, reservation_id: int) -> Reservation:
        """What became of a hold whose payment is not ours to ask for; a hold is no booking yet."""
        found = self._now(reservation_id)
        if found.status == ReservationStatus.PENDING:
            raise self._unknown(reservation_id)
        if found.status == ReservationStatus.EXPIRED:
            raise self._late(reservation_id)
        return found

    def cancelled(self, tx: Tx, reservation: Reservation, refund: Decimal, *, now: datetime) -> str:
        """Queue what happens to the money of a reservation that is being cancelled."""
        found = payments.last_attempt(tx, reservation.id)
        if found is None:
            return "nothing_due"
        attempt = payments.attempt(tx, found.id, lock=True)
        match attempt.state:
            case "queued":
                payments.lapse_queued(tx, reservation.id)
                return "nothing_due"
            case "started" | "unknown":
                # Whatever arrived there is let go once the gateway has told.
                payments.wake_attempt(tx, attempt.id, now=now)
                return "payment_unknown"
            case "authorized" if refund == reservation.total:
                payments.move_attempt(
                    tx, attempt.id, "authorized", next_step="void", next_step_at=now
                )
                return "authorized"
            case "authorized" | "captured":
                # The whole is captured first; then the customer's share goes back.
                self.books.owe_refund(tx, attempt, refund, now=now)
            case _ if not reservation.captured:
                return "nothing_due"
            case _:
                pass  # taken at the desk after the card came to nothing: handed back there too
        return "refund_due" if refund and reservation.captured else reservation.payment_status

    def _now(self, reservation_id: int) -> Reservation:
        """The reservation as it stands by now."""
        with self.database.reading() as tx:
            return self.books.reservation(tx, reservation_id)

    def _late(self, reservation_id: int) -> LatePayment:
        with self.database.reading() as tx:
            status = self.books.reservation(tx, reservation_id).status
        if status == ReservationStatus.CANCELLED:
            return LatePayment(
                "The reservation was cancelled while its payment was under way;"
                " nothing is charged.",
                reservation_id=reservation_id,
            )
        return LatePayment(reservation_id=reservation_id)

    def _unknown(self, reservation_id: int) -> PaymentUnknown:
        return PaymentUnknown(
            f"Reservation {reservation_id} is held; whether it was paid is unknown.",
            fix=f"Ask the gateway: padelops payments reconcile {reservation_id}",
            reservation_id=reservation_id,
        )

    def at_stake(self, reservation: Reservation) -> Decimal:
        """What a cancellation divides between customer and club: captured, or about to be."""
        if reservation.payment_status == "authorized":
            return reservation.total
        return reservation.captured
