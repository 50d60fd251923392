"""
What the core asks of a payment gateway, whoever runs it.

Critical path 2 (level 1): never charged blind, never charged twice. Three answers are told apart,
and only these: it happened (a `GatewayPayment`), it was refused (`Declined`), or nobody knows
(`GatewayOutcomeUnknown`). `GatewayUnavailable` is for requests that certainly never arrived.

An idempotency key goes with every change, but the core does not rest on the gateway honouring it
(some do not): whatever is in doubt is first looked up by `reference`, which the gateway stores with
the payment, and only then repeated.

Source: CRITICAL_PATHS.md, path 2; DESIGN.md sections 2, 4.2 and 8.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from padelops.errors import OutcomeUnknown, Refused, Unavailable

if TYPE_CHECKING:
    from datetime import datetime
    from decimal import Decimal


class Declined(Refused):
    """The card was declined. Nothing was charged."""

    code = "card_declined"


class GatewayRefused(Refused):
    """The payment gateway refused the request."""

    code = "gateway_refused"


class GatewayUnavailable(Unavailable):
    """The payment gateway cannot be reached; the request never arrived."""

    code = "gateway_unavailable"


class GatewayOutcomeUnknown(OutcomeUnknown):
    """The payment gateway did not answer; the request may have been carried out."""

    code = "payment_unknown"


class GatewayStatus(StrEnum):
    """Where a payment stands at the gateway."""

    PROCESSING = "processing"
    AUTHORIZED = "authorized"
    CAPTURED = "captured"
    VOIDED = "voided"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayRefund:
    """A refund as the gateway knows it; `reference` is ours, None where it was made by hand."""

    gateway_ref: str
    reference: str | None
    amount: Decimal
    failed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayPayment:
    """
    A payment as the gateway knows it. Amounts are in `currency`, in its own digits.

    Attributes:
        gateway_ref: the gateway's name for it, such as `pi_123`.
        reference: ours, stored with the payment when it was authorized.
        decline_code: why it failed, such as `insufficient_funds`; None unless FAILED.
    """

    gateway_ref: str
    reference: str
    status: GatewayStatus
    currency: str
    amount: Decimal
    captured: Decimal
    refunded: Decimal
    created_at: datetime
    refunds: tuple[GatewayRefund, ...] = ()
    decline_code: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookEvent:
    """
    One signed event of the gateway. It only says that a payment should be looked at again: what
    the core believes is what `find` answers, so order and repetition of events cannot matter.
    """

    event_id: str
    kind: str
    reference: str | None
    gateway_ref: str | None


class PaymentGateway(Protocol):
    """
    A gateway that authorizes first and captures later.

    Every method raises GatewayUnavailable, GatewayOutcomeUnknown, or GatewayRefused (bad
    credentials, an impossible request); each call is bounded in time.
    """

    name: str

    def probe(self) -> None:
        """Ask for something that changes nothing and that only we may see."""
        ...

    def authorize(
        self, *, reference: str, key: str, amount: Decimal, currency: str, card: str
    ) -> GatewayPayment:
        """
        Reserve an amount on a card without taking it.

        Args:
            card: a token such as `tok_visa`, never a card number.

        Raises:
            Declined: with `decline_code` among its facts.
        """
        ...

    def capture(self, payment: GatewayPayment, *, key: str) -> GatewayPayment:
        """Take the whole authorized amount."""
        ...

    def void(self, payment: GatewayPayment, *, key: str) -> GatewayPayment:
        """Let an authorization go."""
        ...

    def refund(
        self, payment: GatewayPayment, *, reference: str, key: str, amount: Decimal
    ) -> GatewayRefund:
        """Give back part or all of what was captured."""
        ...

    def find(self, reference: str) -> GatewayPayment | None:
        """
        The payment that was authorized under this reference, with its refunds.

        None means that the gateway never saw it, and never will without being asked again.
        """
        ...

    def event(self, body: bytes, signature: str, *, now: datetime) -> WebhookEvent:
        """
        The event in a webhook's body.

        Raises:
            NotPermitted: the signature is missing, wrong or too old.
            InvalidInput: the body is none of the gateway's.
        """
        ...
