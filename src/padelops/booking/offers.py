"""What a club offers on a day, before anybody has booked: its starts, and what each costs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from typing import TYPE_CHECKING

from padelops.booking.opening_hours import Interval, covers, open_intervals
from padelops.booking.pricing import UNCOMPUTABLE, fallback_quote, total_of
from padelops.model import Slot

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import date, datetime
    from decimal import Decimal

    from padelops.booking.clubs import Club, Court


@dataclass(frozen=True, slots=True)
class FreeStart:
    """
    A start that can be booked now, and its total in the club's currency.

    Attributes:
        fallback: the total is the club's default price, because the tariff's cannot be had now.
    """

    starts_at: datetime
    total: Decimal
    fallback: bool = False


@dataclass(frozen=True, slots=True)
class Offers:
    """
    A day of a club before anybody has booked: everything but what is taken.

    Attributes:
        open: the stretches that open on the day.
        starts: when a booking may start, in order.
        places: where among them, by the minute since the epoch.
        priced: by court in service, what it costs at each of these starts.
    """

    open: tuple[Interval, ...]
    starts: tuple[datetime, ...]
    places: Mapping[int, int]
    priced: Mapping[int, tuple[FreeStart, ...]]


@lru_cache(maxsize=256)
def offers_of(club: Club, day: date, minutes: int, *, default_prices: bool = False) -> Offers:
    """
    The starts and prices of a day, worked out once for a club as it is.

    A day's claims change all the time, its hours and prices hardly ever; and they are most of the
    work.

    Args:
        default_prices: price by the club's default and mark it, as a booking would now.
    """
    stretches = open_intervals(club.hours, club.zone, day)
    step = timedelta(minutes=club.rules.slot_step_minutes)
    wishes = []
    for opens, closes in stretches:
        start = opens
        while start < closes:
            wish = Slot.starting(start, minutes)
            if wish.ends_at <= closes or covers(club.hours, club.zone, wish):
                wishes.append(wish)
            start += step
    return Offers(
        open=tuple(stretches),
        starts=tuple(wish.starts_at for wish in wishes),
        places={minute_of(wish.starts_at): place for place, wish in enumerate(wishes)},
        priced={
            court.id: tuple(
                _default(club, wish) if default_prices else _priced(club, court, wish)
                for wish in wishes
            )
            for court in club.courts.values()
            if court.in_service
        },
    )


def _priced(club: Club, court: Court, slot: Slot) -> FreeStart:
    try:
        return FreeStart(slot.starts_at, total_of(club.tariff(), court.name, slot))
    except UNCOMPUTABLE:
        return _default(club, slot)


def _default(club: Club, slot: Slot) -> FreeStart:
    price = fallback_quote(
        slot, default_hourly_price=club.default_hourly_price, currency=club.currency, reason=""
    )
    return FreeStart(slot.starts_at, price.total, fallback=True)


def minute_of(moment: datetime) -> int:
    """Minutes since the epoch."""
    return int(moment.timestamp()) // 60
