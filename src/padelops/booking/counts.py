"""
What a process does is counted in it, and added to the database's minutes now and then.

Counting takes a microsecond and no lock: what is heard goes onto a queue, and whoever finds it
long sorts it into minutes. A flush adds the minutes to the tables in one numbered batch, so one
whose answer was lost is sent again and counts once. While the database is away minutes are kept;
when there are too many, the two oldest become one: coarser, but nothing is forgotten.

What is given up: the counts since the last flush of a process that is killed.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import uuid4

from padelops.booking.operations import Outcome, Series, Tally, Timed, series
from padelops.errors import DatabaseUnavailable
from padelops.model import Door, Origin
from padelops.store import counts as rows

if TYPE_CHECKING:
    from collections.abc import Callable

    from padelops.store.engine import Database

SORT_AT = 256
"""So many events wait before somebody sorts them; the rest of a second's bookings pay nothing."""

MOST_MINUTES = 240
"""Kept for a database that is away: four hours by the minute."""

MOST_SERIES = 500
"""Of one minute. What is counted has names of ours; this is for the day when one has not."""

LONGEST_WAIT_S = 2
"""For a flush that is under way: whoever closes a desk must not hang with it."""

OVERFLOW = "other"

KEPT_FOR = timedelta(days=35)
"""Objectives look at 30 days; five more for whoever asks late."""

FINE_FOR = timedelta(days=4)
"""By the minute, then by the hour: the longest window that burn rates look at is three days."""

ONE_MINUTE = timedelta(minutes=1)
NEVER = datetime.min.replace(tzinfo=UTC)

_ORIGIN = Origin("counts", Door.LIBRARY)

Heard = tuple[datetime, "str | Series", float]
"""When, a name or what kind of operation, how many or how many seconds."""


@dataclass(slots=True)
class Sums:
    """What was counted, by name, and of operations by path, outcome and code."""

    names: dict[str, int] = field(default_factory=dict)
    tallies: dict[Series, Tally] = field(default_factory=dict)

    def merge(self, other: Sums) -> None:
        for name, n in other.names.items():
            self.names[name] = self.names.get(name, 0) + n
        for one, tally in other.tallies.items():
            (self.tallies.get(one) or self.begun(one)).merge(tally)

    def begun(self, one: Series) -> Tally:
        """The tally for a kind of operation that was not heard of before."""
        if len(self.tallies) >= MOST_SERIES:
            one = (*one[:2], OVERFLOW)
        return self.tallies.setdefault(one, Tally())


@dataclass(frozen=True, slots=True)
class Batch:
    """Minutes on their way to the database, under the number that makes them count once."""

    number: int
    minutes: dict[datetime, Sums]


class Counts:
    """
    One process's counters and times. Thread-safe.

    Args:
        clock: says in which minute something ended.
    """

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._start_over()
        _EVERY.add(self)

    def _start_over(self) -> None:
        # Also in a forked child: what its parent has counted, the parent flushes.
        self.process = uuid4().hex
        self._heard: deque[Heard] = deque()
        self._sorting = threading.Lock()
        self._flushing = threading.Lock()
        self._minutes: dict[datetime, Sums] = {}
        self._written = Sums()
        self._batches = 0
        self._unsettled: Batch | None = None

    # --- counting -----------------------------------------------------------------------------

    def add(self, name: str, n: int = 1) -> None:
        """Count something by name, such as `cache.hit`."""
        self._hear(name, n)

    def took(self, path: str, outcome: Outcome, code: str, seconds: float) -> None:
        """
        Count an operation that has ended.

        Args:
            path: its module's name in CRITICAL_PATHS.
            code: which refusal or failure it was; empty for success.
        """
        self._hear(series(path, outcome, code), seconds)

    def timed(self, path: str) -> Timed:
        """Count what becomes of the body of a `with` statement, and how long it takes."""
        return Timed(path, self._hear)

    def _hear(self, what: str | Series, amount: float) -> None:
        heard = self._heard
        heard.append((self._clock(), what, amount))
        if len(heard) >= SORT_AT:
            self._sort_if_nobody_does()

    # --- asking -------------------------------------------------------------------------------

    def since_start(self) -> Sums:
        """Everything this process has counted, written down or not: a copy."""
        with self._sorting:
            self._sort()
            every = Sums()
            every.merge(self._written)
            for minutes in (self._minutes, self._unsettled.minutes if self._unsettled else {}):
                for sums in minutes.values():
                    every.merge(sums)
        return every

    @property
    def waiting_minutes(self) -> int:
        """How many minutes are not written down yet."""
        with self._sorting:
            self._sort()
            unsettled = self._unsettled.minutes if self._unsettled else ()
            return len(self._minutes) + len(unsettled)

    # --- writing down ---------------------------------------------------------------------------

    def flush(self, database: Database) -> None:
        """
        Add what was counted to the database's minutes; what cannot be written is kept.

        Raises:
            Unavailable, NotPermitted: not written. OutcomeUnknown: perhaps. The next flush sends it
                again under its number.
        """
        if not self._flushing.acquire(timeout=LONGEST_WAIT_S):
            raise DatabaseUnavailable("Another flush is still waiting for the database.")
        try:
            # One whose fate is unknown goes first, as it was; then what came since.
            for _ in range(2):
                if (batch := self._unsettled or self._taken()) is not None:
                    self._write(database, batch)
                    self._put_away(batch)
        finally:
            self._flushing.release()

    def _write(self, database: Database, batch: Batch) -> None:
        with database.transaction(_ORIGIN) as tx:
            rows.add(
                tx,
                process=self.process,
                batch=batch.number,
                operations=[
                    rows.Operations(minute, *one, tally.calls, tally.seconds, tuple(tally.buckets))
                    for minute, sums in batch.minutes.items()
                    for one, tally in sums.tallies.items()
                ],
                counters=[
                    (minute, name, n)
                    for minute, sums in batch.minutes.items()
                    for name, n in sums.names.items()
                ],
            )

    def _taken(self) -> Batch | None:
        with self._sorting:
            self._sort()
            if not self._minutes:
                return None
            self._batches += 1
            self._unsettled = Batch(self._batches, self._minutes)
            self._minutes = {}
        return self._unsettled

    def _put_away(self, batch: Batch) -> None:
        with self._sorting:
            self._unsettled = None
            for sums in batch.minutes.values():
                self._written.merge(sums)

    # --- sorting ------------------------------------------------------------------------------

    def _sort_if_nobody_does(self) -> None:
        if self._sorting.acquire(blocking=False):
            try:
                self._sort()
            finally:
                self._sorting.release()

    def _sort(self) -> None:
        """Put what was heard into its minutes; the caller has the lock."""
        heard, begin, end, sums = self._heard, NEVER, NEVER, Sums()
        for _ in range(len(heard)):
            at, what, amount = heard.popleft()
            if not begin <= at < end:
                begin = at.replace(second=0, microsecond=0)
                end = begin + ONE_MINUTE
                sums = self._minute(begin)
            if isinstance(what, str):
                sums.names[what] = sums.names.get(what, 0) + int(amount)
            else:
                (sums.tallies.get(what) or sums.begun(what)).add(amount)
        self._make_room()

    def _minute(self, minute: datetime) -> Sums:
        found = self._minutes.get(minute)
        if found is None:
            found = self._minutes[minute] = Sums()
        return found

    def _make_room(self) -> None:
        while len(self._minutes) > MOST_MINUTES:
            oldest, next_one = sorted(self._minutes)[:2]
            self._minutes[next_one].merge(self._minutes.pop(oldest))


def forget_old(database: Database, *, now: datetime) -> int:
    """
    Make room in the tables of minutes, a day's worth at a time; 0 once there is nothing left to do.

    Args:
        database: a pool without a time limit for statements (`desk.bulk`).
    """
    fine = (now - FINE_FOR).replace(minute=0, second=0, microsecond=0)
    with database.transaction(_ORIGIN) as tx:
        done = rows.forget(tx, before=now - KEPT_FOR, batches_before=now - timedelta(days=1))
        return done + rows.roll_up(tx, before=fine)


_EVERY: weakref.WeakSet[Counts] = weakref.WeakSet()


def _forget_the_parents() -> None:
    for counts in list(_EVERY):
        counts._start_over()  # noqa: SLF001 - the other half of the same class


os.register_at_fork(after_in_child=_forget_the_parents)
