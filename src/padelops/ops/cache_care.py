"""
What an operator does about the cache: look at it, clear part of it, fill it in advance.

None of it can make an answer wrong: a kept value is used only under the stamp that the database
confirms, so a purge costs some computing and nothing else.

Source: CRITICAL_PATHS.md, "Clear Problematic Cache" (`cache.delete_pattern('reservation_*')`) and
path 4 (cache hit rate > 80%).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from padelops.errors import SafetyGate

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import date, datetime

    from padelops.booking.availability import AvailabilityDesk
    from padelops.booking.cache import Cache, Contents

BATCH = 500
"""Keys deleted at once: a purge that is broken off has deleted whole batches, and blocks nobody."""

ANSWERS = "reservation_availability:*"
"""The keys of what is free, as `booking/availability.py` writes them."""

MOST_LOOKED_AT = 200_000
MOST_DAYS = 31

GOAL_PERCENT = 80
"""Source: CRITICAL_PATHS.md, path 4, "Performance Requirements"."""


def checked_pattern(pattern: str) -> str:
    """
    A pattern that names something; in it only `*` is special.

    Raises:
        SafetyGate: it is empty, or matches whatever there is.
    """
    if not pattern.replace("*", "").strip(" :_"):
        raise SafetyGate(
            "A purge of everything is refused.", fix="Name what to purge, such as 'reservation_*'."
        )
    return pattern


def delete_pattern(cache: Cache, pattern: str) -> int:
    """
    Delete every key that matches; how many there were.

    Raises:
        SafetyGate: see `checked_pattern`. CacheUnavailable: it is away; part may be deleted.
    """
    return sum(cache.purge(checked_pattern(pattern), batch=BATCH))


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheStats:
    """
    What the cache keeps, and how often it had what was asked for.

    Attributes:
        counted: `cache.hit`, `cache.miss` and `cache.error` within the window; None where the
            database, which has the counts, is away.
    """

    contents: Contents
    window_h: int
    counted: Mapping[str, int] | None

    @property
    def hits(self) -> int:
        return 0 if self.counted is None else self.counted.get("cache.hit", 0)

    @property
    def asked(self) -> int:
        """How often it was asked and answered."""
        return 0 if self.counted is None else self.hits + self.counted.get("cache.miss", 0)

    @property
    def hit_percent(self) -> float | None:
        """None where nobody asked, or nobody knows."""
        return 100 * self.hits / self.asked if self.asked else None

    @property
    def reaches_goal(self) -> bool | None:
        return None if self.hit_percent is None else self.hit_percent > GOAL_PERCENT

    def as_json(self) -> dict[str, Any]:
        kept = self.contents
        return {
            "where": kept.where,
            "entries": kept.entries,
            "complete": kept.complete,
            "size_bytes": kept.size_bytes,
            "oldest_s": None if kept.oldest_s is None else round(kept.oldest_s, 1),
            "newest_s": None if kept.newest_s is None else round(kept.newest_s, 1),
            "window_h": self.window_h,
            "asked": None if self.counted is None else self.asked,
            "hits": None if self.counted is None else self.hits,
            "errors": None if self.counted is None else self.counted.get("cache.error", 0),
            "hit_percent": None if self.hit_percent is None else round(self.hit_percent, 2),
            "goal_percent": GOAL_PERCENT,
            "reaches_goal": self.reaches_goal,
            "kinds": [{"kind": kind, "entries": n} for kind, n in kept.kinds.items()],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Warmed:
    """
    A club's days that were asked for in advance.

    Attributes:
        computed, kept: days that were put into the cache, and that were in there already.
        uncertain: days about which the database did not answer.
    """

    club: str
    computed: int
    kept: int
    uncertain: int

    def as_json(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}


def warm(
    desk: AvailabilityDesk,
    club: str,
    days: Sequence[date],
    *,
    minutes: int | None,
    now: datetime,
) -> Warmed:
    """Ask about each day as a customer would: what is not kept is computed and kept."""
    found = [desk.of_day(club, day, now=now, minutes=minutes) for day in days[:MOST_DAYS]]
    kept = sum(one.from_cache for one in found)
    uncertain = sum(not one.certain for one in found)
    return Warmed(club=club, computed=len(found) - kept - uncertain, kept=kept, uncertain=uncertain)
