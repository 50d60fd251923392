"""
When a club is open: weekly hours and special days on the wall clock, in UTC for any date.

Hours belong to the day on which they open: `18:00-01:30` on a Saturday ends early on Sunday, and
a special day replaces everything that would have opened on its date but not the tail of the night
before. When clocks change, a club opens at the first moment its wall shows the hour and closes at
the last; an hour that is skipped counts as the moment of the change.

Source: CRITICAL_PATHS.md, path 4; DESIGN.md sections 4.4 and 5.
"""

from __future__ import annotations

from datetime import date, datetime, time
from functools import cached_property, lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, NamedTuple, Self

from pydantic import BeforeValidator, Field, PlainSerializer, field_validator, model_validator

from padelops.booking.club_time import MINUTE, ONE_DAY, first_instant, last_instant, local, shown
from padelops.booking.terms import (
    DAY_MINUTES,
    HOLIDAY,
    WEEK,
    Day,
    Terms,
    clock_of,
    clock_text,
    days_of,
    each_once,
)

if TYPE_CHECKING:
    from collections.abc import Iterable
    from zoneinfo import ZoneInfo

    from padelops.model import Slot

CLOSED = "closed"

Interval = tuple[datetime, datetime]
"""Half-open `[start, end)`, aware UTC."""


class Range(NamedTuple):
    """Minutes since midnight of the opening day; past midnight the end goes on counting."""

    opens: int
    closes: int

    def __str__(self) -> str:
        return f"{clock_text(self.opens)}-{clock_text(self.closes)}"


def range_of(value: object) -> Range:
    """Read `07:00-23:00`, `18:00-01:30` (past midnight) or `00:00-24:00`."""
    if isinstance(value, Range):
        return value
    opening, dash, closing = value.partition("-") if isinstance(value, str) else ("", "", "")
    if not dash:
        raise ValueError(f"{shown(value)} is no range: use HH:MM-HH:MM.")
    opens, closes = clock_of(opening.strip()), clock_of(closing.strip())
    if opens == DAY_MINUTES:
        raise ValueError("24:00 is only an end; use 00:00.")
    if opens == closes:
        raise ValueError("Opening and closing time are the same; all day is 00:00-24:00.")
    return Range(opens, closes if closes > opens else closes + DAY_MINUTES)


def _ranges_of(value: object) -> tuple[Range, ...]:
    """Ranges in order, from one, a list, or `closed`; they may touch but not overlap."""
    if value == CLOSED:
        return ()
    ranges = sorted(
        range_of(item) for item in (value if isinstance(value, list | tuple) else [value])
    )
    for earlier, later in pairwise(ranges):
        if later.opens < earlier.closes:
            raise ValueError(f"{earlier} and {later} overlap.")
    return tuple(ranges)


def _as_text(ranges: tuple[Range, ...]) -> list[str]:
    return [str(stretch) for stretch in ranges]


def _week_of(value: object) -> object:
    """Spread keys such as `mon-fri` over their days, in the week's order."""
    if not isinstance(value, dict):
        return value
    spread = [(day, hours) for days, hours in value.items() for day in days_of(days)]
    each_once(day for day, _ in spread)
    if any(day == HOLIDAY for day, _ in spread):
        raise ValueError("Holidays are no weekday: list their dates under exceptions.")
    return dict(sorted(spread, key=lambda item: WEEK.index(item[0])))


Ranges = Annotated[
    tuple[Range, ...],
    BeforeValidator(_ranges_of),
    PlainSerializer(_as_text, return_type=list[str]),
]


class SpecialDay(Terms):
    """A date with hours of its own, or none: exactly one of `closed: true` and `hours`."""

    date: Day
    closed: bool = False
    hours: Ranges = ()

    @model_validator(mode="after")
    def _says_one_thing(self) -> Self:
        if self.closed == bool(self.hours):
            raise ValueError("Give either closed: true or hours.")
        return self


class OpeningHours(Terms):
    """The `hours:` block of a club file. A weekday that is not named is closed."""

    weekly: Annotated[dict[str, Ranges], BeforeValidator(_week_of)] = Field(default={})
    exceptions: tuple[SpecialDay, ...] = Field(default=(), max_length=2000)

    @field_validator("exceptions")
    @classmethod
    def _dates_are_named_once(cls, exceptions: tuple[SpecialDay, ...]) -> tuple[SpecialDay, ...]:
        each_once(special.date.isoformat() for special in exceptions)
        return tuple(sorted(exceptions, key=lambda special: special.date))

    def on(self, day: date) -> tuple[Range, ...]:
        """The ranges that open on a local date, by the wall clock."""
        special = self._special.get(day)
        return self.weekly.get(WEEK[day.weekday()], ()) if special is None else special

    @cached_property
    def _special(self) -> dict[date, tuple[Range, ...]]:
        return {special.date: special.hours for special in self.exceptions}


def open_intervals(hours: OpeningHours, zone: ZoneInfo, day: date) -> list[Interval]:
    """The stretches that open on a local date, in order; ranges that touch are one stretch."""
    return list(_opening_on(day, hours, zone))


@lru_cache(maxsize=4096)
def _opening_on(day: date, hours: OpeningHours, zone: ZoneInfo) -> tuple[Interval, ...]:
    midnight = datetime.combine(day, time())
    stretches = (
        (
            first_instant(midnight + stretch.opens * MINUTE, zone),
            last_instant(midnight + stretch.closes * MINUTE, zone),
        )
        for stretch in hours.on(day)
    )
    return tuple(joined(stretches))


def open_between(
    hours: OpeningHours, zone: ZoneInfo, start: datetime, end: datetime
) -> list[Interval]:
    """The open stretches that meet `[start, end)`, each in full as far as neighbouring days go."""
    day = local(start, zone).date() - ONE_DAY
    last = local(end, zone).date()
    found: list[Interval] = []
    while day <= last:
        found += _opening_on(day, hours, zone)
        day += ONE_DAY
    return [stretch for stretch in joined(found) if stretch[0] < end and start < stretch[1]]


def covers(hours: OpeningHours, zone: ZoneInfo, slot: Slot) -> bool:
    """Whether the club is open during the whole slot; a stretch may run on from day to day."""
    return any(
        opens <= slot.starts_at and slot.ends_at <= closes
        for opens, closes in open_between(hours, zone, slot.starts_at, slot.ends_at)
    )


def joined(intervals: Iterable[Interval]) -> list[Interval]:
    """The same time in as few intervals as possible, in order; empty ones vanish."""
    found: list[Interval] = []
    for start, end in sorted(interval for interval in intervals if interval[0] < interval[1]):
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], end))
        else:
            found.append((start, end))
    return found
