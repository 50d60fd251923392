"""
A runbook carried out: check -> act -> verify for each step, on record before it begins.

What holds already is not done. What cannot be checked is not done blindly. A step that fails stops
the run, which says what was done and what is left; run again, it goes on there. A budget that is
over stops nothing: it is said, with whom to call.

Source: DESIGN.md section 7.
"""

from __future__ import annotations

import os
import socket
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol

from padelops.errors import (
    LockHeld,
    LockLost,
    PadelopsError,
    PartlyDone,
    Refused,
    SafetyGate,
    Unavailable,
)
from padelops.ops.locks import operator_lock
from padelops.ops.recovery import REASON
from padelops.ops.runbook_journal import Entry, Journal, as_evidence, begun, sentence
from padelops.store import audit, operator_runs

if TYPE_CHECKING:
    from collections.abc import Callable

    from padelops.ops.locks import Held
    from padelops.ops.recovery import Operation, Seen, Site
    from padelops.ops.runbook_journal import Journals
    from padelops.ops.runbooks import Runbook, Step

ACTION = "runbook"
DATABASE_DOWN = "database_down"
"""The runbook that comes before any other while there is no database."""

PAUSE_S = 0.5
LONGEST_TOLD = 2000


class Answer(StrEnum):
    """What a person said about a step of theirs."""

    DONE = "done"
    SKIP = "skip"
    STOP = "stop"


class Onlooker(Protocol):
    """Whoever watches a run, if anybody does."""

    def say(self, line: str) -> None: ...

    def agrees(self, question: str) -> bool:
        """Whether something risky may be done."""
        ...

    def asks(self, step: Step) -> Answer | None:
        """What a person says about a step of theirs; None where nobody is there."""
        ...


@dataclass(frozen=True, slots=True)
class Planned:
    """What a step's check says now, and what would be done about it."""

    step: str
    title: str
    outcome: str
    seen: str
    commands: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DryRun:
    """What every check says now; nothing was changed."""

    runbook: Runbook
    steps: tuple[Planned, ...]
    resumes: str | None

    def as_json(self) -> dict[str, Any]:
        return {
            "runbook": self.runbook.name,
            "dry_run": True,
            "resumes_at": self.resumes,
            "steps": [asdict(step) for step in self.steps],
        }


@dataclass(frozen=True, slots=True)
class Ran:
    """
    One run, to its end or to the step that failed.

    Attributes:
        seconds: of this invocation; an earlier one that it went on with is not counted.
        remaining: steps that were not come to.
        failed: what it ended with; None is done and verified.
        notes: what whoever reads this must know besides.
    """

    runbook: Runbook
    journal: Journal
    seconds: float
    remaining: tuple[str, ...]
    failed: PadelopsError | None
    notes: tuple[str, ...]

    @property
    def within_budget(self) -> bool:
        return self.seconds <= self.runbook.budget.seconds

    @property
    def for_people(self) -> tuple[str, ...]:
        """Steps that nobody was there for."""
        return tuple(one.step for one in self.journal.entries if one.outcome == "skipped")

    def as_json(self) -> dict[str, Any]:
        return {
            "runbook": self.runbook.name,
            "dry_run": False,
            "run_id": self.journal.run_id,
            "status": self.journal.status,
            "started_at": self.journal.started_at,
            "seconds": round(self.seconds, 2),
            "budget_s": self.runbook.budget.seconds,
            "within_budget": self.within_budget,
            "steps": [asdict(entry) for entry in self.journal.entries],
            "remaining": list(self.remaining),
            "left_to_people": list(self.for_people),
            "kept_in_database": self.journal.kept,
            "notes": list(self.notes),
        }


@dataclass(slots=True)
class RunbookRun:
    """
    Carries out one runbook at one site.

    Attributes:
        steady: seconds by which the budget is counted down.
    """

    runbook: Runbook
    site: Site
    journals: Journals
    onlooker: Onlooker
    steady: Callable[[], float] = time.monotonic
    _began: float = 0.0
    _notes: list[str] = field(default_factory=list)

    def dry_run(self, *, start: str | None = None) -> DryRun:
        """Ask every check now, and tell what would be done; changes nothing, not even a journal."""
        now = self.site.clock()
        first = 0 if start is None else self.runbook.position(start)
        last = None if start else self.journals.unfinished(self.runbook.name, now=now)
        steps = []
        resumes = None
        for step in self.runbook.steps[first:]:
            if last is not None and last.passed(step.name):
                steps.append(Planned(step.name, step.title, "done earlier", "", step.commands))
                continue
            resumes = resumes or (step.name if last is not None else None)
            steps.append(self._planned(step))
        return DryRun(self.runbook, tuple(steps), resumes)

    def run(self, *, start: str | None = None, anew: bool = False) -> Ran:
        """
        Do what has to be done, from the beginning or from where the last run stopped.

        Args:
            start: this step instead.
            anew: forget a run that did not end.

        Raises:
            NotFound: no such step. LockHeld: somebody runs this runbook already. Unavailable: the
                journal cannot be kept. What goes wrong later stands in the result.
        """
        first = 0 if start is None else self.runbook.position(start)
        site, name, actor = self.site, self.runbook.name, self.site.origin.actor
        with self.journals.held(name, actor=actor, now=site.clock()), ExitStack() as stack:
            lock = _Lock(site, name, stack)
            if trouble := lock.hold():
                mend = "" if name == DATABASE_DOWN else f" Mend that first: {DATABASE_DOWN}."
                self._notes.append(
                    f"It began without a database, known to this machine only: {trouble}{mend}"
                )
            journal = None if anew else self.journals.unfinished(name, now=site.clock())
            journal = journal or begun(name, actor=actor, now=site.clock())
            return self._through(journal, lock, first, explicit=start is not None)

    def _through(self, journal: Journal, lock: _Lock, first: int, *, explicit: bool) -> Ran:
        """Every step from the first on; those that an earlier run has passed are only told."""
        self._began = self.steady()
        earlier = {} if explicit else {one.step: one for one in journal.entries if _passed(one)}
        journal.status, journal.kept, journal.entries = "running", False, []
        steps = self.runbook.steps[first:]
        failed: PadelopsError | None = None
        number = first
        for number, step in enumerate(steps, first + 1):
            entry = earlier.get(step.name)
            if entry is not None:
                entry.earlier = True
                journal.entries.append(entry)
                self._say(f"{number}/{len(self.runbook.steps)} {step.title}: done earlier.")
                continue
            failed = self._step(number, step, journal, lock)
            if failed is not None:
                break
        journal.status = "done" if failed is None else "failed"
        ran = Ran(
            self.runbook,
            journal,
            self.steady() - self._began,
            tuple(step.name for step in self.runbook.steps[number:]) if failed else (),
            failed and self._partly(journal, failed, number),
            (),
        )
        self._tell(ran)
        return Ran(ran.runbook, journal, ran.seconds, ran.remaining, ran.failed, (*self._notes,))

    def _step(self, number: int, step: Step, journal: Journal, lock: _Lock) -> PadelopsError | None:
        """One step, on record before it begins and after it ended; what it failed with."""
        entry = Entry(step=step.name)
        journal.entries.append(entry)
        self.journals.keep(journal)
        self._say(f"{number}/{len(self.runbook.steps)} {step.title}. {step.why}")
        began = self.steady()
        entry.outcome, entry.told = "failed", "It was broken off in the middle."
        failed: PadelopsError | None = None
        try:
            lock.hold()
            entry.outcome, entry.told = self._done(step, entry)
            if step.operation is not None and step.operation.acts:
                lock.may_be_back()
        except PadelopsError as exc:
            failed, entry.told = exc, exc.facts.get("short", str(exc))
        finally:
            ended = self.steady()
            entry.seconds = round(ended - began, 2)
            entry.left_s = round(self.runbook.budget.seconds - (ended - self._began), 1)
            entry.seen, entry.told = entry.seen[:LONGEST_TOLD], entry.told[:LONGEST_TOLD]
            self.journals.keep(journal)
        self._say(
            f"    {entry.outcome} in {entry.seconds:.1f} s, {self._left(entry)}: {entry.story}"
        )
        return failed

    def _done(self, step: Step, entry: Entry) -> tuple[str, str]:
        """The step itself: its outcome, and what there is to say about it."""
        operation = step.operation
        if operation is None:
            return self._asked(step)
        seen = _until(operation, self.site, 0 if operation.acts else operation.waits_s)
        entry.seen = seen.told
        if not operation.acts:
            if seen.holds:
                return "done", ""
            short = "Not as it must be."
            raise NotSo(f"{short[:-1]}: {sentence(seen.told)}", short=short)
        if seen.holds:
            return "holds", "Nothing had to be done."
        if operation.risky and not self.onlooker.agrees(f"{sentence(seen.told)} {step.title}?"):
            raise SafetyGate("Not confirmed, so it was not done.")
        did = operation.act(self.site, f"{REASON} {self.runbook.name}: {step.title}"[:200])
        entry.told = did
        proved = _until(operation, self.site, operation.patience_s, verify=True)
        if not proved.holds:
            raise NotSo(f"{sentence(did)} But then: {sentence(proved.told)}")
        return "done", f"{sentence(did)} Verified: {sentence(proved.told)}"

    def _asked(self, step: Step) -> tuple[str, str]:
        """A step for a person: prompted where somebody is there, else left with a note."""
        assert step.person is not None  # noqa: S101 - a step is one or the other
        answer = self.onlooker.asks(step)
        if answer is Answer.STOP:
            raise NotSo(f"A person stopped here: {step.person.done_when}")
        if answer is Answer.DONE:
            return "done", f"{self.site.origin.actor} says so: {step.person.done_when}"
        why = "Nobody is there to ask" if answer is None else "Put off"
        return "skipped", f"{why}. Left to a person, until: {step.person.done_when}"

    def _planned(self, step: Step) -> Planned:
        operation = step.operation
        if operation is None:
            assert step.person is not None  # noqa: S101 - a step is one or the other
            look = " ".join(step.person.look_at)
            return Planned(step.name, step.title, "asks a person", look, step.commands)
        try:
            seen = operation.check(self.site)
        except PadelopsError as exc:
            return Planned(step.name, step.title, "unknown", str(exc), step.commands)
        would = (
            "would do" if operation.acts else "would wait" if operation.waits_s else "would stop"
        )
        return Planned(
            step.name, step.title, "holds" if seen.holds else would, seen.told, step.commands
        )

    def _partly(self, journal: Journal, exc: PadelopsError, number: int) -> PartlyDone:
        """What a run that stopped says: what was done, where it stopped, what is left."""
        step = self.runbook.steps[number - 1]
        left = [one.name for one in self.runbook.steps[number:]]
        done = [one.step for one in journal.entries if one.outcome == "done"]
        return PartlyDone(
            f"{self.runbook.name} stopped at {step.name}: {exc.message}"
            f" Done: {', '.join(done) or 'nothing'}. Left: {', '.join([step.name, *left])}.",
            fix=f"{exc.fix or ''} Run it again to go on there. {self.runbook.escalate}".strip(),
            step=step.name,
            done=done,
            left=[step.name, *left],
            cause=exc.as_json(),
        )

    def _tell(self, ran: Ran) -> None:
        """The database and the incident hear of it where they can; the file has it anyway."""
        journal = ran.journal
        self.journals.keep(journal)
        for one in self.journals.told_to_nobody():
            try:
                _keep(self.site, one)
            except PadelopsError as exc:
                self._notes.append(
                    f"The database does not have this run yet, {self.journals.folder} does: {exc}"
                )
                break
            one.kept = True
            self.journals.keep(one)
            journal.kept = journal.kept or one.run_id == journal.run_id
        if not ran.within_budget:
            over = ran.seconds - self.runbook.budget.seconds
            self._notes.append(f"{over:.0f} s over the budget. {self.runbook.escalate}")

    def _left(self, entry: Entry) -> str:
        return f"{entry.left_s:.0f} s left" if entry.left_s >= 0 else f"{-entry.left_s:.0f} s over"

    def _say(self, line: str) -> None:
        self.onlooker.say(line)


class NotSo(Refused):
    """What must be true is not."""

    code = "not_so"


class _Lock:
    """
    The operator lock of a runbook, as far as there is a database to keep it.

    A failover takes it away with its session; then it is taken again before the next step.
    """

    def __init__(self, site: Site, name: str, stack: ExitStack) -> None:
        self._site = site
        self._name = name
        self._stack = stack
        self._held: Held | None = None
        self._given_up = False

    def may_be_back(self) -> None:
        """Something was done, so the database is worth asking once more."""
        self._given_up = False

    def hold(self) -> str:
        """
        Have it, or say why nobody can.

        Raises:
            LockHeld: another machine has it.
        """
        if self._held is not None:
            try:
                self._held.still()
            except LockLost:
                self._held = None
            else:
                return ""
        if self._given_up:
            return ""
        try:
            self._held = self._stack.enter_context(
                operator_lock(
                    self._site.database(),
                    f"{ACTION}.{self._name}",
                    purpose=f"runbook {self._name}",
                    origin=self._site.origin,
                )
            )
        except LockHeld:
            raise
        except (Unavailable, Refused) as exc:
            # Asking a silent server once more for each step would use up the budget.
            self._given_up = True
            return exc.message
        return ""


def _until(operation: Operation, site: Site, wait_s: float, *, verify: bool = False) -> Seen:
    """What a check says, asked again until it holds or the time is over."""
    deadline = time.monotonic() + wait_s
    ask: Callable[[Site], Seen] = operation.verify if verify else operation.check
    while True:
        try:
            seen = ask(site)
        except Unavailable:
            if time.monotonic() >= deadline:
                raise
        else:
            if seen.holds or time.monotonic() >= deadline:
                return seen
        time.sleep(PAUSE_S)


def _keep(site: Site, journal: Journal) -> None:
    """The run and its audit entry in the database, in one transaction."""
    from datetime import datetime  # noqa: PLC0415

    now = site.clock()
    steps = {entry.step: entry.outcome for entry in journal.entries}
    skipped = "skipped" in steps.values()
    outcome = "failed" if journal.status == "failed" else "warning" if skipped else "ok"
    with site.database().transaction(site.origin) as tx:
        number = operator_runs.begin(
            tx,
            journal.number,
            ACTION,
            journal.runbook,
            host=socket.gethostname(),
            pid=os.getpid(),
            now=datetime.fromisoformat(journal.started_at),
        )
        went = ", ".join(f"{name} {became}" for name, became in steps.items())
        told = f"{journal.runbook}: {journal.status}; {went}"
        operator_runs.end(tx, number, outcome, told[:500], as_evidence(journal), now=now)
        audit.note(
            tx,
            "runbook_run",
            {"run_id": journal.run_id, "runbook": journal.runbook, "steps": steps},
            subject_id=number,
        )


def _passed(entry: Entry) -> bool:
    return entry.outcome in {"done", "holds"}
