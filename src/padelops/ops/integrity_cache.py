"""
The cache beside the tables: a kept day that would be told, and is not what the tables say.

A kept day is used only under a stamp that the database confirms, so a wrong one can only come from
somebody who writes into the cache, or from a fault in padelops. Days that no reader would be told
(an old stamp, a broken checksum) are harmless, and pass.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from padelops.booking.club_time import parse_date
from padelops.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from padelops.booking.availability import Availability, AvailabilityDesk
    from padelops.booking.cache import Cache, Contents

DAYS = "reservation_availability:"
"""How the keys of kept days begin; see `AvailabilityDesk`."""

MOST_DAYS = 2000
"""Kept days that are compared, the newest first."""


class OnlyRead:
    """A cache that takes nothing in: looking at it must not fill it."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache

    def get(self, key: str) -> tuple[str, str] | None:
        return self._cache.get(key)

    def put(self, key: str, stamp: str, value: str, *, ttl_s: int) -> None:
        """Take nothing in."""

    def count(self, pattern: str) -> int:
        return self._cache.count(pattern)

    def keys(self, pattern: str, *, limit: int) -> list[str]:
        return self._cache.keys(pattern, limit=limit)

    def purge(self, pattern: str, *, batch: int) -> Iterator[int]:
        """Delete nothing."""
        del pattern, batch
        return iter(())

    def contents(self, *, most: int) -> Contents:
        return self._cache.contents(most=most)

    def close(self) -> None:
        """The cache belongs to the desk."""


@dataclass(frozen=True, slots=True)
class CachedDays:
    """Compares what is kept with what is computed; called with now."""

    availability: AvailabilityDesk
    """On an `OnlyRead` cache."""

    def __call__(self, now: datetime) -> Iterator[tuple[str, str]]:
        """
        The keys of kept days that lie, and how.

        Raises:
            CacheUnavailable, DatabaseUnavailable: it could not be compared.
        """
        for key in self.availability.cache.keys(f"{DAYS}*", limit=MOST_DAYS):
            # Once more where they differ: somebody may have booked between the two readings.
            problem = self._problem(key, now) and self._problem(key, now)
            if problem:
                yield key, problem

    def _problem(self, key: str, now: datetime) -> str | None:
        parts = key.removeprefix(DAYS).split(":")
        try:
            slug, court, day, minutes = parts
            of_day = partial(
                self.availability.of_day,
                slug,
                parse_date(day),
                now=now,
                minutes=int(minutes),
                court=None if court == "*" else court,
            )
            told = of_day()
            if not told.from_cache:
                return None
            true = of_day(use_cache=False)
        except (ValueError, Refused):
            return None  # no reader can ask for it
        return _difference(told, true)


def _difference(told: Availability, true: Availability) -> str | None:
    kept = {(one.court, free) for one in told.courts for free in one.starts}
    free = {(one.court, start) for one in true.courts for start in one.starts}
    if kept == free:
        return None
    court, start = min(kept ^ free, key=lambda one: (one[1].starts_at, one[0]))
    which = "free" if (court, start) in kept else "taken"
    at = start.starts_at.isoformat(timespec="minutes")
    return f"it shows {len(kept ^ free)} starts wrongly, {told.club}/{court} {at} as {which}"
