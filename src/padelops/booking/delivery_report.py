"""
The delivery report: how many of the messages that fell due arrived, against the three goals.

A message counts by when it fell due. `failed` and `late` ones (due for a quarter of an hour, and
still not there) count against the goal, `skipped` ones (nobody to tell, or no longer true) do not
count at all, and `waiting` ones not yet. So a worker that stands still turns the report red instead
of leaving it empty; and where nothing was due at all, it says so instead of showing green.

Source: CRITICAL_PATHS.md, path 7, "Delivery Requirements" and "Monitoring".
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from enum import IntEnum
from typing import TYPE_CHECKING, Any

from padelops.booking.message_kinds import KINDS
from padelops.errors import InvalidInput
from padelops.store import messages

if TYPE_CHECKING:
    from datetime import datetime

    from padelops.store.engine import Database
    from padelops.store.messages import Rates, Reason

ALERT_BELOW = Decimal("0.90")
"""Source: CRITICAL_PATHS.md, path 7: "Alert: Delivery rate < 90%"."""

LATE_AFTER = timedelta(minutes=15)
"""Later than that a confirmation does not reassure anybody: they have called the club."""

MOST_DAYS = 366
MOST_REASONS = 20


class Verdict(IntEnum):
    """Also the exit status of `notifications report`."""

    OK = 0
    WARNING = 1
    CRITICAL = 2
    UNKNOWN = 3


@dataclass(frozen=True, slots=True)
class KindReport:
    """One kind of message against its goal; `goal` is None where only the alert applies."""

    kind: str
    goal: Decimal | None
    rates: Rates | None

    @property
    def judged(self) -> int:
        """How many should have arrived by now."""
        found = self.rates
        return 0 if found is None else found.delivered + found.failed + found.late

    @property
    def rate(self) -> Decimal | None:
        """The share that arrived, rounded down: 98.996% is not 99%."""
        if not self.judged or self.rates is None:
            return None
        return Decimal(self.rates.delivered * 10_000 // self.judged).scaleb(-4)

    @property
    def verdict(self) -> Verdict:
        if self.rates is None or not self.judged:
            return Verdict.UNKNOWN
        if self.rates.delivered < ALERT_BELOW * self.judged:
            return Verdict.CRITICAL
        if self.goal is not None and self.rates.delivered < self.goal * self.judged:
            return Verdict.WARNING
        return Verdict.OK

    def as_json(self) -> dict[str, Any]:
        found = self.rates
        counts = ("delivered", "failed", "late", "waiting", "skipped")
        times = ("average_s", "p95_s")
        return {
            "kind": self.kind,
            "verdict": self.verdict.name.lower(),
            "rate": None if self.rate is None else float(self.rate),
            "goal": None if self.goal is None else float(self.goal),
            **{name: 0 if found is None else getattr(found, name) for name in counts},
            **{name: _rounded(None if found is None else getattr(found, name)) for name in times},
        }


@dataclass(frozen=True, slots=True)
class DeliveryReport:
    """Every kind that has a goal or had messages, and why what is missing is missing."""

    since: datetime
    until: datetime
    kinds: tuple[KindReport, ...]
    reasons: tuple[Reason, ...]

    @property
    def verdict(self) -> Verdict:
        """The worst of the kinds that can be judged; unknown when none can."""
        judged = [kind.verdict for kind in self.kinds if kind.judged]
        return max(judged, default=Verdict.UNKNOWN)

    def as_json(self) -> dict[str, Any]:
        return {
            "verdict": self.verdict.name.lower(),
            "since": self.since,
            "until": self.until,
            "alert_below": float(ALERT_BELOW),
            "kinds": [kind.as_json() for kind in self.kinds],
            "reasons": [
                {name: getattr(reason, name) for name in reason.__slots__}
                for reason in self.reasons
            ],
        }


def report(database: Database, *, now: datetime, days: int = 1) -> DeliveryReport:
    """
    What became of the messages that fell due in the last days.

    Args:
        database: a pool without a time limit for statements (`desk.bulk`).
        days: of 24 hours, up to now.

    Raises:
        InvalidInput: not 1 to 366 days.
    """
    if not 1 <= days <= MOST_DAYS:
        raise InvalidInput(f"Days must lie between 1 and {MOST_DAYS}.")
    since, late_before = now - timedelta(days=days), now - LATE_AFTER
    with database.reading() as tx:
        found = messages.rates(tx, since=since, until=now, late_before=late_before)
        reasons = messages.reasons(
            tx, since=since, until=now, late_before=late_before, limit=MOST_REASONS
        )
    by_kind = {rates.kind: rates for rates in found}
    kinds = tuple(
        KindReport(kind.name, kind.goal, by_kind.get(kind.name))
        for kind in KINDS.values()
        if kind.goal is not None or kind.name in by_kind
    )
    return DeliveryReport(since, now, kinds, tuple(reasons))


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 1)
