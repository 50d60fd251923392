"""What a maintenance run came to, and what is due: verdicts that silence can be built on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from padelops.ops.verdict import Verdict, worst

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from padelops.errors import PadelopsError
    from padelops.ops.maintenance_plan import Standing
    from padelops.ops.maintenance_work import Finding


@dataclass(frozen=True, slots=True)
class TaskResult:
    """What one task of a run came to."""

    task: str
    title: str
    who: str
    started_at: datetime
    ended_at: datetime
    finding: Finding

    def as_json(self) -> dict[str, Any]:
        return {
            "task": self.task,
            "title": self.title,
            "who": self.who,
            "verdict": self.finding.verdict.word,
            "summary": self.finding.summary,
            "started_at": self.started_at.isoformat(),
            "ended_at": self.ended_at.isoformat(),
            "evidence": self.finding.evidence,
        }


@dataclass(frozen=True, slots=True)
class RunReport:
    """
    One run of a schedule.

    Attributes:
        planned: how many tasks of the schedule have something to run.
        waiting: a person's items of this turn, whether or not something was laid out for them.
        not_run: tasks that a lost lock or database left undone.
        stopped: why there are any.
        abandoned: runs that died in the middle, found and closed by this one.
    """

    run_id: UUID
    schedule: str
    started_at: datetime
    ended_at: datetime
    results: tuple[TaskResult, ...]
    planned: int
    waiting: tuple[Standing, ...]
    not_run: tuple[str, ...]
    stopped: PadelopsError | None
    abandoned: int

    @property
    def verdict(self) -> Verdict:
        """The worst found; what waits for a person is a warning, what was not run is unknown."""
        found = [result.finding.verdict for result in self.results]
        if self.not_run:
            found.append(Verdict.UNKNOWN)
        if self.waiting:
            found.append(Verdict.WARNING)
        return worst(found)

    @property
    def summary(self) -> str:
        """One line, for a ping and a log."""
        bad = [r.task for r in self.results if r.finding.verdict is not Verdict.OK]
        run = len(self.results)
        parts = [
            f"{run} tasks run" if run == self.planned else f"{run} of {self.planned} tasks run"
        ]
        if bad:
            parts.append(f"not ok: {', '.join(bad)}")
        if self.not_run:
            parts.append(f"not run: {', '.join(self.not_run)}")
        if self.waiting:
            parts.append(f"{len(self.waiting)} wait for a person")
        return f"{self.schedule}: {self.verdict.word}; {'; '.join(parts)}"

    def as_json(self) -> dict[str, Any]:
        return {
            "run_id": str(self.run_id),
            "schedule": self.schedule,
            "verdict": self.verdict.word,
            "started_at": self.started_at.isoformat(),
            "ended_at": self.ended_at.isoformat(),
            "results": [result.as_json() for result in self.results],
            "waiting_for_a_person": [standing.as_json() for standing in self.waiting],
            "not_run": list(self.not_run),
            "stopped": None if self.stopped is None else self.stopped.as_json(),
            "abandoned_before": self.abandoned,
        }


@dataclass(frozen=True, slots=True)
class Due:
    """Where every task stands at a moment."""

    at: datetime
    standings: tuple[Standing, ...]

    @property
    def verdict(self) -> Verdict:
        return worst(standing.verdict for standing in self.standings)

    def in_state(self, *states: str) -> tuple[Standing, ...]:
        return tuple(standing for standing in self.standings if standing.state in states)

    def as_json(self) -> dict[str, Any]:
        return {
            "at": self.at.isoformat(),
            "verdict": self.verdict.word,
            "late": [standing.name for standing in self.in_state("late")],
            "due": [standing.name for standing in self.in_state("due")],
            "tasks": [standing.as_json() for standing in self.standings],
        }
