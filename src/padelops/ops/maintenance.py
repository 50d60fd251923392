"""
Maintenance: what is due is done and kept, what needs a person is never done by waiting for it.

`run` does a schedule's machine tasks one after the other under the operator lock, and keeps what
each found. A task that could not be done is unknown and hides no other. A person's item is over
when a person signs it (`sign_off`), whatever a run has laid out for it.

Source: CRITICAL_PATHS.md, "Maintenance schedules"; DESIGN.md section 7.
"""

from __future__ import annotations

import json
import os
import socket
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import padelops.ops.maintenance_tasks  # noqa: F401 - fills WORK
from padelops.errors import InvalidInput, NotFound, PadelopsError, Refused
from padelops.ops.locks import operator_lock
from padelops.ops.maintenance_metrics import exposition
from padelops.ops.maintenance_plan import Plan, Standing
from padelops.ops.maintenance_report import KeptReport
from padelops.ops.maintenance_results import Due, RunReport, TaskResult
from padelops.ops.maintenance_work import WORK, Finding
from padelops.ops.verdict import Verdict
from padelops.store import audit, maintenance, operator_runs

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from padelops.ops.maintenance_work import Premises
    from padelops.store.engine import Tx
    from padelops.store.operator_runs import OperatorRun

ACTION = "maintenance"
SIGNED = "maintenance.signed"
"""Under which names runs and signatures are kept."""

TOLD = ("ok", "warning", "critical")
"""Outcomes that say something: the task was done to its end."""

EVERY_OUTCOME = (*TOLD, "unknown", "failed", "abandoned")

LONGEST_NOTE = 400
LISTED = "`padelops maintenance report --list` shows them."
MOST_LISTED = 100
MOST_EVIDENCE = 1_000_000
"""Characters of JSON that are kept of one task; the run itself shows all of it."""


class Maintenance:
    """Runs, signs and judges the items of a plan at one desk's database."""

    def __init__(self, plan: Plan, premises: Premises) -> None:
        self.plan = plan
        self._at = premises

    def run(
        self,
        schedule: str,
        *,
        only: tuple[str, ...] = (),
        told: Callable[[str], None] = lambda _: None,
    ) -> RunReport:
        """
        Do what a machine can do of one schedule, and lay out what a person decides on.

        Args:
            only: these tasks of it.
            told: called with each task's name before it starts.

        Raises:
            NotFound: no such schedule or task. LockHeld: maintenance runs already.
            Unavailable: the database is away; nothing was done.
        """
        tasks = self.plan.of(schedule)
        for name in only:
            if name not in tasks:
                raise NotFound(
                    f"There is no task '{name}' in {schedule}.", fix=f"One of: {', '.join(tasks)}."
                )
        chosen = [name for name in only or tasks if name in WORK]
        at, run_id = self._at, uuid4()
        started_at = at.clock()
        results: list[TaskResult] = []
        with operator_lock(
            at.database, ACTION, purpose=f"{schedule}, run {run_id}", origin=at.origin
        ) as held:
            with at.database.transaction(at.origin) as tx:
                abandoned = operator_runs.abandon(tx, ACTION, now=started_at)
                number = self._begin(tx, run_id, ACTION, schedule, started_at)

            def report(stopped: PadelopsError | None = None) -> RunReport:
                done = {result.task for result in results}
                left = tuple(name for name in chosen if name not in done)
                return RunReport(
                    run_id=run_id,
                    schedule=schedule,
                    started_at=started_at,
                    ended_at=at.clock(),
                    results=tuple(results),
                    planned=sum(name in WORK for name in tasks),
                    waiting=() if stopped else self._waiting(schedule),
                    not_run=(left or ("the record of this run",)) if stopped else (),
                    stopped=stopped,
                    abandoned=len(abandoned),
                )

            try:
                for name in chosen:
                    told(name)
                    held.still()
                    results.append(self._do(name, run_id))
                held.still()
                whole = report()
                self._keep(number, whole)
            except PadelopsError as exc:
                # From here on nobody can be sure to be alone, or to keep what is found.
                return report(exc)
            return whole

    def sign_off(self, task: str, note: str) -> Standing:
        """
        A person says that an item is done, and what came of it.

        Raises:
            NotFound: no such task. Refused: a machine does it. InvalidInput: nothing is said.
        """
        item = self.plan.task(task)
        if item.who == "machine":
            raise Refused(
                f"{task} is done by a machine, so nobody can sign it off.",
                fix=f"Run: padelops maintenance run {task.partition('/')[0]}",
            )
        note = " ".join(note.split())
        if not note:
            raise InvalidInput("Say in --note what was looked at, and what came of it.")
        if len(note) > LONGEST_NOTE:
            raise InvalidInput(f"A note has at most {LONGEST_NOTE} characters; this is longer.")
        at, now = self._at, self._at.clock()
        with at.database.transaction(at.origin) as tx:
            number = self._begin(tx, uuid4(), SIGNED, task, now)
            operator_runs.end(tx, number, "ok", note, {"note": note}, now=now)
            audit.note(tx, "maintenance_signed", {"task": task, "note": note}, subject_id=number)
        return next(standing for standing in self.due().standings if standing.name == task)

    def due(self) -> Due:
        """Where every task stands now."""
        now = self._at.clock()
        with self._at.database.reading() as tx:
            done = last_done(tx, self.plan)
            first = maintenance.first_use(tx) or now
        standings = []
        for name, task in self.plan.tasks.items():
            last = done.get(name)
            at = None if last is None else last.started_at
            standings.append(
                Standing(name, task, self.plan.schedule_of(name), at, at or min(first, now), now)
            )
        return Due(now, tuple(standings))

    def metrics(self) -> str:
        """Where every task stands, in Prometheus' text format."""
        due = self.due()
        with self._at.database.reading() as tx:
            last = operator_runs.last_runs(tx, ACTION, EVERY_OUTCOME)
        named = (*self.plan.schedules, *self.plan.tasks)
        return exposition(due, {name: last[name] for name in named if name in last})

    def reports(
        self, schedule: str | None = None, *, limit: int = MOST_LISTED
    ) -> list[OperatorRun]:
        """The newest runs of one schedule or of all, each as the row about the whole of it."""
        tasks = list(self.plan.schedules) if schedule is None else [schedule]
        with self._at.database.reading() as tx:
            return operator_runs.runs(tx, ACTION, tasks=tasks, limit=limit)

    def report(self, run_id: str | None = None, *, schedule: str | None = None) -> KeptReport:
        """
        One kept run, the newest where none is named.

        Raises:
            NotFound: no such run. InvalidInput: not a run's id.
        """
        if run_id is None:
            newest = self.reports(schedule, limit=1)
            if not newest:
                raise NotFound(
                    "No maintenance was run here yet.", fix="Run: padelops maintenance run daily"
                )
            wanted = newest[0].run_id
        else:
            try:
                wanted = UUID(run_id)
            except ValueError:
                raise InvalidInput("That is not a run's id.", fix=LISTED) from None
        with self._at.database.reading() as tx:
            rows = operator_runs.runs(tx, ACTION, run_id=wanted, limit=MOST_LISTED)
        whole = [row for row in rows if row.task in self.plan.schedules]
        if not whole:
            raise NotFound(f"There is no run {wanted}.", fix=LISTED)
        tasks = tuple(row for row in reversed(rows) if row.task not in self.plan.schedules)
        return KeptReport(whole[0], tasks, self.plan)

    def _do(self, name: str, run_id: UUID) -> TaskResult:
        """One task, kept with its end."""
        at, task = self._at, self.plan.task(name)
        started_at = at.clock()
        with at.database.transaction(at.origin) as tx:
            number = self._begin(tx, run_id, ACTION, name, started_at)
        try:
            finding = WORK[name](at)
        except PadelopsError as exc:
            finding = Finding(
                Verdict.UNKNOWN, f"It could not be done: {exc}"[:500], {"error": exc.as_json()}
            )
        ended_at = at.clock()
        with at.database.transaction(at.origin) as tx:
            operator_runs.end(
                tx,
                number,
                finding.verdict.word,
                finding.summary[:500],
                _bounded(finding.evidence),
                now=ended_at,
            )
        return TaskResult(name, task.title, task.who, started_at, ended_at, finding)

    def _begin(self, tx: Tx, run_id: UUID, action: str, task: str, now: datetime) -> int:
        return operator_runs.begin(
            tx, run_id, action, task, host=socket.gethostname(), pid=os.getpid(), now=now
        )

    def _keep(self, number: int, report: RunReport) -> None:
        """The run as a whole: its record and its audit entry, in one transaction."""
        outcomes = {r.task: r.finding.verdict.word for r in report.results}
        evidence = {
            "outcomes": outcomes,
            "waiting_for_a_person": [standing.name for standing in report.waiting],
        }
        with self._at.database.transaction(self._at.origin) as tx:
            operator_runs.end(
                tx,
                number,
                report.verdict.word,
                report.summary[:500],
                evidence,
                now=report.ended_at,
            )
            audit.note(
                tx,
                "maintenance_run",
                {"run_id": str(report.run_id), "schedule": report.schedule, "outcomes": outcomes},
                subject_id=number,
            )

    def _waiting(self, schedule: str) -> tuple[Standing, ...]:
        """What a person has not signed for this turn: last week's signature, given late, is old."""
        return tuple(
            standing
            for standing in self.due().standings
            if standing.task.who == "person"
            and standing.name.startswith(f"{schedule}/")
            and (
                standing.last is None or standing.now - standing.last >= standing.schedule.every / 2
            )
        )


def last_done(tx: Tx, plan: Plan) -> dict[str, OperatorRun]:
    """
    By task, when it was last done: by a machine to its end, or signed by a person.

    What a run laid out for a person does not count: nobody may have looked at it.
    """
    done = operator_runs.last_runs(tx, ACTION, TOLD)
    signed = operator_runs.last_runs(tx, SIGNED, TOLD)
    of = {"machine": done, "person": signed}
    return {name: of[task.who][name] for name, task in plan.tasks.items() if name in of[task.who]}


def _bounded(evidence: dict[str, Any]) -> dict[str, Any]:
    size = len(json.dumps(evidence, default=str))
    if size <= MOST_EVIDENCE:
        return evidence
    return {"left_out": f"{size} characters of evidence are too many to keep; run it again."}
