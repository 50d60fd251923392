"""
A tariff: the terms a price is computed from, frozen so that the price can be computed again.

The club file's `tariff:` block is `TariffRules`; with the court prices, currency, time zone and tax
of that moment it becomes a `Tariff`, which is stored and never edited. `digest` names its content:
two tariffs with the same digest price every slot alike.

A band covers the minutes whose reading of the club's wall clock lies in `[from, to)`; one with
`from` after `to` runs past midnight and belongs to the day it starts on. On a holiday the weekday's
bands and the `holiday` bands both apply and their percents add up; a band whose only day is
`holiday` applies on holidays alone. Seasons go by the local date of the minute.

Source: CRITICAL_PATHS.md, path 6; DESIGN.md section 4.6.
"""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Self

from pydantic import AfterValidator, Field, ValidationInfo, field_validator

from padelops.booking.club_time import ONE_DAY, zone
from padelops.booking.terms import (
    DAY_MINUTES,
    HOLIDAY,
    WEEK,
    Amount,
    Clock,
    Currency,
    Day,
    Days,
    Multiplier,
    Name,
    Percent,
    Share,
    Terms,
    check_amount,
    clock_text,
    each_once,
)
from padelops.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

FREE = Decimal(-100)


class TaxMode(StrEnum):
    """Whether prices contain the tax, or it is added on top."""

    INCLUSIVE = "inclusive"
    EXCLUSIVE = "exclusive"


class Tax(Terms):
    percent: Share = Decimal(0)
    mode: TaxMode = TaxMode.INCLUSIVE


class Band(Terms):
    """A surcharge, or with a negative percent a discount, at certain hours of certain days."""

    name: Name
    days: Days = WEEK
    starts: Clock = Field(default=0, alias="from")
    ends: Clock = Field(default=DAY_MINUTES, alias="to")
    percent: Percent

    @field_validator("starts")
    @classmethod
    def _starts_within_the_day(cls, starts: int) -> int:
        if starts == DAY_MINUTES:
            raise ValueError("24:00 is only an end; use 00:00.")
        return starts

    @field_validator("ends")
    @classmethod
    def _lasts(cls, ends: int, info: ValidationInfo) -> int:
        if ends == info.data.get("starts"):
            raise ValueError("from and to are the same; leave both out for the whole day.")
        return ends

    def covers(self, wall: datetime, holidays: frozenset[date]) -> bool:
        """Whether the minute that a wall clock shows so lies in this band."""
        minute = wall.hour * 60 + wall.minute
        today = wall.date()
        if self.starts < self.ends:
            return self.starts <= minute < self.ends and self._is_on(today, holidays)
        if minute >= self.starts:
            return self._is_on(today, holidays)
        return minute < self.ends and self._is_on(today - ONE_DAY, holidays)

    def _is_on(self, day: date, holidays: frozenset[date]) -> bool:
        return WEEK[day.weekday()] in self.days or (HOLIDAY in self.days and day in holidays)


class Season(Terms):
    """A stretch of local dates, both ends included, on which every price is multiplied."""

    name: Name
    first: Day = Field(alias="from")
    last: Day = Field(alias="to")
    multiplier: Multiplier

    @field_validator("last")
    @classmethod
    def _ends_after_it_starts(cls, last: date, info: ValidationInfo) -> date:
        if "first" in info.data and last < info.data["first"]:
            raise ValueError(f"The season ends before it starts, on {info.data['first']}.")
        return last


class MemberTier(Terms):
    name: Name
    discount_percent: Share


def _sorted_once(days: tuple[date, ...]) -> tuple[date, ...]:
    return tuple(sorted(set(days)))


class TariffRules(Terms):
    """The `tariff:` block of a club file: how prices vary around the courts' hourly prices."""

    holidays: Annotated[tuple[Day, ...], AfterValidator(_sorted_once)] = Field(
        default=(), max_length=2000
    )
    bands: tuple[Band, ...] = Field(default=(), max_length=50)
    seasons: tuple[Season, ...] = Field(default=(), max_length=200)
    member_tiers: tuple[MemberTier, ...] = Field(default=(), max_length=50)

    @field_validator("bands")
    @classmethod
    def _bands_leave_a_price(
        cls, bands: tuple[Band, ...], info: ValidationInfo
    ) -> tuple[Band, ...]:
        each_once(band.name for band in bands)
        cheapest, at = _lowest_sum(bands, info.data.get("holidays", ()))
        if cheapest < FREE:
            raise ValueError(f"The percents add up to {cheapest} at {at}; below -100 is no price.")
        return bands

    @field_validator("seasons")
    @classmethod
    def _seasons_stay_apart(cls, seasons: tuple[Season, ...]) -> tuple[Season, ...]:
        each_once(season.name for season in seasons)
        in_order = sorted(seasons, key=lambda season: season.first)
        for earlier, later in pairwise(in_order):
            if later.first <= earlier.last:
                raise ValueError(f"{earlier.name} and {later.name} overlap on {later.first}.")
        return tuple(in_order)

    @field_validator("member_tiers")
    @classmethod
    def _tiers_have_names_of_their_own(
        cls, tiers: tuple[MemberTier, ...]
    ) -> tuple[MemberTier, ...]:
        each_once(tier.name for tier in tiers)
        return tiers

    def season_on(self, day: date) -> Season | None:
        """The one season that a local date falls in."""
        return next((season for season in self.seasons if season.first <= day <= season.last), None)

    @cached_property
    def holiday_set(self) -> frozenset[date]:
        return frozenset(self.holidays)


class Tariff(TariffRules):
    """Everything a price depends on, frozen: the document stored with `terms` and its `digest`."""

    currency: Currency
    time_zone: str
    tax: Tax = Tax()
    default_hourly_price: Amount
    hourly_prices: dict[Name, Amount] = Field(default={}, max_length=2000)

    @field_validator("time_zone")
    @classmethod
    def _zone_exists(cls, name: str) -> str:
        try:
            zone(name)
        except InvalidInput as exc:
            raise ValueError(str(exc)) from exc
        return name

    @field_validator("default_hourly_price")
    @classmethod
    def _default_fits_the_currency(cls, price: Decimal, info: ValidationInfo) -> Decimal:
        if "currency" in info.data:
            check_amount(price, info.data["currency"])
        return price

    @field_validator("hourly_prices")
    @classmethod
    def _prices_fit_the_currency(
        cls, prices: dict[str, Decimal], info: ValidationInfo
    ) -> dict[str, Decimal]:
        for court, price in prices.items():
            if "currency" in info.data:
                try:
                    check_amount(price, info.data["currency"])
                except ValueError as exc:
                    raise ValueError(f"Court {court}: {exc}") from exc
        return prices

    @classmethod
    def freeze(
        cls,
        rules: TariffRules,
        *,
        currency: str,
        time_zone: str,
        default_hourly_price: Decimal,
        hourly_prices: Mapping[str, Decimal],
        tax: Tax | None = None,
    ) -> Self:
        """
        Join a club file's rules with the prices and the tax they work on.

        Raises:
            ValidationError: a price does not fit the currency.
        """
        return cls.model_validate(
            rules.model_dump(mode="json", include=set(TariffRules.model_fields))
            | {
                "currency": currency,
                "time_zone": time_zone,
                "tax": (tax or Tax()).model_dump(mode="json"),
                "default_hourly_price": default_hourly_price,
                "hourly_prices": dict(hourly_prices),
            }
        )


def _lowest_sum(bands: tuple[Band, ...], holidays: Iterable[date]) -> tuple[Decimal, str]:
    """The lowest sum of percents at any minute of any date, and one such minute."""
    discounts = [band for band in bands if band.percent < 0]
    if sum((band.percent for band in discounts), Decimal(0)) >= FREE:
        return Decimal(0), ""

    days = frozenset(holidays)
    an_ordinary_week = [date(2200, 1, 1) + ONE_DAY * count for count in range(7)]
    after_them = (day + ONE_DAY for day in days)
    kinds = {
        (day.weekday(), day in days, day - ONE_DAY in days): day
        for day in (*an_ordinary_week, *days, *after_them)
    }
    edges = {0} | {edge % DAY_MINUTES for band in bands for edge in (band.starts, band.ends)}
    sums = (
        (
            sum((band.percent for band in bands if band.covers(wall, days)), Decimal(0)),
            f"{clock_text(edge)} on {HOLIDAY if day in days else WEEK[day.weekday()]}",
        )
        for day in kinds.values()
        for edge in sorted(edges)
        for wall in [datetime(day.year, day.month, day.day, edge // 60, edge % 60)]  # noqa: DTZ001  (a wall reading)
    )
    return min(sums, key=lambda found: found[0])
