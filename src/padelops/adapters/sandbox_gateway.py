"""
The sandbox gateway in process: a bank with test cards, honest keys and faults on demand.

It has Stripe's manners and none of its money. What is charged is committed to the sandbox's own
books in its own transaction, so it stays charged whatever becomes of the caller. A fault that costs
the answer raises what a gateway's client would: after the work `GatewayOutcomeUnknown` although it
was done, before it the same although it was not.

Source: DESIGN.md sections 2 and 4.2.
"""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

from padelops.adapters import gateway_events
from padelops.adapters.sandbox_faults import Fault, FaultKind, Operation, SandboxFaults
from padelops.adapters.sandbox_ledger import SandboxLedger, explained
from padelops.booking.gateway import (
    Declined,
    GatewayOutcomeUnknown,
    GatewayPayment,
    GatewayRefund,
    GatewayRefused,
    GatewayUnavailable,
    WebhookEvent,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from decimal import Decimal

    from pydantic import SecretStr

    from padelops.store.engine import Database

T = TypeVar("T")

ASKING = frozenset({Operation.FIND, Operation.PROBE})
"""Operations that change nothing, so a lost answer leaves nothing in doubt."""


class SandboxGateway:
    """Implements `booking.gateway.PaymentGateway`; safe to share between threads."""

    name = "sandbox"

    def __init__(
        self,
        database: Database,
        *,
        webhook_secret: SecretStr | None = None,
        timeout_s: float = 10,
        clock: Callable[[], datetime],
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        """
        Args:
            database: where the books are; must not be in a transaction of the caller's.
            webhook_secret: what events are signed with.
            timeout_s: a fault's latency beyond it costs the answer.
            clock: says when something is charged.
            pause: waits for so many seconds.
        """
        self.ledger = SandboxLedger(database, clock)
        self.faults = SandboxFaults(database, clock)
        self._webhook_secret = webhook_secret
        self._timeout_s = timeout_s
        self._pause = pause

    def close(self) -> None:
        """The connections belong to whoever gave the database."""

    def probe(self) -> None:
        """
        Raises:
            GatewayUnavailable: it would not answer.
        """
        self._perform(Operation.PROBE, self.ledger.probe)

    def authorize(
        self, *, reference: str, key: str, amount: Decimal, currency: str, card: str
    ) -> GatewayPayment:
        return self._perform(
            Operation.AUTHORIZE,
            lambda: self.ledger.authorize(
                reference=reference, key=key, amount=amount, currency=currency, card=card
            ),
        )

    def capture(self, payment: GatewayPayment, *, key: str) -> GatewayPayment:
        return self._perform(
            Operation.CAPTURE, lambda: self.ledger.capture(payment.gateway_ref, key=key)
        )

    def void(self, payment: GatewayPayment, *, key: str) -> GatewayPayment:
        return self._perform(Operation.VOID, lambda: self.ledger.void(payment.gateway_ref, key=key))

    def refund(
        self, payment: GatewayPayment, *, reference: str, key: str, amount: Decimal
    ) -> GatewayRefund:
        return self._perform(
            Operation.REFUND,
            lambda: self.ledger.refund(
                payment.gateway_ref, reference=reference, key=key, amount=amount
            ),
        )

    def find(self, reference: str) -> GatewayPayment | None:
        return self._perform(Operation.FIND, lambda: self.ledger.find(reference))

    def event(self, body: bytes, signature: str, *, now: datetime) -> WebhookEvent:
        return gateway_events.read(body, signature, self._webhook_secret, now=now)

    def _perform(self, operation: Operation, work: Callable[[], T]) -> T:
        with explained():
            fault = self.faults.take(operation)
        if fault is None:
            return work()
        if fault.kind is FaultKind.OUTAGE:
            raise GatewayUnavailable("The sandbox is away, as it was told to be.")
        if fault.kind is FaultKind.LATENCY_MS and fault.latency_s < self._timeout_s:
            self._pause(fault.latency_s)
            return work()
        if fault.kind is FaultKind.LATENCY_MS:
            self._pause(self._timeout_s)
        if fault.kind.works:
            # Also a decline: whoever is not answered does not learn of it.
            with suppress(Declined, GatewayRefused):
                work()
        raise _lost(operation, fault)


def _lost(operation: Operation, fault: Fault) -> GatewayUnavailable | GatewayOutcomeUnknown:
    if operation in ASKING:
        return GatewayUnavailable(f"The sandbox did not tell: {fault.kind}.")
    return GatewayOutcomeUnknown(
        f"The sandbox did not answer: {fault.kind}. The request may have been carried out."
    )
