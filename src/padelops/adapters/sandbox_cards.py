"""
The cards that the sandbox's bank knows, by the names of Stripe's test cards.

Where Stripe has a second spelling, such as `tok_visa_chargeDeclined`, both are known.

Source: https://docs.stripe.com/testing.
"""

from __future__ import annotations

from dataclasses import dataclass

from padelops.booking.gateway import GatewayRefused


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """What happens on a card; `decline` is why nothing does."""

    decline: str | None = None
    capture_fails: bool = False
    refund_fails: bool = False


GOOD = Card()

CARDS = {
    "tok_visa": GOOD,
    "tok_visa_debit": GOOD,
    "tok_mastercard": GOOD,
    "tok_mastercard_debit": GOOD,
    "tok_amex": GOOD,
    "tok_discover": GOOD,
    "tok_diners": GOOD,
    "tok_jcb": GOOD,
    "tok_unionpay": GOOD,
    "tok_chargeDeclined": Card(decline="card_declined"),
    "tok_chargeDeclinedInsufficientFunds": Card(decline="insufficient_funds"),
    "tok_chargeDeclinedLostCard": Card(decline="lost_card"),
    "tok_chargeDeclinedStolenCard": Card(decline="stolen_card"),
    "tok_chargeDeclinedExpiredCard": Card(decline="expired_card"),
    "tok_chargeDeclinedIncorrectCvc": Card(decline="incorrect_cvc"),
    "tok_chargeDeclinedProcessingError": Card(decline="processing_error"),
    "tok_chargeDeclinedFraudulent": Card(decline="fraudulent"),
    "tok_chargeDeclinedVelocityLimitExceeded": Card(decline="card_velocity_exceeded"),
    # At Stripe it can be saved and then cannot be charged; here it can be held and not be taken.
    "tok_chargeCustomerFail": Card(capture_fails=True),
    "tok_refundFail": Card(refund_fails=True),
}


def card(token: str) -> Card:
    """
    Raises:
        GatewayRefused: the bank has never heard of it.
    """
    found = CARDS.get(token) or CARDS.get(token.replace("tok_visa_charge", "tok_charge"))
    if found is None:
        raise GatewayRefused(
            f"The sandbox knows no card {token[:60]!r}.", fix="Use tok_visa, or see the README."
        )
    return found
