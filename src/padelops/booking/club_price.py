"""A club's price for a slot: exact from its tariff, or its default price, marked and counted."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING

from padelops.booking.pricing import Quote, Source, fallback_quote, quote_or_fallback
from padelops.errors import BreakerOpen

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from padelops.booking.clubs import Club, Court
    from padelops.booking.counts import Counts
    from padelops.model import Slot


def price_of(
    club: Club,
    court: Court,
    slot: Slot,
    *,
    member_tier: str | None,
    counts: Counts,
    guard: Callable[[], AbstractContextManager[object]] = nullcontext,
) -> Quote:
    """
    What the slot costs; the club's default price, marked and counted, if its tariff fails or the
    breaker `price_calculation` is open.
    """
    with counts.timed("pricing") as timed:
        try:
            with guard():
                quote = quote_or_fallback(
                    club.tariff,
                    court.name,
                    slot,
                    default_hourly_price=club.default_hourly_price,
                    currency=club.currency,
                    member_tier=member_tier,
                )
        except BreakerOpen as exc:
            quote = fallback_quote(
                slot,
                default_hourly_price=club.default_hourly_price,
                currency=club.currency,
                reason=exc.message,
            )
        if quote.source is Source.FALLBACK:
            timed.degraded("fallback")
            counts.add("price.fallback")
    return quote
