"""
Both sides of card payments: what we believe, and what the sandbox's bank really did.

Nothing of the product's own checks is used for comparing: the questions are SQL written for the
tests alone, asked of our tables and of the bank's.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import uuid4

from padelops.adapters.gateway_events import sign, written
from padelops.circuit_breakers import State
from padelops.wiring.money import card_payment
from testbed.invariants import broken
from testbed.rows import column, one

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from decimal import Decimal

    import psycopg

    from padelops import Desk
    from padelops.booking.gateway import (
        GatewayPayment,
        GatewayRefund,
        PaymentGateway,
        WebhookEvent,
    )
    from padelops.booking.payment_office import PaymentOffice
    from testbed.clock import Clock

COURT, STARTS = "centro/2", "2026-12-01T18:00"
PRICE = "28.80"
"""An hour there on the next evening: a cancellation costs no more than the fee."""

DISAGREEMENTS = {
    "charged twice": """
        SELECT claim_id, count(*) FROM payment_attempts JOIN sandbox_payments USING (reference)
         WHERE sandbox_payments.status IN ('authorized', 'captured')
         GROUP BY claim_id HAVING count(*) > 1""",
    "charged without an attempt": """
        SELECT reference FROM sandbox_payments
         WHERE reference NOT IN (SELECT reference FROM payment_attempts)""",
    "attempt and charge": """
        SELECT attempts.claim_id, attempts.state, bank.status, attempts.amount, bank.amount
          FROM payment_attempts attempts LEFT JOIN sandbox_payments bank USING (reference)
         WHERE NOT CASE attempts.state
            WHEN 'authorized' THEN coalesce(bank.status = 'authorized', false)
            WHEN 'captured' THEN coalesce(bank.status = 'captured', false)
            WHEN 'voided' THEN coalesce(bank.status = 'voided', false)
            WHEN 'declined' THEN coalesce(bank.status = 'failed', true)
            ELSE bank.status IS NULL END
            OR attempts.amount <> bank.amount OR attempts.currency <> bank.currency""",
    "amounts": """
        SELECT claims.id, books.taken, bank.taken, books.given, bank.given FROM claims
         CROSS JOIN LATERAL (
            SELECT coalesce(sum(amount) FILTER (WHERE kind = 'captured'), 0) AS taken,
                   coalesce(sum(amount) FILTER (WHERE kind = 'refunded'), 0) AS given
              FROM payment_events WHERE claim_id = claims.id AND gateway <> 'desk') books
         CROSS JOIN LATERAL (
            SELECT coalesce(sum(captured), 0) AS taken, coalesce(sum(refunded), 0) AS given
              FROM payment_attempts JOIN sandbox_payments USING (reference)
             WHERE claim_id = claims.id) bank
         WHERE books.taken <> bank.taken OR books.given <> bank.given""",
    "refund and refund": """
        SELECT refunds.claim_id, refunds.state, refunds.amount, bank.amount, bank.failed
          FROM refunds JOIN payment_attempts attempts ON attempts.id = refunds.attempt_id
          LEFT JOIN (sandbox_refunds bank JOIN sandbox_payments paid ON paid.id = bank.payment_id)
            ON bank.reference = refunds.reference AND paid.reference = attempts.reference
         WHERE (refunds.state = 'done') <> coalesce(NOT bank.failed, false)
            OR refunds.amount <> bank.amount""",
}
"""What must be empty once nothing is under way any more, charge by charge and refund by refund."""

LOOSE = """
    SELECT claim_id, state, next_step FROM payment_attempts
     WHERE next_step IS NOT NULL OR state IN ('started', 'unknown', 'queued')
     UNION ALL SELECT claim_id, state, NULL FROM refunds WHERE state IN ('due', 'unknown')
     UNION ALL SELECT id, status, NULL FROM claims WHERE status = 'pending'"""

UNPAID = """
    SELECT id, status, payment_status FROM claims
     WHERE payment_method = 'card' AND total > 0 AND (
           (status IN ('confirmed', 'completed', 'no_show') AND captured <> total)
        OR (status = 'expired' AND captured <> refunded)
        OR (status = 'cancelled' AND captured - refunded > total - refund_due)
        OR (status = 'cancelled' AND captured <> refunded AND NOT EXISTS (
            SELECT FROM messages WHERE claim_id = claims.id AND kind = 'confirmation')))"""
"""Card bookings whose money does not fit how they ended, if nothing stood in the way of it."""


class Died(BaseException):
    """The process ended here, as far as it can without ending the test."""


T = TypeVar("T")


@dataclass
class Meddled:
    """
    A gateway at which something else happens in the middle of a call, once; it notes what it did.

    Attributes:
        before, after: what happens, by operation.
        done: the operations that were really asked of the gateway, in order.
        drops_keys: it takes every request for a new one, as gateways that ignore keys do.
    """

    gateway: PaymentGateway
    before: dict[str, Callable[[], Any]] = field(default_factory=dict)
    after: dict[str, Callable[[], Any]] = field(default_factory=dict)
    done: list[str] = field(default_factory=list)
    drops_keys: bool = False
    name: str = "sandbox"

    def authorize(
        self, *, reference: str, key: str, amount: Decimal, currency: str, card: str
    ) -> GatewayPayment:
        return self._with(
            "authorize",
            lambda: self.gateway.authorize(
                reference=reference,
                key=self._key(key),
                amount=amount,
                currency=currency,
                card=card,
            ),
        )

    def capture(self, payment: GatewayPayment, *, key: str) -> GatewayPayment:
        return self._with("capture", lambda: self.gateway.capture(payment, key=self._key(key)))

    def void(self, payment: GatewayPayment, *, key: str) -> GatewayPayment:
        return self._with("void", lambda: self.gateway.void(payment, key=self._key(key)))

    def refund(
        self, payment: GatewayPayment, *, reference: str, key: str, amount: Decimal
    ) -> GatewayRefund:
        return self._with(
            "refund",
            lambda: self.gateway.refund(
                payment, reference=reference, key=self._key(key), amount=amount
            ),
        )

    def find(self, reference: str) -> GatewayPayment | None:
        return self._with("find", lambda: self.gateway.find(reference))

    def event(self, body: bytes, signature: str, *, now: datetime) -> WebhookEvent:
        return self.gateway.event(body, signature, now=now)

    def count(self, operation: str) -> int:
        return self.done.count(operation)

    def _key(self, key: str) -> str:
        return uuid4().hex if self.drops_keys else key

    def _with(self, operation: str, call: Callable[[], T]) -> T:
        if meddle := self.before.pop(operation, None):
            meddle()
        self.done.append(operation)
        answer = call()
        if meddle := self.after.pop(operation, None):
            meddle()
        return answer


def meddle_with(desk: Desk, *, drops_keys: bool = False) -> Meddled:
    """Put a meddled gateway before a desk's own."""
    gateway = Meddled(desk.card.gateway, drops_keys=drops_keys)
    guard = desk.breakers["payment_processing"].guard
    desk.__dict__["card"] = card_payment(desk.database, gateway, guard, desk.settings)
    desk.__dict__.pop("office", None)
    return gateway


@dataclass(frozen=True)
class Money:
    """One desk's card payments, seen from both sides."""

    desk: Desk
    clock: Clock
    psql: psycopg.Connection[Any]

    @property
    def office(self) -> PaymentOffice:
        return self.desk.office

    def book(self, court: str = COURT, starts: str = STARTS, **changes: Any) -> Any:
        """Book an hour by card; the reservation as its maker gets it."""
        wish: dict[str, Any] = {"minutes": 60, "player": "Ana Ruiz", "pay": "card"}
        wish |= {"card": "tok_visa"} | changes
        return self.desk.book(court, starts, **wish).reservation

    def died_in(self, gateway: Meddled, operation: str, **changes: Any) -> int:
        """Book, and die when the gateway has done so much; the hold's id."""

        def die() -> None:
            raise Died

        gateway.after[operation] = die
        try:
            self.book(**changes)
        except Died:
            return int(one(self.psql, "SELECT max(id) FROM claims"))
        raise AssertionError("it lived")

    def time_passes(self, **by: float) -> None:
        """Move the clock, and the database's with it: holds run out, leases of the dead end."""
        now = self.clock.advance(**by)
        self.psql.execute(
            "UPDATE claims SET hold_until = clock_timestamp() - interval '1 minute'"
            " WHERE status = 'pending' AND hold_until <= %s AND hold_until > clock_timestamp()",
            [now],
        )
        self.psql.execute("UPDATE leases SET until = clock_timestamp()")
        breaker = self.desk.breakers["payment_processing"]
        if breaker.state in {State.OPEN, State.HALF_OPEN}:
            breaker.reset(actor="time", reason="it closes by itself, by another clock")

    def work(self) -> dict[str, int]:
        """Let a worker do all that is due."""
        return self.desk.worker().until_idle(lambda: False)

    def finish(self, rounds: int = 4) -> None:
        """Let time pass and workers work until nothing is left that only takes time."""
        self.work()
        while rounds and self.loose():
            self.time_passes(minutes=25)
            self.work()
            rounds -= 1

    def event(self, kind: str, claim_id: int, event_id: str = "evt_1") -> tuple[bytes, str]:
        """A signed event of the gateway about a reservation's payment."""
        reference = self.of("reference", claim_id)
        body = written(
            event_id, kind, reference=reference, gateway_ref="pi_1", created_at=self.clock()
        )
        return body, sign(body, self.desk.settings.sandbox_webhook_secret, now=self.clock())

    def of(self, what: str, claim_id: int) -> Any:
        """A column of a reservation's last attempt."""
        return one(
            self.psql,
            f"SELECT {what} FROM payment_attempts WHERE claim_id = %s ORDER BY id DESC LIMIT 1",
            claim_id,
        )

    def stands(self, claim_id: int) -> tuple[str, str, str, str]:
        """Status, payment status, what we took, what we gave back."""
        row = self.psql.execute(
            "SELECT status, payment_status, captured, refunded FROM claims WHERE id = %s",
            [claim_id],
        ).fetchone()
        assert row is not None
        return row[0], row[1], f"{row[2]:.2f}", f"{row[3]:.2f}"

    def bank(self) -> list[tuple[str, str, str]]:
        """Each charge as the bank has it: status, what it took, what it gave back."""
        return [
            (status, f"{captured:.2f}", f"{refunded:.2f}")
            for status, captured, refunded in self.psql.execute(
                "SELECT status, captured, refunded FROM sandbox_payments ORDER BY id"
            ).fetchall()
        ]

    def told(self, claim_id: int) -> list[str]:
        """What the customer is told, in order."""
        return column(
            self.psql, "SELECT kind FROM messages WHERE claim_id = %s ORDER BY id", claim_id
        )

    def notes(self, action: str) -> list[tuple[str, Any]]:
        """Who did so, and why, as the trail has it."""
        return [
            (actor, changes.get("reason"))
            for actor, changes in self.psql.execute(
                "SELECT actor, changes FROM audit_entries WHERE action = %s ORDER BY id", [action]
            ).fetchall()
        ]

    def loose(self) -> list[Any]:
        """What is still under way: holds, attempts and refunds."""
        return self.psql.execute(LOOSE.encode()).fetchall()

    def disagreements(self) -> list[str]:
        """Where the bank and we differ, and every invariant that is broken."""
        found = [
            f"{name}: {row}"
            for name, question in DISAGREEMENTS.items()
            for row in self.psql.execute(question.encode()).fetchall()
        ]
        return found + broken(self.psql)

    def problems(self) -> list[str]:
        """The same, and what is still in doubt or unpaid; and what the product's validator says."""
        report = self.desk.validator().validate_all_reservations()
        return [
            *self.disagreements(),
            *(f"still open: {row}" for row in self.loose()),
            *(f"unpaid: {row}" for row in self.psql.execute(UNPAID.encode()).fetchall()),
            *(
                f"validator: {outcome.check} {outcome.failure or outcome.violations}"
                for outcome in report.outcomes
                if outcome.verdict
            ),
        ]
