"""
What each minute costs: a tariff worked out once for every two days, in whole numbers.

A slot is cut wherever the price may change: at the edges of bands and seasons, at local midnight,
and where the clocks change. Between two such edges nothing changes, so what the club's wall clock
shows at the first decides for all of them. Elapsed minutes count, in a night of 23 or 25 hours too.

Prices are whole minor units and percents whole parts of `PERCENT_SCALE`, so that pricing multiplies
and adds integers and divides only once.

Source: CRITICAL_PATHS.md, path 6; DESIGN.md section 4.6.
"""

from __future__ import annotations

from bisect import bisect_right
from datetime import UTC, date, datetime, time
from decimal import Decimal
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from padelops.booking.club_time import (
    MINUTE,
    ONE_DAY,
    instants_of,
    shown,
    transitions_between,
    zone,
)
from padelops.booking.terms import DAY_MINUTES, MULTIPLIER_PLACES, PERCENT_PLACES
from padelops.errors import InvalidInput
from padelops.model import MINOR_UNITS, Slot

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from padelops.booking.tariff import Tariff

HOUR = 60
PERCENT_SCALE = 100 * 10**PERCENT_PLACES
"""A percent of 20 is 200,000 parts of 1,000,000."""

FACTOR_SCALE = PERCENT_SCALE * 10**MULTIPLIER_PLACES
"""A band's percent times a season's multiplier is a whole number of these parts."""


class Discount(NamedTuple):
    tier: str
    scaled: int
    percent: Decimal


class Rates(NamedTuple):
    """A tariff's constants: prices in minor units, discounts and tax in parts of PERCENT_SCALE."""

    zone: ZoneInfo
    digits: int
    default_hourly: int
    hourly: dict[str, int]
    discounts: dict[str, Discount]
    tax: int

    def of_court(self, court_name: str) -> int:
        """Per hour, in minor units; a court without a price of its own costs the default."""
        return self.hourly.get(court_name, self.default_hourly)

    def discount(self, member_tier: str | None) -> Discount | None:
        """
        What a member gets off; None when that is nothing.

        Raises:
            InvalidInput: the tariff has no such tier; names those it has.
        """
        if member_tier is None:
            return None
        discount = self.discounts.get(member_tier)
        if discount is None:
            known = ", ".join(self.discounts)
            raise InvalidInput(
                f"There is no member tier {shown(member_tier)}.",
                fix=f"Tiers: {known}." if known else "This tariff has none.",
            )
        return discount if discount.scaled else None


class Piece(NamedTuple):
    """
    A stretch on which a minute's price stays the same, within one local date.

    `factor` is the surcharges and the season, in parts of FACTOR_SCALE; `percent` the sum of the
    surcharges, None where no band applies.
    """

    factor: int
    label: str
    percent: Decimal | None
    local_day: int


class Timeline(NamedTuple):
    """Pieces and the minutes at which they start, with the end as the last start."""

    starts: list[int]
    pieces: list[Piece]


@lru_cache(maxsize=256)
def rates_of(tariff: Tariff) -> Rates:
    """The constants of a tariff; worked out once."""
    digits = MINOR_UNITS[tariff.currency]
    return Rates(
        zone(tariff.time_zone),
        digits,
        _scaled(tariff.default_hourly_price, digits),
        {court: _scaled(price, digits) for court, price in tariff.hourly_prices.items()},
        {
            tier.name: Discount(tier.name, _parts(tier.discount_percent), tier.discount_percent)
            for tier in tariff.member_tiers
        },
        _parts(tariff.tax.percent),
    )


def stretches(tariff: Tariff, slot: Slot) -> list[tuple[datetime, int, Piece]]:
    """The slot cut where the price changes: start, minutes, and what holds there."""
    starts, pieces = _timeline(tariff, slot.starts_at.toordinal())
    start = first = slot.starts_at.hour * HOUR + slot.starts_at.minute
    end = first + slot.minutes

    cuts = []
    index = bisect_right(starts, start) - 1
    while start < end:
        until = min(end, starts[index + 1])
        cuts.append((slot.starts_at + (start - first) * MINUTE, until - start, pieces[index]))
        start, index = until, index + 1
    return cuts


@lru_cache(maxsize=4096)
def _timeline(tariff: Tariff, utc_day: int) -> Timeline:
    """
    The pieces of 48 hours from midnight UTC of a day, given as its ordinal.

    Two days, because a slot that starts on the first may run for 24 hours.
    """
    clock = rates_of(tariff).zone
    start = datetime.combine(date.fromordinal(utc_day), time(), UTC)
    end = start + 2 * ONE_DAY

    timeline = Timeline([], [])
    for moment in sorted(_edges(tariff, start, end, clock)):
        piece = _piece_at(tariff, moment.astimezone(clock))
        if not timeline.pieces or piece != timeline.pieces[-1]:
            timeline.starts.append((moment - start) // MINUTE)
            timeline.pieces.append(piece)
    timeline.starts.append(2 * DAY_MINUTES)
    return timeline


def _edges(tariff: Tariff, start: datetime, end: datetime, clock: ZoneInfo) -> set[datetime]:
    """Every instant in `[start, end)` at which the price of a minute may change."""
    walls = {0} | {edge for band in tariff.bands for edge in (band.starts, band.ends)}
    # A day more on both sides: the wall can be most of a day away from UTC, and may jump.
    midnights = [datetime.combine(start, time()) + ONE_DAY * days for days in range(-1, 4)]
    edges = {
        moment
        for midnight in midnights
        for minute in walls
        for moment in instants_of(midnight + minute * MINUTE, clock)
        if start <= moment < end
    }
    return edges | {start, *transitions_between(start, end, clock)}


def _piece_at(tariff: Tariff, wall: datetime) -> Piece:
    day = wall.date()
    bands = [band for band in tariff.bands if band.covers(wall, tariff.holiday_set)]
    season = tariff.season_on(day)

    label = " + ".join(band.name for band in bands) or "base"
    factor = PERCENT_SCALE + sum(_parts(band.percent) for band in bands)
    if season is None:
        factor *= 10**MULTIPLIER_PLACES
    else:
        label = f"{label}, {season.name}"
        factor *= _scaled(season.multiplier, MULTIPLIER_PLACES)
    percent = sum((band.percent for band in bands), Decimal(0)) if bands else None
    return Piece(factor, label, percent, day.toordinal())


def _parts(percent: Decimal) -> int:
    return _scaled(percent, PERCENT_PLACES)


def _scaled(number: Decimal, places: int) -> int:
    """`number * 10**places`, exactly, whatever decimal context the caller's thread has."""
    whole, part = number.as_integer_ratio()
    return whole * int(10**places) // part
