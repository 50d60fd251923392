"""
Critical path 6 (level 2): what a slot costs, exactly, and line by line.

    base per hour x elapsed minutes -> bands -> season -> member discount -> tax -> round once

Amounts stay whole numbers of a tiny unit until the end (minor units x 60 minutes x the scales of
percents and multipliers), so nothing is divided, and nothing rounded, before the total. Each line
shows how far the rounded running sum moves, hence lines add up to the total to the last cent.

Source: CRITICAL_PATHS.md, path 6; DESIGN.md section 4.6.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from padelops.booking.rates import (
    FACTOR_SCALE,
    HOUR,
    PERCENT_SCALE,
    Discount,
    rates_of,
    stretches,
)
from padelops.booking.tariff import Tariff, TaxMode
from padelops.booking.terms import explain
from padelops.errors import InvalidInput, TariffUnusable
from padelops.model import Slot, minor_unit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from datetime import datetime

UNCOMPUTABLE = (ValidationError, TariffUnusable, ArithmeticError)
"""What it means that a tariff cannot be computed. A wrong member tier is the caller's mistake and
is refused instead."""


class Source(StrEnum):
    """Where a price comes from; a fallback is accepted, but its capture waits for review."""

    TARIFF = "tariff"
    FALLBACK = "fallback"


class LineKind(StrEnum):
    TIME = "time"
    DISCOUNT = "discount"
    TAX = "tax"


@dataclass(frozen=True, slots=True)
class Line:
    """
    One line of a price. `time` lines carry minutes, start (UTC), hourly price and surcharge.

    Attributes:
        amount: in the currency's digits; negative for a discount.
        per_hour: exact, so it may have more digits than the currency.
        percent: the surcharges' sum, the discount as a negative number, or the tax.
    """

    kind: LineKind
    label: str
    amount: Decimal
    minutes: int | None = None
    per_hour: Decimal | None = None
    percent: Decimal | None = None
    starts_at: datetime | None = None

    def as_json(self) -> dict[str, Any]:
        """JSON-ready, amounts as text; what does not apply is left out."""
        shown: dict[str, Any] = {
            "kind": self.kind.value,
            "label": self.label,
            "amount": f"{self.amount:f}",
        }
        if self.minutes is not None:
            shown["minutes"] = self.minutes
        if self.per_hour is not None:
            shown["per_hour"] = f"{self.per_hour:f}"
        if self.percent is not None:
            shown["percent"] = f"{self.percent:f}"
        if self.starts_at is not None:
            shown["starts_at"] = self.starts_at.isoformat()
        return shown


@dataclass(frozen=True, slots=True)
class Quote:
    """
    A price: `total` is the sum of the lines.

    Attributes:
        tax_amount: added by the tax line (exclusive) or contained in the total (inclusive);
            None when unknown, for a fallback.
        reason: why the tariff could not be computed; empty for a price from the tariff.
    """

    total: Decimal
    currency: str
    lines: tuple[Line, ...]
    tax_amount: Decimal | None
    tax_mode: TaxMode | None
    source: Source = Source.TARIFF
    reason: str = ""

    def lines_json(self) -> list[dict[str, Any]]:
        """The lines as they are stored with a reservation."""
        return [line.as_json() for line in self.lines]

    def as_json(self) -> dict[str, Any]:
        """What every door shows; `fallback` marks a default price."""
        return {
            "total": f"{self.total:f}",
            "currency": self.currency,
            "lines": self.lines_json(),
            "tax_amount": None if self.tax_amount is None else f"{self.tax_amount:f}",
            "tax_mode": None if self.tax_mode is None else self.tax_mode.value,
            "source": self.source.value,
            "fallback": self.source is Source.FALLBACK,
        }


def quote(tariff: Tariff, court_name: str, slot: Slot, *, member_tier: str | None = None) -> Quote:
    """
    The exact price of a slot; a court without a price of its own costs the default.

    Raises:
        InvalidInput: the tariff has no such member tier; names those it has.
    """
    rates = rates_of(tariff)
    return _quote(tariff, rates.of_court(court_name), slot, rates.discount(member_tier))


@lru_cache(maxsize=4096)
def _quote(tariff: Tariff, hourly: int, slot: Slot, discount: Discount | None) -> Quote:
    """Kept, because courts of one price sell the same few slots all day long."""
    rates = rates_of(tariff)
    digits = rates.digits

    lines = []
    exact, scale, charged = 0, HOUR * FACTOR_SCALE, 0
    for start, minutes, piece in stretches(tariff, slot):
        exact += hourly * piece.factor * minutes
        before, charged = charged, _half_up(exact, scale)
        lines.append(
            Line(
                LineKind.TIME,
                piece.label,
                _money(charged - before, digits),
                minutes,
                _per_hour(hourly * piece.factor, digits),
                piece.percent,
                start,
            )
        )

    if discount is not None:
        exact, scale = exact * (PERCENT_SCALE - discount.scaled), scale * PERCENT_SCALE
        before, charged = charged, _half_up(exact, scale)
        amount = _money(charged - before, digits)
        lines.append(Line(LineKind.DISCOUNT, discount.tier, amount, percent=-discount.percent))

    tax = 0
    if tariff.tax.mode is TaxMode.INCLUSIVE:
        # Of the rounded total: the tax in what is charged is what an invoice states.
        tax = _half_up(charged * rates.tax, PERCENT_SCALE + rates.tax)
    elif rates.tax:
        exact, scale = exact * (PERCENT_SCALE + rates.tax), scale * PERCENT_SCALE
        before, charged = charged, _half_up(exact, scale)
        tax = charged - before
        lines.append(Line(LineKind.TAX, "tax", _money(tax, digits), percent=tariff.tax.percent))

    return Quote(
        _money(charged, digits),
        tariff.currency,
        tuple(lines),
        _money(tax, digits),
        tariff.tax.mode,
    )


def total_of(
    tariff: Tariff, court_name: str, slot: Slot, *, member_tier: str | None = None
) -> Decimal:
    """`quote(...).total` without the lines: less than half the work, for checking a million."""
    rates = rates_of(tariff)
    discount = rates.discount(member_tier)
    off = discount.scaled if discount is not None else 0
    on_top = rates.tax if tariff.tax.mode is TaxMode.EXCLUSIVE else 0

    parts = sum(piece.factor * minutes for _, minutes, piece in stretches(tariff, slot))
    exact = rates.of_court(court_name) * parts * (PERCENT_SCALE - off) * (PERCENT_SCALE + on_top)
    return _money(_half_up(exact, HOUR * FACTOR_SCALE * PERCENT_SCALE**2), rates.digits)


def quote_or_fallback(
    load: Callable[[], Tariff],
    court_name: str,
    slot: Slot,
    *,
    default_hourly_price: Decimal,
    currency: str,
    member_tier: str | None = None,
) -> Quote:
    """
    The price from the tariff, or the club's default price, marked, when that cannot be computed.

    `load` brings the tariff, typically `lambda: Tariff.model_validate(terms)`. The currency is the
    club's: a tariff in another one cannot be used.

    Raises:
        InvalidInput: the tariff has no such member tier.
    """
    try:
        return quote(_in_currency(load(), currency), court_name, slot, member_tier=member_tier)
    except UNCOMPUTABLE as exc:
        reason = explain(exc, within="tariff") if isinstance(exc, ValidationError) else str(exc)

    return fallback_quote(
        slot, default_hourly_price=default_hourly_price, currency=currency, reason=reason
    )


def fallback_quote(
    slot: Slot, *, default_hourly_price: Decimal, currency: str, reason: str
) -> Quote:
    """The club's default hourly price for the minutes played: no bands, no discount, no tax."""
    digits = -int(minor_unit(currency).as_tuple().exponent)
    whole, part = default_hourly_price.as_integer_ratio()
    total = _money(_half_up(whole * 10**digits * slot.minutes, part * HOUR), digits)
    line = Line(
        LineKind.TIME,
        "default price",
        total,
        slot.minutes,
        per_hour=default_hourly_price,
        starts_at=slot.starts_at,
    )
    return Quote(total, currency, (line,), None, None, Source.FALLBACK, reason)


def price_problem(
    tariff: Tariff,
    court_name: str,
    slot: Slot,
    *,
    member_tier: str | None,
    total: Decimal,
    lines: Iterable[Mapping[str, Any]],
) -> str | None:
    """
    Why a stored price breaks the invariant `price_exact`, or None when it holds.

    The tariff is the one frozen on the reservation; lines have the shape of `Quote.lines_json`.
    """
    try:
        added = sum((Decimal(line["amount"]) for line in lines), Decimal(0))
    except (KeyError, TypeError, ValueError, InvalidOperation):
        return "the lines cannot be read"
    if added != total:
        return f"the lines add up to {added}, the total is {total}"
    try:
        exact = total_of(tariff, court_name, slot, member_tier=member_tier)
    except InvalidInput as exc:
        return str(exc)
    if exact != total:
        return f"the tariff makes it {exact}, the total is {total}"

    return None


def _in_currency(tariff: Tariff, currency: str) -> Tariff:
    if tariff.currency != currency:
        raise TariffUnusable(f"The tariff is in {tariff.currency}, the club charges {currency}.")
    return tariff


def _half_up(amount: int, scale: int) -> int:
    """`amount / scale` to the nearest whole number, halves up; amounts are never negative here."""
    return (2 * amount + scale) // (2 * scale)


def _money(minor_units: int, digits: int) -> Decimal:
    # Built from text because that is exact in any context, and the fastest way there is.
    return Decimal(f"{minor_units}E-{digits}")


@lru_cache(maxsize=4096)
def _per_hour(exact: int, digits: int) -> Decimal:
    """The hourly price in the currency's digits, or in as many more as it really has."""
    places = len(str(FACTOR_SCALE)) - 1
    while places and exact % 10 == 0:
        exact, places = exact // 10, places - 1
    return _money(exact, digits + places)
