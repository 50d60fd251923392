"""
What a cancellation gives back: tiers of hours before the start, and a fixed fee.

Frozen at booking, so an edited policy only touches later bookings. Exactly on a deadline counts as
in time, and hours are elapsed hours, so the answer is the same on a DST day.

Source: CRITICAL_PATHS.md, path 5; DESIGN.md section 4.5.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal

from pydantic import Field, field_validator

from padelops.booking.terms import Amount, Share, Terms, each_once
from padelops.model import round_to_currency


class PolicyTier(Terms):
    hours_before: int = Field(ge=0, le=24 * 365)
    refund_percent: Share


class CancellationPolicy(Terms):
    """No tier reached means nothing back; without any tier a cancellation is free of charge."""

    tiers: tuple[PolicyTier, ...] = Field(default=(), max_length=20)
    fee: Amount = Decimal(0)

    @field_validator("tiers")
    @classmethod
    def _in_order(cls, tiers: tuple[PolicyTier, ...]) -> tuple[PolicyTier, ...]:
        each_once(tier.hours_before for tier in tiers)
        ordered = tuple(sorted(tiers, key=lambda tier: -tier.hours_before))
        percents = [tier.refund_percent for tier in ordered]
        if percents != sorted(percents, reverse=True):
            raise ValueError("Cancelling earlier must not give back less.")
        return ordered

    def refund_percent(self, starts_at: datetime, *, now: datetime) -> Decimal:
        """The share of the price that is given back; exactly on a deadline is in time."""
        if not self.tiers:
            return Decimal(100)
        for tier in self.tiers:
            if now <= starts_at - timedelta(hours=tier.hours_before):
                return tier.refund_percent
        return Decimal(0)

    def refund(
        self, paid: Decimal, currency: str, starts_at: datetime, *, now: datetime
    ) -> Decimal:
        """What is given back of what was paid: never negative, never more than was paid."""
        share = round_to_currency(paid * self.refund_percent(starts_at, now=now) / 100, currency)
        return max(round_to_currency(Decimal(0), currency), min(paid, share - self.fee))
