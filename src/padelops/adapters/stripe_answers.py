"""
What Stripe's answers mean: an intent becomes a `GatewayPayment`, an error one of our five.

Read from plain JSON, so that a Stripe-compatible peer which leaves members out, or another version
of the API, ends in a clear refusal or a documented default and never in an AttributeError.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from padelops.adapters.gateway_events import PAYMENT_KEY, REFUND_KEY
from padelops.adapters.stripe_amounts import from_stripe
from padelops.booking.gateway import (
    Declined,
    GatewayOutcomeUnknown,
    GatewayPayment,
    GatewayRefund,
    GatewayRefused,
    GatewayStatus,
    GatewayUnavailable,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import stripe

    from padelops.errors import PadelopsError

NEEDS_AUTHENTICATION = "authentication_required"
NO_REASON = "generic_decline"
LONGEST_QUOTE = 200

STATUS = {
    "requires_capture": GatewayStatus.AUTHORIZED,
    "succeeded": GatewayStatus.CAPTURED,
    "canceled": GatewayStatus.VOIDED,
    "requires_payment_method": GatewayStatus.FAILED,
    # Only who holds its client secret can go on, and nobody is ever given that.
    "requires_action": GatewayStatus.FAILED,
    # Ours are confirmed as they are created, so this one is under way or was made by hand.
    "requires_confirmation": GatewayStatus.PROCESSING,
    "processing": GatewayStatus.PROCESSING,
}
"""Source: https://docs.stripe.com/payments/paymentintents/lifecycle."""

BAD_CREDENTIALS = frozenset({401, 403})
CARD_REFUSED = 402
TIMED_OUT, CONFLICT, TOO_MANY = 408, 409, 429
"""409 is a rival with the same key that is still at work; 429 was turned away unread."""


class UnreadableError(Exception):
    """An answer that says less than it must; what it answers may have happened all the same."""

    def __init__(self, wanted: str) -> None:
        super().__init__(f"Stripe's answer is no {wanted}.")


def payment_of(intent: Mapping[str, Any], *, reference: str = "") -> GatewayPayment:
    """
    Args:
        intent: with its latest charge and that charge's refunds expanded.
        reference: what to call one that carries no reference of ours.

    Raises:
        UnreadableError: it is no PaymentIntent that we understand.
    """
    try:
        return _payment(intent, reference)
    except (KeyError, TypeError, ValueError, OverflowError) as exc:
        raise UnreadableError("payment intent") from exc


def _payment(intent: Mapping[str, Any], reference: str) -> GatewayPayment:
    currency = _text(intent["currency"]).upper()
    status = STATUS.get(_text(intent["status"]), GatewayStatus.PROCESSING)
    charge = _mapping(intent.get("latest_charge"))
    nothing = captured = from_stripe(0, currency)
    refunds: tuple[GatewayRefund, ...] = ()
    # Letting an authorization go shows up on the charge as "refunded", though nothing was taken.
    if status is GatewayStatus.CAPTURED:
        taken = intent.get("amount_received") or charge.get("amount_captured") or intent["amount"]
        captured = from_stripe(_whole(taken), currency)
        refunds = tuple(refund_of(one, currency) for one in expanded(charge.get("refunds")))
    return GatewayPayment(
        gateway_ref=_text(intent["id"]),
        reference=str(_mapping(intent.get("metadata")).get(PAYMENT_KEY) or reference),
        status=status,
        currency=currency,
        amount=from_stripe(_whole(intent["amount"]), currency),
        captured=captured,
        refunded=sum((one.amount for one in refunds if not one.failed), nothing),
        created_at=datetime.fromtimestamp(_whole(intent["created"]), UTC),
        refunds=refunds,
        decline_code=_why_failed(intent) if status is GatewayStatus.FAILED else None,
    )


def refund_of(refund: Mapping[str, Any], currency: str) -> GatewayRefund:
    """
    Raises:
        UnreadableError: it is no Refund that we understand.
    """
    try:
        reference = _mapping(refund.get("metadata")).get(REFUND_KEY)
        return GatewayRefund(
            gateway_ref=_text(refund["id"]),
            reference=None if reference is None else str(reference),
            amount=from_stripe(_whole(refund["amount"]), currency),
            failed=refund.get("status") in {"failed", "canceled"},
        )
    except (KeyError, TypeError, ValueError) as exc:
        raise UnreadableError("refund") from exc


def expanded(page: Any) -> Sequence[Mapping[str, Any]]:
    """The rows of a list within an answer; none where it is absent or was not expanded."""
    data = _mapping(page).get("data")
    return [_mapping(row) for row in data] if isinstance(data, list) else []


def error_of(exc: stripe.StripeError, *, changes: bool) -> PadelopsError:
    """
    Ours for one of the SDK's, by its HTTP status: what a peer puts into the body may vary.

    Args:
        changes: whether the request might have changed something.
    """
    status = exc.http_status or 0
    told = _mapping(_mapping(exc.json_body).get("error"))
    facts = {
        name: value
        for name, value in (("gateway_code", told.get("code")), ("request_id", exc.request_id))
        if isinstance(value, str)
    }
    if status in BAD_CREDENTIALS:
        return GatewayRefused(
            "Stripe refuses the API key, or the key may not do this.",
            fix="Check PADELOPS_STRIPE_API_KEY.",
            **facts,
        )
    if status == CARD_REFUSED:
        return declined(reason(told))
    if status == TOO_MANY or told.get("code") == "rate_limit":
        return GatewayUnavailable("Stripe turns requests away: there are too many.", **facts)
    if 400 <= status < 500 and status not in {TIMED_OUT, CONFLICT}:  # noqa: PLR2004 - HTTP's "your fault"
        message = told.get("message")
        said = f": {message[:LONGEST_QUOTE]}" if isinstance(message, str) else f" ({status})"
        return GatewayRefused(f"Stripe refused the request{said}".rstrip(".") + ".", **facts)
    if not changes:
        return GatewayUnavailable(f"Stripe did not tell (HTTP {status}).", **facts)
    return GatewayOutcomeUnknown(
        f"Stripe failed (HTTP {status}); the request may have been carried out.", **facts
    )


def declined(decline_code: str) -> Declined:
    return Declined(f"The card was declined: {decline_code}.", decline_code=decline_code)


def reason(error: Mapping[str, Any]) -> str:
    """Why a card was declined; `card_declined` where the bank gives no reason."""
    for name in ("decline_code", "code"):
        value = error.get(name)
        if isinstance(value, str) and value and value != NO_REASON:
            return value
    return "card_declined"


def _why_failed(intent: Mapping[str, Any]) -> str | None:
    if intent.get("status") == "requires_action":
        return NEEDS_AUTHENTICATION
    error = _mapping(intent.get("last_payment_error"))
    return reason(error) if error else None


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("a name that is no text")
    return value


def _whole(value: Any) -> int:
    if not isinstance(value, int):
        raise TypeError("an amount or time that is no whole number")
    return value


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
