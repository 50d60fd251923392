"""Amounts as Stripe counts them: exact for every currency that padelops knows, or refused."""

from __future__ import annotations

from decimal import Decimal

import pytest

from padelops.adapters.stripe_amounts import UNKNOWN_TO_STRIPE, from_stripe, smallest, to_stripe
from padelops.booking.gateway import GatewayRefused
from padelops.model import MINOR_UNITS, minor_unit


@pytest.mark.parametrize(
    ("amount", "currency", "whole"),
    [
        ("20.00", "EUR", 2000),
        ("20", "EUR", 2000),
        ("0.01", "USD", 1),
        ("2000", "JPY", 2000),
        ("15000", "CLP", 15000),
        ("6.250", "KWD", 6250),
        ("0.01", "BHD", 10),
        ("3500", "ISK", 350_000),
        ("9999999999.99", "EUR", 999_999_999_999),
    ],
)
def test_each_currency_has_its_unit(amount: str, currency: str, whole: int) -> None:
    """Two digits, none, three, and the króna that Stripe counts in hundredths; there and back."""
    assert whole == to_stripe(Decimal(amount), currency)
    assert Decimal(amount) == from_stripe(whole, currency)
    assert minor_unit(currency) == minor_unit(currency).quantize(from_stripe(whole, currency))


@pytest.mark.parametrize(
    ("amount", "currency"),
    [
        ("20.001", "EUR"),
        ("20.5", "JPY"),
        ("6.255", "KWD"),  # Stripe's last digit of a dinar must be 0
        ("3500.50", "ISK"),
        ("0", "EUR"),
        ("-1", "EUR"),
        ("NaN", "EUR"),
        ("Infinity", "EUR"),
        ("1E+30", "EUR"),
        ("10000000000.00", "EUR"),
        ("5", "XXX"),
        ("5", "LYD"),
        ("5", "eur"),
    ],
)
def test_what_cannot_be_written_exactly_is_refused(amount: str, currency: str) -> None:
    """Never rounded, never sent."""
    with pytest.raises(GatewayRefused):
        to_stripe(Decimal(amount), currency)


@pytest.mark.parametrize("currency", sorted(set(MINOR_UNITS) - UNKNOWN_TO_STRIPE))
def test_every_currency_goes_there_and_back(currency: str) -> None:
    """The smallest amount and a large one, in the currency's own digits."""
    for amount in (smallest(currency), smallest(currency) * 123_456):
        exact = amount.quantize(minor_unit(currency))

        assert str(exact) == str(from_stripe(to_stripe(exact, currency), currency))


def test_an_answer_that_no_coin_makes_is_no_amount() -> None:
    """Half a króna, or a currency nobody knows, is not guessed at."""
    with pytest.raises(ValueError, match="no amount of ISK"):
        from_stripe(350, "ISK")
    with pytest.raises(ValueError, match="unknown currency"):
        from_stripe(350, "XXX")
