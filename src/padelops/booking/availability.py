"""
Critical path 4 (level 2): which starts are free on a day, and what they cost, without a doubt.

    hours -> courts -> live claims -> free stretches -> bookable starts -> priced

A read that begins after an acknowledgement never shows the slot free: an answer comes either from
the claims themselves or from a cache whose stamp the database has just confirmed (cache.py). When
the database cannot be asked, the answer is conservative and says so: nothing is bookable.

Source: CRITICAL_PATHS.md, path 4; DESIGN.md section 4.4.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from padelops.booking.cache import Cache, cached
from padelops.booking.club_time import local
from padelops.booking.opening_hours import Interval, covers, open_intervals
from padelops.booking.pricing import UNCOMPUTABLE, fallback_quote, total_of
from padelops.errors import DatabaseUnavailable, RuleBroken
from padelops.model import Slot
from padelops.store import claims

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from padelops.booking.clubs import Catalogue, Club, Court
    from padelops.booking.counts import Counts
    from padelops.store.claims import LiveClaim
    from padelops.store.engine import Database

NEARBY = timedelta(hours=3)
"""How far from the wish an alternative may lie."""

MOST_ALTERNATIVES = 6


@dataclass(frozen=True, slots=True)
class FreeStart:
    """A start that can be booked now, and its total in the club's currency."""

    starts_at: datetime
    total: Decimal


@dataclass(frozen=True, slots=True)
class CourtDay:
    """One court on one day: the starts that can be booked for the length asked for."""

    court: str
    in_service: bool
    starts: tuple[FreeStart, ...]


@dataclass(frozen=True, slots=True)
class Availability:
    """
    A club's day. Times are aware UTC; `as_json` shows them in the club's zone.

    Attributes:
        open: the stretches in which the club is open.
        certain: False when the database could not be asked: then nothing is shown as bookable.
        from_cache: the answer was kept under a stamp that is still true.
    """

    club: str
    zone: str
    day: date
    minutes: int
    currency: str
    open: tuple[Interval, ...]
    courts: tuple[CourtDay, ...]
    certain: bool = True
    from_cache: bool = False

    def as_json(self) -> dict[str, Any]:
        from padelops.booking.club_time import zone  # noqa: PLC0415 - only people need it

        at = zone(self.zone)
        return {
            "club": self.club,
            "date": self.day.isoformat(),
            "time_zone": self.zone,
            "minutes": self.minutes,
            "currency": self.currency,
            "certain": self.certain,
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
                            "starts_at": local(free.starts_at, at).isoformat(),
                            "total": f"{free.total:f}",
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
            DatabaseUnavailable: it is away and this process has not seen the club before.
        """
        try:
            club = self.catalogue.current(slug)
        except DatabaseUnavailable:
            club = self.catalogue.club(slug)
        minutes = _bookable_minutes(club, minutes)
        courts = list(club.courts.values()) if court is None else [club.court(court)]
        stretches = open_intervals(club.hours, club.zone, day)
        try:
            starts, from_cache = self._starts(
                club, courts, stretches, day, minutes, now, use_cache=use_cache
            )
        except DatabaseUnavailable:
            self.counts.add("availability.uncertain")
            starts, from_cache, certain = {}, False, False
        else:
            certain = True
        return Availability(
            club=club.slug,
            zone=str(club.zone),
            day=day,
            minutes=minutes,
            currency=club.currency,
            open=tuple(stretches),
            courts=tuple(
                CourtDay(one.name, one.in_service, tuple(_from(starts.get(one.id, ()), now)))
                for one in courts
            ),
            certain=certain,
            from_cache=from_cache,
        )

    def alternatives(
        self, club: Club, court: Court, slot: Slot, now: datetime
    ) -> list[dict[str, Any]]:
        """Free slots of the same length near one that is taken, the nearest first."""
        window = (slot.starts_at - NEARBY, slot.ends_at + NEARBY)
        courts = [one for one in club.courts.values() if one.in_service]
        with self.database.reading() as tx:
            taken = claims.of_courts(tx, [one.id for one in courts], *_reach(club, window))
        step = timedelta(minutes=club.rules.slot_step_minutes)
        steps = NEARBY // step
        wishes = [
            Slot.starting(start, slot.minutes)
            for start in (slot.starts_at + step * n for n in range(-steps, steps + 1))
            if start >= now and covers(club.hours, club.zone, Slot.starting(start, slot.minutes))
        ]
        free = [
            (wish, one)
            for one in courts
            for wish in _free(wishes, _busy(taken, one.id, now), club.rules.buffer_minutes)
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

    def _starts(
        self,
        club: Club,
        courts: Sequence[Court],
        stretches: list[Interval],
        day: date,
        minutes: int,
        now: datetime,
        *,
        use_cache: bool,
    ) -> tuple[dict[int, list[FreeStart]], bool]:
        if not stretches:
            return {}, False
        ids = [court.id for court in courts]
        window = _reach(club, (stretches[0][0], stretches[-1][1] + timedelta(minutes=minutes)))

        def compute() -> str:
            with self.database.reading() as tx:
                taken = claims.of_courts(tx, ids, *window)
            return _packed(_free_starts(club, courts, stretches, minutes, taken, now), taken, now)

        if not use_cache:
            return _unpacked(json.loads(compute())), False
        with self.database.reading() as tx:
            stamp = claims.stamp_of_courts(tx, ids, *window)
        which = courts[0].name if len(courts) == 1 else "*"
        key = f"reservation_availability:{club.slug}:{which}:{day}:{minutes}"
        value, hit = cached(self.cache, self.counts, key, stamp, compute)
        packed = json.loads(value)
        if hit and packed["until"] is not None and packed["until"] <= now.timestamp():
            # A hold in it has run out since, which changes no row: that court is free again.
            packed, hit = json.loads(compute()), False
        return _unpacked(packed), hit


def _free_starts(
    club: Club,
    courts: Sequence[Court],
    stretches: Iterable[Interval],
    minutes: int,
    taken: list[LiveClaim],
    now: datetime,
) -> dict[int, list[FreeStart]]:
    step = timedelta(minutes=club.rules.slot_step_minutes)
    wishes = []
    for opens, closes in stretches:
        start = opens
        while start < closes:
            wish = Slot.starting(start, minutes)
            if wish.ends_at <= closes or covers(club.hours, club.zone, wish):
                wishes.append(wish)
            start += step
    return {
        court.id: [
            FreeStart(wish.starts_at, _total(club, court, wish))
            for wish in _free(wishes, _busy(taken, court.id, now), club.rules.buffer_minutes)
        ]
        for court in courts
        if court.in_service
    }


def _busy(taken: Iterable[LiveClaim], court_id: int, now: datetime) -> list[Interval]:
    """When a court is kept: by claims in order of start, without holds that have run out."""
    return [
        (claim.starts_at, claim.free_at)
        for claim in taken
        if claim.court_id == court_id and (claim.expires_at is None or claim.expires_at > now)
    ]


def _free(wishes: Iterable[Slot], busy: list[Interval], buffer_minutes: int) -> Iterable[Slot]:
    """The wishes, in order of start, that overlap nothing; claims are in order and disjoint."""
    buffer = timedelta(minutes=buffer_minutes)
    at = 0
    for wish in wishes:
        while at < len(busy) and busy[at][1] <= wish.starts_at:
            at += 1
        if at == len(busy) or wish.ends_at + buffer <= busy[at][0]:
            yield wish


def _total(club: Club, court: Court, slot: Slot) -> Decimal:
    try:
        return total_of(club.tariff(), court.name, slot)
    except UNCOMPUTABLE as exc:
        return fallback_quote(
            slot,
            default_hourly_price=club.default_hourly_price,
            currency=club.currency,
            reason=str(exc),
        ).total


def _reach(club: Club, window: Interval) -> Interval:
    """The window widened by the buffer, within which a claim could be in the way."""
    return window[0], window[1] + timedelta(minutes=club.rules.buffer_minutes)


def _from(starts: Iterable[FreeStart], now: datetime) -> Iterable[FreeStart]:
    return (free for free in starts if free.starts_at >= now)


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


def _packed(starts: dict[int, list[FreeStart]], taken: Iterable[LiveClaim], now: datetime) -> str:
    """What is cached: minutes since the epoch and totals by court, and until when it is true."""
    expiries = [
        claim.expires_at.timestamp()
        for claim in taken
        if claim.expires_at is not None and claim.expires_at > now
    ]
    return json.dumps(
        {
            "until": min(expiries, default=None),
            "courts": {
                court_id: [
                    [int(free.starts_at.timestamp()) // 60, str(free.total)] for free in found
                ]
                for court_id, found in starts.items()
            },
        },
        separators=(",", ":"),
    )


def _unpacked(packed: dict[str, Any]) -> dict[int, list[FreeStart]]:
    return {
        int(court_id): [
            FreeStart(datetime.fromtimestamp(minute * 60, UTC), Decimal(total))
            for minute, total in found
        ]
        for court_id, found in packed["courts"].items()
    }
