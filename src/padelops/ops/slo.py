"""
Service level objectives: what each critical path has attained over 30 days, and how fast its error
budget burns now.

Each path has two objectives: a share of operations answered (its level's uptime), and a share of
the answers given in time. An operation is bad when nobody was served; a refusal by a rule is an
answer. A budget burns at rate 1 when it would be used up exactly at the end of the 30 days.

Where hardly anything happened nothing can be said: one failure of ten operations in a night is
neither 99.99% missed nor an alarm. Such a path is "too few", and no part of the verdict.

Source: CRITICAL_PATHS.md, "Criticality levels" and each path's own limit.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal

from padelops.booking.critical_paths import CRITICAL_PATHS
from padelops.booking.operations import Outcome, Tally
from padelops.errors import NotFound
from padelops.ops.verdict import Verdict, worst
from padelops.store import counts

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from datetime import datetime

    from padelops.booking.critical_paths import CriticalPath
    from padelops.store.counts import Ended
    from padelops.store.engine import Database

DAYS = 30
PERIOD_S = DAYS * 86_400
STEP_S = 86_400

IN_TIME = 0.99
"""The share of answers that keep a path's limit. CRITICAL_PATHS.md names limits without a share; a
limit for every single one would be broken by one collection of garbage."""

LEAST_CALLS = 20
"""In a window with fewer, a quiet burn rate proves nothing."""

LEAST_BAD = 5
"""In a window with fewer, nobody is woken: one failure is a failure, not a rate."""


@dataclass(frozen=True, slots=True)
class Pair:
    """
    Two windows that must both burn faster than `factor`: the long one makes sure that it matters,
    the short one that it still goes on.
    """

    long_s: int
    short_s: int
    factor: float
    severity: Literal["page", "ticket"]


PAIRS = (
    Pair(3600, 300, 14.4, "page"),  # 2% of the budget in an hour
    Pair(21_600, 1800, 6, "page"),  # 5% in six hours
    Pair(86_400, 7200, 3, "ticket"),  # 10% in a day
    Pair(259_200, 21_600, 1, "ticket"),  # 10% in three days
)
"""Source: Google, "The Site Reliability Workbook", chapter 5, "Multiwindow, Multi-Burn-Rate
Alerts", for 30 days; the third pair as Sloth's `google-30d` windows have it."""

WINDOWS_S = tuple(sorted({PERIOD_S} | {s for pair in PAIRS for s in (pair.long_s, pair.short_s)}))


@dataclass(frozen=True, slots=True)
class Promise:
    """
    One objective of one path.

    Attributes:
        goal: the share that must be good.
        limit_s: good answers take no longer; None where being answered is what is promised.
    """

    path: CriticalPath
    goal: float
    limit_s: float | None = None

    @property
    def kind(self) -> Literal["answered", "in_time"]:
        return "answered" if self.limit_s is None else "in_time"

    @property
    def allowed(self) -> float:
        """The share that may be bad."""
        return round(1 - self.goal, 9)


PROMISES = tuple(
    promise
    for path in CRITICAL_PATHS
    for promise in (
        Promise(path, round(path.objective.uptime_percent / 100, 6)),
        Promise(path, IN_TIME, path.limit_s or path.objective.response_s),
    )
)
"""Two for each path, in the order of CRITICAL_PATHS.md."""


@dataclass(frozen=True, slots=True)
class Window:
    """What counted towards a promise in a stretch of time."""

    calls: int
    bad: int

    @property
    def says_something(self) -> bool:
        return self.calls >= LEAST_CALLS or self.bad >= LEAST_BAD

    def burn(self, promise: Promise) -> float | None:
        """How many times faster than allowed the budget burns; None where nothing happened."""
        return self.bad / self.calls / promise.allowed if self.calls else None


@dataclass(frozen=True, slots=True)
class Standing:
    """
    Where one promise stands.

    Attributes:
        windows: by their length in seconds, the whole period among them.
        course: at the end of each of the last 30 days, the share of the budget that was left.
    """

    promise: Promise
    windows: dict[int, Window]
    course: tuple[float | None, ...]

    @property
    def whole(self) -> Window:
        return self.windows[PERIOD_S]

    @property
    def attained(self) -> float | None:
        return 1 - self.whole.bad / self.whole.calls if self.whole.calls else None

    @property
    def budget_left(self) -> float | None:
        """The share of the period's budget; below 0 it is overspent."""
        burnt = self.whole.burn(self.promise)
        return None if burnt is None else round(1 - burnt, 9)

    @property
    def judged(self) -> bool:
        """
        Whether the period says anything: enough traffic, and where something was bad, either so
        much traffic that the goal allows a failure at all, or so much that it is no accident.
        """
        if not self.whole.bad:
            return self.whole.calls >= LEAST_CALLS
        allowed = self.whole.calls * self.promise.allowed
        return self.whole.bad >= LEAST_BAD or allowed >= 1

    @property
    def firing(self) -> tuple[Pair, ...]:
        return tuple(pair for pair in PAIRS if self._fires(pair))

    def _fires(self, pair: Pair) -> bool:
        long, short = self.windows[pair.long_s], self.windows[pair.short_s]
        burns = (long.burn(self.promise), short.burn(self.promise))
        return long.bad >= LEAST_BAD and all(burn and burn > pair.factor for burn in burns)

    @property
    def fastest(self) -> tuple[int, float] | None:
        """The window with the fastest burn that says something, and how fast."""
        found = [
            (burn, pair.long_s)
            for pair in PAIRS
            if (window := self.windows[pair.long_s]).says_something
            and (burn := window.burn(self.promise)) is not None
        ]
        burn, length_s = max(found, default=(None, 0))
        return None if burn is None else (length_s, burn)

    @property
    def runs_out_in(self) -> timedelta | None:
        """
        When nothing of the budget is left if it goes on burning as fast; None where it does not
        run out, or is out already. What grows old meanwhile is left out: it is the soonest.
        """
        left, fastest = self.budget_left, self.fastest
        if left is None or left <= 0 or fastest is None or fastest[1] <= 1:
            return None
        return timedelta(seconds=left * PERIOD_S / fastest[1])

    @property
    def state(self) -> str:
        """`page`, `ticket`, `spent`, `kept`, `too few` or `no traffic`, the most urgent first."""
        severities = {pair.severity for pair in self.firing}
        for severity in ("page", "ticket"):
            if severity in severities:
                return severity
        if not self.whole.calls:
            return "no traffic"
        if not self.judged:
            return "too few"
        return "spent" if (self.budget_left or 0) <= 0 and self.whole.bad else "kept"

    @property
    def verdict(self) -> Verdict:
        return VERDICTS[self.state]

    def as_json(self) -> dict[str, Any]:
        fastest, runs_out = self.fastest, self.runs_out_in
        path = self.promise.path
        return {
            "path": path.module,
            "level": path.level.value,
            "objective": self.promise.kind,
            "goal": self.promise.goal,
            "limit_s": self.promise.limit_s,
            "state": self.state,
            "verdict": self.verdict.word,
            "calls": self.whole.calls,
            "bad": self.whole.bad,
            "attained": self.attained,
            "budget_left": self.budget_left,
            "burn_rates": [
                {
                    "window_s": length_s,
                    "calls": window.calls,
                    "bad": window.bad,
                    "burn": window.burn(self.promise),
                }
                for length_s, window in self.windows.items()
                if length_s != PERIOD_S
            ],
            "firing": [_pair_json(pair) for pair in self.firing],
            "fastest_window_s": fastest and fastest[0],
            "runs_out_in_s": runs_out and round(runs_out.total_seconds()),
            "course": list(self.course),
        }


VERDICTS = {
    "page": Verdict.CRITICAL,
    "ticket": Verdict.WARNING,
    "spent": Verdict.WARNING,
    "kept": Verdict.OK,
    "too few": Verdict.UNKNOWN,
    "no traffic": Verdict.UNKNOWN,
}


@dataclass(frozen=True, slots=True)
class Objectives:
    """Every promise at one moment."""

    at: datetime
    standings: tuple[Standing, ...]

    @property
    def verdict(self) -> Verdict:
        """The worst of those that can be judged; unknown when none can."""
        return worst(s.verdict for s in self.standings if s.verdict is not Verdict.UNKNOWN)

    def as_json(self) -> dict[str, Any]:
        return {
            "at": self.at.isoformat(),
            "verdict": self.verdict.word,
            "days": DAYS,
            "least_calls": LEAST_CALLS,
            "least_bad": LEAST_BAD,
            "pairs": [_pair_json(pair) for pair in PAIRS],
            "objectives": [standing.as_json() for standing in self.standings],
        }


def objectives(database: Database, *, now: datetime, paths: Collection[str] = ()) -> Objectives:
    """
    Where the promises of these paths stand, or of all of them.

    Args:
        database: a pool without a time limit for statements (`desk.bulk`).
        paths: by their modules' names, such as `creation`.

    Raises:
        NotFound: there is no such path.
    """
    known = {path.module for path in CRITICAL_PATHS}
    if unknown := set(paths) - known:
        raise NotFound(
            f"There is no critical path '{min(unknown)[:40]}'.",
            fix=f"One of: {', '.join(path.module for path in CRITICAL_PATHS)}.",
        )
    with database.reading() as tx:
        within = counts.operations_within(tx, WINDOWS_S, now=now)
        by_day = counts.operations_by_step(tx, PERIOD_S, STEP_S, now=now)
    days: list[list[Ended]] = [[] for _ in range(DAYS)]
    for step, ended in by_day:
        # The minute under way belongs to the last day.
        days[min(step, DAYS - 1)].append(ended)
    return Objectives(
        now,
        tuple(
            _standing(promise, within, days)
            for promise in PROMISES
            if not paths or promise.path.module in paths
        ),
    )


def _standing(
    promise: Promise, within: dict[int, list[Ended]], days: list[list[Ended]]
) -> Standing:
    windows = {length_s: counted(promise, ended) for length_s, ended in within.items()}
    budget = windows[PERIOD_S].calls * promise.allowed
    course: list[float | None] = []
    burnt = seen = 0
    for ended in days:
        day = counted(promise, ended)
        seen, burnt = seen + day.calls, burnt + day.bad
        course.append(1 - burnt / budget if seen and budget else None)
    return Standing(promise, windows, tuple(course))


def counted(promise: Promise, every: Iterable[Ended]) -> Window:
    """Of all operations the unanswered are bad; of the answered, those that took too long."""
    good, bad = Tally(), 0
    for ended in every:
        if ended.path != promise.path.module:
            continue
        if Outcome(ended.outcome).good:
            good.merge(Tally(ended.seconds, ended.buckets))
        else:
            bad += ended.calls
    if promise.limit_s is None:
        return Window(good.calls + bad, bad)
    return Window(good.calls, good.calls - good.within(promise.limit_s))


def _pair_json(pair: Pair) -> dict[str, Any]:
    return {
        "long_s": pair.long_s,
        "short_s": pair.short_s,
        "factor": pair.factor,
        "severity": pair.severity,
    }
