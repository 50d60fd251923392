"""What is asked of the library: bookings, herds, cancellations, availability, search."""

from __future__ import annotations

import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING

from booking_peers import EMAIL, PLAYER, RawReader
from booking_stage import FIRST_START, HOUR

from padelops.booking.availability import Availability, AvailabilityDesk
from padelops.booking.search import SearchRequest
from padelops.errors import CourtTaken, PadelopsError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from padelops.wiring import Desk

WARM_UP = 8
"""Calls of each thread before the clock starts, as pgbench does not count connecting either."""

TOGETHER_S = 30
"""How long a herd waits for a member that is lost."""


def rate_in_threads(
    work: Callable[[int, int], object],
    *,
    threads: int,
    seconds: float | None = None,
    each: int | None = None,
) -> tuple[float, int]:
    """
    Calls per second of `work(thread, nth)`, and how many there were.

    The calls for warming up have numbers of their own and are not counted.

    Args:
        seconds, each: how long to run, or how many calls for each thread.
    """
    stop = threading.Event()

    def warm_up(thread: int) -> None:
        for nth in range(WARM_UP):
            work(thread, nth)

    def run(thread: int) -> int:
        nth = WARM_UP
        while nth - WARM_UP != each and not stop.is_set():
            work(thread, nth)
            nth += 1
        return nth - WARM_UP

    with ThreadPoolExecutor(threads) as crew:
        try:
            list(crew.map(warm_up, range(threads)))
            began = time.perf_counter()
            running = [crew.submit(run, thread) for thread in range(threads)]
            if seconds is not None:
                stop.wait(seconds)
                stop.set()
            done = sum(one.result() for one in running)
            return done / (time.perf_counter() - began), done
        finally:
            stop.set()


def text_of(start: datetime) -> str:
    """A start as callers write it."""
    return f"{start:%Y-%m-%dT%H:%M}Z"


@dataclass(frozen=True)
class Bookings:
    """Bookings of hours that nobody else wants, with every rule of the library."""

    desk: Desk
    club: str

    def rate(
        self, *, first_court: int, first_start: datetime, threads: int, seconds: float, hot: bool
    ) -> tuple[float, int]:
        """
        Bookings per second, and how many.

        Args:
            hot: all threads on the one court; else each on a court of its own.
        """

        def book(thread: int, nth: int) -> None:
            court = first_court if hot else first_court + thread
            hours = nth * threads + thread if hot else nth
            self.desk.book(
                f"{self.club}/{court}",
                text_of(first_start + hours * HOUR),
                player=PLAYER,
                email=EMAIL,
            )

        return rate_in_threads(book, threads=threads, seconds=seconds)


@dataclass(frozen=True)
class Herd:
    """What came of many threads wanting the same slots at the same moment."""

    slots: int
    threads: int
    answers: Counter[str]
    worst_s: float


def herd(desk: Desk, club: str, court: int, *, slots: int, threads: int) -> Herd:
    """All threads ask for slot after slot together; who did not win must hear `court_taken`."""
    together = threading.Barrier(threads)
    answers: Counter[str] = Counter()
    worst = [0.0] * threads

    def want(thread: int) -> None:
        for nth in range(slots):
            together.wait(TOGETHER_S)
            began = time.perf_counter()
            try:
                desk.book(f"{club}/{court}", text_of(FIRST_START + nth * HOUR), player=PLAYER)
                answer = "won"
            except CourtTaken as exc:
                answer = exc.code
            except PadelopsError as exc:
                answer = f"unexpected: {exc.code}"
            answers[answer] += 1
            worst[thread] = max(worst[thread], time.perf_counter() - began)

    with ThreadPoolExecutor(threads) as crew:
        list(crew.map(want, range(threads)))
    return Herd(slots, threads, answers, max(worst))


@dataclass(frozen=True)
class ClubDay:
    """One busy day of a club as the library answers for it, and the facts the raw peer needs."""

    desk: Desk
    club: str
    opens: datetime
    closes: datetime

    LENGTH = timedelta(minutes=90)
    STEP = timedelta(minutes=30)

    def fill(self) -> None:
        """Sell about half of the day, in a pattern that leaves gaps of all sizes."""
        courts = sorted(self.desk.catalogue.club(self.club).courts.values(), key=lambda one: one.id)
        for number, court in enumerate(courts):
            start = self.opens + (number % 4) * self.STEP
            while start + self.LENGTH <= self.closes:
                self.desk.book(court.address, text_of(start), player=PLAYER, minutes=90)
                start += self.LENGTH + (1 + number % 3) * HOUR

    @cached_property
    def answers(self) -> AvailabilityDesk:
        desk = self.desk
        guard = desk.breakers["availability_check"].guard
        return AvailabilityDesk(desk.database, desk.catalogue, desk.cache, desk.counts, guard)

    def uncached(self) -> Availability:
        """The day, read from the claims themselves."""
        return self.answers.of_day(
            self.club, self.opens.date(), now=self.desk.now(), minutes=90, use_cache=False
        )

    def cached(self) -> Availability:
        """The same through the cache in the database."""
        return self.desk.availability(self.club, self.opens.date(), minutes=90)

    def agrees_with(self, raw: RawReader) -> bool:
        """Whether all do the same work: they find the same starts, and the cache is hit."""
        courts = self.desk.catalogue.club(self.club).courts
        theirs = raw.free()
        same = all(
            theirs[courts[one.court].id] == [free.starts_at for free in one.starts]
            for one in self.uncached().courts
        )
        kept, again = self.cached(), self.cached()
        return same and again.from_cache and kept.courts == again.courts == self.uncached().courts


class Searches:
    """A mix of searches as a front desk makes them, pages of 50."""

    PAGE = 50
    DEEP = 0.6
    """How far into a club's reservations the deep page lies."""

    def __init__(self, desk: Desk, clubs: list[str], *, rows: int, first_start: datetime) -> None:
        self.desk = desk
        hours = rows // (len(clubs) * 10)
        requests: list[SearchRequest] = []
        for nth, club in enumerate(clubs):
            day = (first_start + timedelta(hours=hours * (nth + 1) // (len(clubs) + 1))).date()
            week = day + timedelta(days=6)
            requests += [
                SearchRequest(club=club, since=day, until=day),
                SearchRequest(club=club, since=day, until=week, status=("confirmed",)),
                SearchRequest(
                    club=club, since=day, until=week, status=("cancelled",), payment_status=("due",)
                ),
                SearchRequest(club=club, court="3", since=day),
                SearchRequest(since=day, until=week, status=("no_show",)),
                SearchRequest(email=f"Player{nth * 7}@example.com"),
                SearchRequest(club=club, name="player 12", since=day, until=week),
            ]
        self.requests = [*requests, *self._deep(clubs[:2], hours * 10)]

    def _deep(self, clubs: list[str], rows_of_a_club: int) -> Iterator[SearchRequest]:
        for club in clubs:
            cursor = None
            for _ in range(int(rows_of_a_club * self.DEEP) // 500):
                page = self.desk.search(SearchRequest(club=club, limit=500, cursor=cursor))
                cursor = page.next_cursor
            yield SearchRequest(club=club, cursor=cursor)

    def seconds(self) -> list[float]:
        """What each search of the mix took."""
        taken = []
        for request in self.requests:
            began = time.perf_counter()
            self.desk.search(request)
            taken.append(time.perf_counter() - began)
        return taken
