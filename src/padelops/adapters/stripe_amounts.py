"""
Amounts as Stripe counts them, exactly or not at all.

Stripe counts in a currency's smallest unit, with exceptions that cost a hundredfold when missed: it
has an ISK and a UGX of two digits that are always 00, and a third digit for dinars and rials
that must be 0. What cannot be written exactly is refused, never rounded.

Source: https://docs.stripe.com/currencies, "Zero-decimal", "Three-decimal" and "Special cases".
"""

from __future__ import annotations

from decimal import Decimal

from padelops.booking.gateway import GatewayRefused
from padelops.model import MINOR_UNITS, minor_unit

DIGITS_AT_STRIPE = {"ISK": 2, "UGX": 2}
"""Where Stripe's number of digits is not ISO 4217's."""
UNKNOWN_TO_STRIPE = frozenset({"IQD", "LYD"})
MOST_DIGITS = 12


def to_stripe(amount: Decimal, currency: str) -> int:
    """
    The whole number that Stripe is told: `20.00` EUR is 2000, `2000` JPY is 2000.

    Raises:
        GatewayRefused: no such currency there, not above zero, or not exact in its units.
    """
    step = smallest(currency)
    if not amount.is_finite() or amount <= 0:
        raise GatewayRefused("The amount must be above zero.")
    if amount.adjusted() + _digits(currency) >= MOST_DIGITS:
        raise GatewayRefused(f"Stripe takes amounts of {MOST_DIGITS} digits at the most.")
    if amount % step:
        raise GatewayRefused(
            f"Stripe takes {currency} in steps of {step}; {amount} is none.",
            currency=currency,
            step=str(step),
        )
    return int(amount.scaleb(_digits(currency)))


def from_stripe(whole: int, currency: str) -> Decimal:
    """
    An amount in the currency's own digits: 2000 is `20.00` EUR, and 500 is `5` ISK.

    Raises:
        ValueError: no currency of ours, or an amount that it cannot express.
    """
    if currency not in MINOR_UNITS:
        raise ValueError(f"unknown currency {currency!r}")
    amount = Decimal(whole).scaleb(-_digits(currency))
    exact = amount.quantize(minor_unit(currency))
    if exact != amount:
        raise ValueError(f"{amount} is no amount of {currency}")
    return exact


def smallest(currency: str) -> Decimal:
    """
    The step in which Stripe takes a currency: `0.01` EUR, `1` JPY and ISK, `0.01` KWD.

    Raises:
        GatewayRefused: Stripe does not take it, or it is no currency of ours.
    """
    if currency in UNKNOWN_TO_STRIPE or currency not in MINOR_UNITS:
        raise GatewayRefused(f"Stripe takes no {currency[:8]}.", currency=currency[:8])
    return max(minor_unit(currency), Decimal("0.01"))


def _digits(currency: str) -> int:
    return DIGITS_AT_STRIPE.get(currency, MINOR_UNITS.get(currency, 2))
