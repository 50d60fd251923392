"""
The steps that finish card payments, whoever began them: reconcile, capture, void, refund.

Each step asks the gateway what it knows before it asks for anything new, so a step that is repeated
after a crash, a timeout or a second worker finds its own work done. A step that fails comes back
later, at growing distances; one that a person must decide is left where `payments list` shows it.

Source: DESIGN.md section 4.2.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from padelops import fault_points
from padelops.booking.gateway import Declined, GatewayOutcomeUnknown, GatewayRefused, GatewayStatus
from padelops.booking.operations import seen_by_nobody
from padelops.booking.payment_records import GRACE
from padelops.errors import BreakerOpen, PadelopsError, Unavailable
from padelops.store import payments

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from datetime import datetime

    from padelops.booking.gateway import GatewayPayment, PaymentGateway
    from padelops.booking.payment_records import Books
    from padelops.model import Origin
    from padelops.store.engine import Database
    from padelops.store.payments import Attempt, Refund

FIRST_RETRY = timedelta(seconds=5)
LONGEST_RETRY = timedelta(hours=1)


def retry_at(tries: int, *, now: datetime) -> datetime:
    """When a step that failed so often is tried again: 5 s, 10 s, 20 s ... an hour at the most."""
    pause: timedelta = min(FIRST_RETRY * 2 ** min(tries, 20), LONGEST_RETRY)
    return now + pause


def _stands(attempt: Attempt) -> tuple[object, ...]:
    return attempt.state, attempt.next_step, attempt.next_step_at


@dataclass(frozen=True, slots=True)
class PaymentSteps:
    """
    What the worker, a webhook and a person's `reconcile` all do.

    Attributes:
        timed: counts what becomes of each request that moves money; questions move none.
    """

    database: Database
    gateway: PaymentGateway
    guard: Callable[[], AbstractContextManager[object]]
    books: Books
    timed: Callable[[str], AbstractContextManager[object]] = seen_by_nobody

    def take_attempt(self, attempt_id: int, *, worker: str, origin: Origin, now: datetime) -> bool:
        """
        Do an attempt's next step, unless another worker is at it.

        Returns:
            Whether the step was ours.
        """
        with self.database.reading() as tx:
            if not payments.lease(tx, "payment", attempt_id, holder=worker):
                return False
        try:
            with self.database.reading() as tx:
                attempt = payments.attempt(tx, attempt_id)
            self._step(attempt, origin=origin, now=now)
            fault_points.reach("written")
            with self.database.reading() as tx:
                after = payments.attempt(tx, attempt_id)
            if after.next_step and _stands(after) == _stands(attempt):
                # Whatever the gateway said moved nothing: ask again later, not at once for ever.
                self._put_off(after, None, origin=origin, now=now)
        finally:
            with self.database.reading() as tx:
                payments.release_lease(tx, "payment", attempt_id, holder=worker)
        return True

    def take_refund(self, refund_id: int, *, worker: str, origin: Origin, now: datetime) -> bool:
        """Give one refund back, unless another worker is at it; whether it was ours."""
        with self.database.reading() as tx:
            if not payments.lease(tx, "refund", refund_id, holder=worker):
                return False
        try:
            with self.database.reading() as tx:
                refund = payments.refund(tx, refund_id)
                attempt = payments.attempt(tx, refund.attempt_id)
            if refund.state in {"due", "unknown"}:
                self._refund(refund, attempt, origin=origin, now=now)
        finally:
            with self.database.reading() as tx:
                payments.release_lease(tx, "refund", refund_id, holder=worker)
        return True

    def put_aside(self, attempt_id: int, error: str, *, until: datetime, origin: Origin) -> None:
        """Keep a broken attempt out of the way for a while, with its error for a person to see."""
        with self.database.transaction(origin) as tx:
            attempt = payments.attempt(tx, attempt_id, lock=True)
            if attempt.next_step is not None:
                payments.move_attempt(
                    tx,
                    attempt_id,
                    attempt.state,
                    next_step=attempt.next_step,
                    next_step_at=until,
                    review_of=attempt.review_of,
                    tries=attempt.tries + 1,
                    last_error=error,
                )

    def put_refund_aside(
        self, refund_id: int, error: str, *, until: datetime, origin: Origin
    ) -> None:
        """Keep a broken refund out of the way for a while, with its error for a person to see."""
        with self.database.transaction(origin) as tx:
            refund = payments.refund(tx, refund_id)
            payments.move_refund(
                tx, refund_id, refund.state, due_at=until, tries=refund.tries + 1, last_error=error
            )

    def _step(self, attempt: Attempt, *, origin: Origin, now: datetime) -> None:
        try:
            match attempt.next_step:
                case "reconcile":
                    self._reconcile(attempt, origin=origin, now=now)
                case "capture":
                    self._capture(attempt, origin=origin, now=now)
                case "void":
                    self._void(attempt, origin=origin, now=now)
                case "review" if attempt.state == "authorized":
                    self._look(attempt, origin=origin, now=now)
                case _:
                    pass  # done meanwhile, or a person's
        except (Unavailable, BreakerOpen, GatewayOutcomeUnknown, GatewayRefused) as exc:
            if attempt.state == "started":
                # Its hold may outlive its deadline only if everybody can see why.
                later = retry_at(attempt.tries, now=now)
                self.books.unknown(attempt, exc, retry_at=later, origin=origin)
            self._put_off(attempt, exc, origin=origin, now=now)

    def _reconcile(self, attempt: Attempt, *, origin: Origin, now: datetime) -> None:
        payment = self._ask(attempt)
        too_early = payment is None and now < attempt.asked_at + GRACE
        if too_early or (payment and payment.status is GatewayStatus.PROCESSING):
            self._put_off(attempt, None, origin=origin, now=now)
            return
        self.books.believe(attempt, payment, origin=origin, now=now)

    def _look(self, attempt: Attempt, *, origin: Origin, now: datetime) -> None:
        """Whether somebody settled at the gateway what waits for a person here."""
        payment = self._ask(attempt)
        if payment is not None and payment.status is not GatewayStatus.AUTHORIZED:
            self.books.believe(attempt, payment, origin=origin, now=now)

    def _capture(self, attempt: Attempt, *, origin: Origin, now: datetime) -> None:
        payment = self._ask(attempt)
        fault_points.reach("asked")
        if payment is not None and payment.status is GatewayStatus.AUTHORIZED:
            fault_points.reach("before_capture")
            try:
                with self.timed("payments"), self.guard():
                    payment = self.gateway.capture(payment, key=f"capture:{attempt.reference}")
            except Declined as exc:
                self.books.capture_failed(attempt, exc.message, origin=origin)
                return
            fault_points.reach("captured")
        self.books.believe(attempt, payment, origin=origin, now=now)

    def _void(self, attempt: Attempt, *, origin: Origin, now: datetime) -> None:
        payment = self._ask(attempt)
        if payment is not None and payment.status is GatewayStatus.AUTHORIZED:
            fault_points.reach("before_void")
            with self.timed("payments"), self.guard():
                payment = self.gateway.void(payment, key=f"void:{attempt.reference}")
            fault_points.reach("voided")
        self.books.believe(attempt, payment, origin=origin, now=now)

    def _refund(self, refund: Refund, attempt: Attempt, *, origin: Origin, now: datetime) -> None:
        try:
            payment = self._ask(attempt)
            fault_points.reach("refund_asked")
            if payment is None:
                self._refund_failed(refund, "the gateway does not know the payment", origin, now)
                return
            done = next((one for one in payment.refunds if one.reference == refund.reference), None)
            if done is None:
                if payment.captured - payment.refunded < refund.amount:
                    # The gateway might allow it all the same; we never give back more than we took.
                    self._refund_failed(refund, "more than is left of the payment", origin, now)
                    return
                fault_points.reach("before_refund")
                with self.timed("payments"), self.guard():
                    done = self.gateway.refund(
                        payment,
                        reference=refund.reference,
                        key=f"refund:{refund.reference}",
                        amount=refund.amount,
                    )
                fault_points.reach("refunded")
            if done.failed:
                self._refund_failed(refund, "the gateway could not give it back", origin, now)
                return
        except (Declined, GatewayRefused) as exc:
            self._refund_failed(refund, exc.message, origin, now)
            return
        except (Unavailable, BreakerOpen, GatewayOutcomeUnknown) as exc:
            self._put_off_refund(refund, exc, origin=origin, now=now)
            return
        self.books.refunded(refund, done, origin=origin, now=now)
        fault_points.reach("refund_written")

    def _ask(self, attempt: Attempt) -> GatewayPayment | None:
        with self.guard():
            return self.gateway.find(attempt.reference)

    def _put_off(
        self, attempt: Attempt, error: PadelopsError | None, *, origin: Origin, now: datetime
    ) -> None:
        with self.database.transaction(origin) as tx:
            attempt = payments.attempt(tx, attempt.id, lock=True)
            if attempt.next_step is None:
                return
            # What the gateway refuses outright is for a person; asking again changes nothing.
            review = isinstance(error, GatewayRefused) or attempt.next_step == "review"
            step = attempt.review_of or attempt.next_step
            payments.move_attempt(
                tx,
                attempt.id,
                attempt.state,
                next_step="review" if review else step,
                review_of=step if review else None,
                next_step_at=retry_at(attempt.tries, now=now),
                tries=attempt.tries + 1,
                last_error=attempt.last_error if error is None else error.message,
            )

    def _put_off_refund(
        self, refund: Refund, error: PadelopsError, *, origin: Origin, now: datetime
    ) -> None:
        state = "unknown" if isinstance(error, GatewayOutcomeUnknown) else refund.state
        with self.database.transaction(origin) as tx:
            payments.move_refund(
                tx,
                refund.id,
                state,
                due_at=retry_at(refund.tries, now=now),
                tries=refund.tries + 1,
                last_error=error.message,
            )

    def _refund_failed(self, refund: Refund, why: str, origin: Origin, now: datetime) -> None:
        with self.database.transaction(origin) as tx:
            payments.move_refund(
                tx, refund.id, "failed", due_at=now, tries=refund.tries + 1, last_error=why
            )
