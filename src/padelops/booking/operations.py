"""
What became of an operation on a critical path, and how long it took: the unit that is counted.

An operation is good when whoever asked got an answer they can build on, also a no: a court that is
taken, a card that is declined. It is bad when we could not answer, do not know, or answered with a
stopgap. Rates of success are shares of good operations, so a rush for one court is no outage.
"""

from __future__ import annotations

from bisect import bisect_left
from contextlib import nullcontext
from enum import StrEnum
from time import perf_counter
from typing import TYPE_CHECKING, Self

from padelops.errors import (
    Interrupted,
    OutcomeUnknown,
    PadelopsError,
    PartlyDone,
    Refused,
    Unavailable,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager
    from types import TracebackType

BOUNDS_S = (
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0,
)  # fmt: skip
"""
Upper bounds of the buckets of times, in seconds; one bucket more takes what is slower.

Every limit of CRITICAL_PATHS.md is one of them (100 ms, 500 ms, 1, 2, 5 and 30 s), so that the
share within a limit is counted and not estimated. They are stored by position: changing them takes
a migration.
"""

BUCKETS = len(BOUNDS_S) + 1

LONGEST_CODE = 60

Series = tuple[str, str, str]
"""Path, outcome, code: what operations are added up by. Plain text, because an enum hashes slowly,
and by its name."""


class Outcome(StrEnum):
    """How an operation ended."""

    OK = "ok"
    REFUSED = "refused"
    """A rule said no: an answer."""
    DEGRADED = "degraded"
    """Answered by a fallback: a default price, nothing bookable because nobody knows."""
    UNAVAILABLE = "unavailable"
    UNKNOWN = "unknown"
    FAILED = "failed"
    """A bug, damaged data, or a configuration that only an operator can put right."""

    @property
    def good(self) -> bool:
        """Whether whoever asked was served."""
        return self in GOOD


GOOD = frozenset({Outcome.OK, Outcome.REFUSED})

OURS = frozenset(
    {"not_permitted", "schema_behind", "schema_ahead", "gateway_refused", "tariff_unusable"}
)
"""Codes of refusals that no customer can do anything about."""


def series(path: str, outcome: Outcome, code: str) -> Series:
    """What an operation that ended so is added up by."""
    return path, outcome.value, code[:LONGEST_CODE]


class Aside(Exception):
    """A way to another answer, inside the core: the end of no operation."""


def ending(exc: BaseException | None) -> tuple[Outcome, str] | None:
    """What an operation that ended so is counted as; None where it is not counted."""
    match exc:
        case None:
            return Outcome.OK, ""
        case Aside() | Interrupted():
            return None
        case PadelopsError():
            return _outcome(exc), exc.code
        case Exception():
            return Outcome.FAILED, "internal_error"
        case _:
            return None  # broken off from here: Ctrl-C proves nothing


def _outcome(exc: PadelopsError) -> Outcome:
    if exc.code in OURS:
        return Outcome.FAILED
    match exc:
        case Refused():
            return Outcome.REFUSED
        case OutcomeUnknown():
            return Outcome.UNKNOWN
        case Unavailable() | PartlyDone():
            return Outcome.UNAVAILABLE
    return Outcome.FAILED


def seen_by_nobody(path: str) -> AbstractContextManager[object]:
    """In place of `counts.timed`, where nobody counts."""
    del path
    return nullcontext()


class Tally:
    """How many operations there were, the seconds they took in all, and how they spread."""

    __slots__ = ("buckets", "seconds")

    def __init__(self, seconds: float = 0.0, buckets: Sequence[int] | None = None) -> None:
        self.seconds = seconds
        self.buckets = [0] * BUCKETS if buckets is None else list(buckets)

    @property
    def calls(self) -> int:
        """How many operations there were."""
        return sum(self.buckets)

    def add(self, seconds: float) -> None:
        """One operation more."""
        self.seconds += seconds
        self.buckets[bisect_left(BOUNDS_S, seconds)] += 1

    def merge(self, other: Tally) -> None:
        """All of another's operations more."""
        self.seconds += other.seconds
        self.buckets = [
            ours + theirs for ours, theirs in zip(self.buckets, other.buckets, strict=True)
        ]

    def within(self, limit_s: float) -> int:
        """
        How many took no longer than a limit.

        Raises:
            ValueError: the limit is none of the bounds, so it was not counted.
        """
        return sum(self.buckets[: BOUNDS_S.index(limit_s) + 1])

    @property
    def average_s(self) -> float | None:
        """None where there was nothing."""
        calls = self.calls
        return self.seconds / calls if calls else None

    def quantile_s(self, share: float) -> float | None:
        """
        The time within which this share of the operations ended, read off between two bounds as
        Prometheus' `histogram_quantile` does; None where there was nothing.

        Beyond the last bound nothing is known but that it was longer: the bound itself is told.
        """
        calls = self.calls
        if not calls:
            return None
        rank, seen = share * calls, 0
        for place, count in enumerate(self.buckets[:-1]):
            if count and seen + count >= rank:
                lower = BOUNDS_S[place - 1] if place else 0.0
                return lower + (BOUNDS_S[place] - lower) * max(rank - seen, 0.0) / count
            seen += count
        return BOUNDS_S[-1]


class Timed:
    """`with counts.timed("creation"):` counts what became of the body; usable once."""

    __slots__ = ("_degraded", "_hear", "_path", "_started")

    def __init__(self, path: str, hear: Callable[[Series, float], None]) -> None:
        self._path = path
        self._hear = hear
        self._degraded = ""

    def degraded(self, code: str) -> None:
        """The answer is a stopgap, though nothing is raised."""
        self._degraded = code

    def __enter__(self) -> Self:
        self._started = perf_counter()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        seconds = perf_counter() - self._started
        if exc is not None:
            if (ended := ending(exc)) is not None:
                self._hear(series(self._path, *ended), seconds)
        elif self._degraded:
            self._hear(series(self._path, Outcome.DEGRADED, self._degraded), seconds)
        else:
            self._hear((self._path, "ok", ""), seconds)
