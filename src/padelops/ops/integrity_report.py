"""What validation found: check by check, never "no problems" where something was not asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from padelops.errors import NotChecked
from padelops.ops.verdict import Verdict, worst

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from padelops.ops.integrity_checks import Check
    from padelops.store.integrity import Violation

MOST_KEPT = 1000
"""Violations of each check that a report names; all of them are counted."""

NOT_IN_THE_TABLES = {
    "nothing_lost": "what was acknowledged and left no trace needs a recorded history of clients"
}
"""What no look at the tables can show. Source: DESIGN.md section 3."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """
    What one check found.

    Attributes:
        found: how many violations there are; `violations` are the first of them.
        failure: why it could not run, or not to its end; then finding nothing says nothing.
        skipped: why it was not asked for.
        seconds: its share of the time that its statements took.
    """

    definition: Check
    found: int = 0
    violations: tuple[Violation, ...] = ()
    failure: str | None = None
    skipped: str | None = None
    seconds: float = 0.0

    @property
    def check(self) -> str:
        return self.definition.name

    @property
    def verdict(self) -> Verdict:
        """A violation outranks the failure to look for more."""
        if self.found:
            return self.definition.severity
        return Verdict.UNKNOWN if self.failure else Verdict.OK

    def as_json(self) -> dict[str, Any]:
        return {
            "check": self.check,
            "invariant": self.definition.invariant,
            "question": self.definition.question,
            "verdict": "skipped" if self.skipped else self.verdict.word,
            "found": self.found,
            "violations": [found.as_json() for found in self.violations],
            "advice": self.definition.advice if self.found else None,
            "failure": self.failure,
            "skipped": self.skipped,
            "seconds": round(self.seconds, 3),
        }


@dataclass(frozen=True, slots=True)
class Report:
    """
    All checks of one run.

    Attributes:
        clubs: their slugs, where not all were looked at.
        sample: prices that were computed again; None for all of them.
        seed: draws the same sample again.
        snapshots: from how many moments the answers come: 1, and one more for each resumption.
    """

    at: datetime
    reservations: int
    blocks: int
    outcomes: tuple[Outcome, ...]
    clubs: tuple[str, ...] = ()
    sample: int | None = None
    seed: int = 0
    snapshots: int = 1

    @property
    def verdict(self) -> Verdict:
        """The worst: a violation found outranks a check that could not run."""
        return worst(outcome.verdict for outcome in self.outcomes if not outcome.skipped)

    @property
    def exit_code(self) -> int:
        return self.verdict.value

    @property
    def found(self) -> int:
        return sum(outcome.found for outcome in self.outcomes)

    @property
    def not_run(self) -> list[str]:
        return [outcome.check for outcome in self.outcomes if outcome.failure]

    def require_complete(self) -> None:
        """
        Raises:
            NotChecked: a check could not run, so that what was found is not all there is.
        """
        if self.not_run:
            first = next(outcome for outcome in self.outcomes if outcome.failure)
            raise NotChecked(f"{first.check} could not run: {first.failure}", not_run=self.not_run)

    def __iter__(self) -> Iterator[Outcome]:
        return iter(self.outcomes)

    def as_json(self) -> dict[str, Any]:
        return {
            "at": self.at.isoformat(),
            "verdict": self.verdict.word,
            "complete": not self.not_run,
            "reservations": self.reservations,
            "blocks": self.blocks,
            "clubs": list(self.clubs) or None,
            "sample": self.sample,
            "seed": self.seed,
            "snapshots": self.snapshots,
            "violations": self.found,
            "not_run": self.not_run,
            "not_checked_here": NOT_IN_THE_TABLES,
            "checks": [outcome.as_json() for outcome in self.outcomes],
        }
