"""
Critical path 4 (level 2): which starts are free on a day, and what they cost, without a doubt.

    hours -> courts -> live claims -> free stretches -> bookable starts -> priced

A read that begins after an acknowledgement never shows the slot free: an answer comes either from
the claims themselves or from a cache whose stamp the database has just confirmed (cache.py). When
the database cannot be asked, the answer is conservative and says so: nothing is bookable.

Source: CRITICAL_PATHS.md, path 4; DESIGN.md section 4.4.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from padelops.booking.cache import Cache, cached
from padelops.booking.club_time import checked_day, local
from padelops.booking.kept_days import packed, unpacked
from padelops.booking.offers import FreeStart, Offers, offers_of
from padelops.booking.opening_hours import Interval, covers
from padelops.errors import BreakerOpen, CourtBusy, DatabaseUnavailable, Refused, RuleBroken
from padelops.model import Slot
from padelops.store import claims

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from contextlib import AbstractContextManager

    from padelops.booking.clubs import Catalogue, Club, Court
    from padelops.booking.counts import Counts
    from padelops.store.claims import LiveClaim
    from padelops.store.engine import Database

NEARBY = timedelta(hours=3)
"""How far from the wish an alternative may lie."""

MOST_ALTERNATIVES = 6

UNANSWERED = "The database did not answer."
"""All that is told: customers read this, and a driver's words name hosts."""

MOST_READS = 3
"""How often a day is read anew when its club keeps changing under it."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class CourtDay:
    """One court on one day: the starts that can be booked for the length asked for."""

    court: str
    in_service: bool
    starts: tuple[FreeStart, ...]


class TermsMoved(Refused):
    """The club has changed since this process read it."""  # an answer: no breaker counts it


@dataclass(frozen=True, slots=True)
class Availability:
    """
    A club's day. Times are aware UTC; `as_json` shows them in the club's zone.

    Attributes:
        open: the stretches in which the club is open.
        doubt: why the database could not be asked, and nothing is shown as bookable; else empty.
        from_cache: the answer was kept under a stamp that is still true.
    """

    club: str
    zone: str
    day: date
    minutes: int
    currency: str
    open: tuple[Interval, ...]
    courts: tuple[CourtDay, ...]
    doubt: str = ""
    from_cache: bool = False

    @property
    def certain(self) -> bool:
        return not self.doubt

    def as_json(self) -> dict[str, Any]:
        from padelops.booking.club_time import zone  # noqa: PLC0415 - only people need it

        at = zone(self.zone)
        # Once for each start and not for each court: most of what a day's document costs.
        shown = {
            start: local(start, at).isoformat()
            for start in {free.starts_at for court in self.courts for free in court.starts}
        }
        return {
            "club": self.club,
            "date": self.day.isoformat(),
            "time_zone": self.zone,
            "minutes": self.minutes,
            "currency": self.currency,
            "certain": self.certain,
            "doubt": self.doubt or None,
            "from_cache": self.from_cache,
            "open": [
                [local(start, at).isoformat(), local(end, at).isoformat()]
                for start, end in self.open
            ],
            "courts": [
                {
                    "court": f"{self.club}/{court.court}",
                    "in_service": court.in_service,
                    "free": [
                        {
                            "starts_at": shown[free.starts_at],
                            "total": f"{free.total:f}",
                            "fallback": free.fallback,
                        }
                        for free in court.starts
                    ],
                }
                for court in self.courts
            ],
        }


@dataclass(frozen=True, slots=True)
class AvailabilityDesk:
    """Answers what is free, with a cache that cannot lie beside the database."""

    database: Database
    catalogue: Catalogue
    cache: Cache
    counts: Counts
    guard: Callable[[], AbstractContextManager[object]] = nullcontext
    """The breaker `availability_check`."""
    exact_prices: Callable[[], bool] = lambda: True
    """Whether the breaker `price_calculation` lets everything through: what is shown is charged."""

    def of_day(
        self,
        slug: str,
        day: date,
        *,
        now: datetime,
        minutes: int | None = None,
        court: str | None = None,
        use_cache: bool = True,
    ) -> Availability:
        """
        The bookable starts of a club's day, or of one court's.

        Args:
            day: the club's local date; a night past midnight belongs to the day it opens on.

        Raises:
            NotFound: no such club or court. RuleBroken: the club does not book that many minutes.
            InvalidInput: a year outside 2000-2099.
            DatabaseUnavailable: it is away and this process has not seen the club before.
        """
        checked_day(day)
        club = self.catalogue.club(slug)
        for _ in range(MOST_READS):
            try:
                return self._of_day(club, day, now, minutes, court, use_cache=use_cache)
            except TermsMoved:
                club = self.catalogue.read(slug)
            except Refused:
                # What this process knows of the club may be old: refuse only on what is in force.
                latest = self._latest(club)
                if latest is club:
                    raise
                club = latest
        raise CourtBusy("The club's terms keep changing.")

    def _latest(self, club: Club) -> Club:
        try:
            return self.catalogue.current(club.slug)
        except DatabaseUnavailable:
            return club

    def _of_day(
        self,
        club: Club,
        day: date,
        now: datetime,
        minutes: int | None,
        court: str | None,
        *,
        use_cache: bool,
    ) -> Availability:
        minutes = _bookable_minutes(club, minutes)
        courts = list(club.courts.values()) if court is None else [club.court(court)]
        offers = offers_of(club, day, minutes, default_prices=not self.exact_prices())
        doubt = ""
        try:
            with self.guard():
                free, from_cache = self._free(
                    club, courts, offers, day, minutes, now, use_cache=use_cache
                )
        except (DatabaseUnavailable, CourtBusy, BreakerOpen) as exc:
            self.counts.add("availability.uncertain")
            free, from_cache = {}, False
            doubt = exc.message if isinstance(exc, BreakerOpen) else UNANSWERED
        return Availability(
            club=club.slug,
            zone=club.zone.key,
            day=day,
            minutes=minutes,
            currency=club.currency,
            open=offers.open,
            courts=tuple(
                CourtDay(one.name, one.in_service, _from(free.get(one.id, ()), now))
                for one in courts
            ),
            doubt=doubt,
            from_cache=from_cache,
        )

    def alternatives(
        self, club: Club, court: Court, slot: Slot, now: datetime
    ) -> list[dict[str, Any]]:
        """Free slots of the same length near one that is taken, the nearest first."""
        window = (slot.starts_at - NEARBY, slot.ends_at + NEARBY)
        courts = [one for one in club.courts.values() if one.in_service]
        with self.database.reading() as tx:
            _, taken = claims.of_courts(
                tx, club.id, [one.id for one in courts], *_reach(club, window)
            )
        step = timedelta(minutes=club.rules.slot_step_minutes)
        steps = NEARBY // step
        wishes = [
            Slot.starting(start, slot.minutes)
            for start in (slot.starts_at + step * n for n in range(-steps, steps + 1))
            if start >= now and covers(club.hours, club.zone, Slot.starting(start, slot.minutes))
        ]
        starts, busy = [wish.starts_at for wish in wishes], _busy(taken, now)
        needs = timedelta(minutes=slot.minutes + club.rules.buffer_minutes)
        free = [
            (wish, one)
            for one in courts
            for wish in _untaken(wishes, starts, busy.get(one.id, ()), needs)
        ]
        free.sort(
            key=lambda found: (
                abs(found[0].starts_at - slot.starts_at) + (step / 2) * (found[1].id != court.id),
                found[1].id,
            )
        )
        return [
            {
                "court": one.address,
                "starts_at": local(wish.starts_at, club.zone).isoformat(),
                "minutes": wish.minutes,
            }
            for wish, one in free[:MOST_ALTERNATIVES]
        ]

    def _free(
        self,
        club: Club,
        courts: Sequence[Court],
        offers: Offers,
        day: date,
        minutes: int,
        now: datetime,
        *,
        use_cache: bool,
    ) -> tuple[Mapping[int, Sequence[FreeStart]], bool]:
        if not offers.starts:
            return {}, False
        ids = [court.id for court in courts]
        needs = timedelta(minutes=minutes + club.rules.buffer_minutes)
        window = offers.starts[0], offers.starts[-1] + needs

        def read() -> list[LiveClaim]:
            with self.database.reading() as tx:
                state, taken = claims.of_courts(tx, club.id, ids, *window)
            if state != club.state:
                raise TermsMoved
            return taken

        def free_of(taken: list[LiveClaim]) -> dict[int, list[FreeStart]]:
            busy = _busy(taken, now)
            return {
                court_id: _untaken(
                    offers.priced[court_id], offers.starts, busy.get(court_id, ()), needs
                )
                for court_id in ids
                if court_id in offers.priced
            }

        def compute() -> tuple[dict[int, list[FreeStart]], str]:
            taken = read()
            free = free_of(taken)
            return free, packed(free, taken, now)

        if not use_cache:
            return free_of(read()), False
        with self.database.reading() as tx:
            state, stamp = claims.stamp_of_courts(tx, club.id, ids, *window)
        if state != club.state:
            raise TermsMoved
        which = courts[0].name if len(courts) == 1 else "*"
        key = f"reservation_availability:{club.slug}:{which}:{day}:{minutes}"
        return cached(
            self.cache,
            self.counts,
            key,
            stamp,
            read=lambda text: unpacked(text, ids, offers, now),
            compute=compute,
        )


def _busy(taken: Iterable[LiveClaim], now: datetime) -> dict[int, list[Interval]]:
    """When each court is kept: by claims in order of start, without holds that have run out."""
    busy: dict[int, list[Interval]] = {}
    for claim in taken:
        if claim.keeps(now):
            busy.setdefault(claim.court_id, []).append((claim.starts_at, claim.free_at))
    return busy


def _untaken(
    wishes: Sequence[T], starts: Sequence[datetime], busy: Iterable[Interval], needs: timedelta
) -> list[T]:
    """
    The wishes that overlap nothing; a claim stands in the way of those in `(start - needs, end)`.

    Args:
        starts: when each wish starts, in order.
        busy: in order of start.
        needs: the court time a wish takes, with its buffer.
    """
    free: list[T] = []
    at = 0
    for kept_from, kept_until in busy:
        free += wishes[at : bisect_right(starts, kept_from - needs, at)]
        at = bisect_left(starts, kept_until, at)
    free += wishes[at:]
    return free


def _reach(club: Club, window: Interval) -> Interval:
    """The window widened by the buffer, within which a claim could be in the way."""
    return window[0], window[1] + timedelta(minutes=club.rules.buffer_minutes)


def _from(starts: Sequence[FreeStart], now: datetime) -> tuple[FreeStart, ...]:
    """The starts, which are in order, that are not past."""
    if starts and starts[0].starts_at < now:
        return tuple(free for free in starts if free.starts_at >= now)
    return tuple(starts)


def _bookable_minutes(club: Club, minutes: int | None) -> int:
    rules = club.rules
    if minutes is None:
        return rules.default_minutes
    if not rules.min_minutes <= minutes <= rules.max_minutes or minutes % rules.slot_step_minutes:
        raise RuleBroken(
            f"{club.slug} books {rules.min_minutes} to {rules.max_minutes} minutes"
            f" in steps of {rules.slot_step_minutes}, not {minutes}.",
            rule="minutes",
        )
    return minutes
