"""
`validate --repair`: mends what is safe to mend, by name, and nothing else.

Found by the validator's own checks, agreed to, mended one by one, and checked again. Every mended
thing leaves an audit entry, and every run its journal in `operator_runs`. What is not safe to mend
is listed with what a person should do.

Source: DESIGN.md section 3; CRITICAL_PATHS.md, "Data integrity verification".
"""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self
from uuid import UUID, uuid4

from padelops.errors import ExitCode
from padelops.ops.integrity_mends import REPAIRS, Bench, repair_named
from padelops.ops.locks import operator_lock
from padelops.store import operator_runs
from padelops.store.integrity import Violation

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from padelops.booking.cache import Cache
    from padelops.model import Origin
    from padelops.ops.integrity import IntegrityValidator
    from padelops.store.engine import Database

LOCK = "repair"


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that is to be mended, or was; `left` says why it was not."""

    repair: str
    subject: str
    evidence: dict[str, Any]
    left: str | None = None

    def as_json(self) -> dict[str, Any]:
        return {
            "repair": self.repair,
            "subject": self.subject,
            "evidence": self.evidence,
            "left": self.left,
        }


@dataclass(frozen=True, slots=True)
class Mended:
    """
    What a repair did.

    Attributes:
        remaining: violations that were there when everything was checked again; None in a dry run.
        unchecked: checks that could not run again, so that nobody knows.
    """

    run_id: UUID | None
    mended: tuple[Step, ...]
    left: tuple[Step, ...]
    remaining: int | None = None
    unchecked: tuple[str, ...] = ()

    @property
    def dry_run(self) -> bool:
        return self.run_id is None

    @property
    def exit_code(self) -> ExitCode:
        """0 done and verified, 3 not verified, 6 something is left for a person or another run."""
        if self.unchecked:
            return ExitCode.OUTCOME_UNKNOWN
        return ExitCode.PARTLY_DONE if self.left or self.remaining else ExitCode.DONE

    def as_json(self) -> dict[str, Any]:
        return {
            "dry_run": self.dry_run,
            "run_id": None if self.run_id is None else str(self.run_id),
            "mended": [step.as_json() for step in self.mended],
            "left": [step.as_json() for step in self.left],
            "remaining": self.remaining,
            "unchecked": list(self.unchecked),
        }


@dataclass(frozen=True, slots=True)
class IntegrityRepair:
    """Finds by the validator's own checks, mends, and checks again."""

    database: Database
    validator: IntegrityValidator
    cache: Cache
    origin: Origin
    clock: Callable[[], datetime] = field(repr=False)

    def plan(self, names: Sequence[str]) -> list[Step]:
        """
        What would be mended, as the tables are now.

        Raises:
            InvalidInput: no such repair. DatabaseUnavailable: a check could not run.
        """
        wanted = [repair_named(name) for name in dict.fromkeys(names)]
        report = self.validator.validate_all_reservations(checks=[one.check for one in wanted])
        report.require_complete()
        by_check = {one.check: one.name for one in wanted}
        return [
            Step(by_check[outcome.check], found.subject, found.evidence)
            for outcome in report
            for found in outcome.violations
        ]

    def run(self, names: Sequence[str]) -> Mended:
        """
        Mend what `plan` finds, one thing and one transaction at a time, and check again.

        Raises:
            LockHeld: another process repairs. LockLost: it may by now; what was done is on record.
        """
        mended: list[Step] = []
        left: list[Step] = []
        run_id = uuid4()
        with operator_lock(
            self.database, LOCK, purpose=",".join(names)[:200], origin=self.origin
        ) as held:
            with self.database.transaction(self.origin) as tx:
                operator_runs.abandon(tx, LOCK, now=self.clock())
            steps = self.plan(names)
            for name in dict.fromkeys(names):
                mine = [step for step in steps if step.repair == name]
                with _journal(self, run_id, name) as entry:
                    for step in mine:
                        held.still()
                        why = REPAIRS[name].mend(self._bench(), _violation(step))
                        done = Step(name, step.subject, step.evidence, why)
                        (mended if why is None else left).append(done)
                        entry.steps.append(done)
        again = self.validator.validate_all_reservations(
            checks=[REPAIRS[name].check for name in names]
        )
        told = {step.subject for step in left}
        return Mended(
            run_id,
            tuple(mended),
            tuple(left),
            sum(one.found for one in again)
            - sum(found.subject in told for one in again for found in one.violations),
            tuple(again.not_run),
        )

    def _bench(self) -> Bench:
        return Bench(self.database, self.cache, self.origin, self.clock())


@dataclass(slots=True)
class _journal:  # noqa: N801 - used as a function
    """A row of `operator_runs` around the repairs of one name."""

    repair: IntegrityRepair
    run_id: UUID
    name: str
    steps: list[Step] = field(default_factory=list)
    number: int = 0

    def __enter__(self) -> Self:
        with self.repair.database.transaction(self.repair.origin) as tx:
            self.number = operator_runs.begin(
                tx,
                self.run_id,
                LOCK,
                self.name,
                host=socket.gethostname(),
                pid=os.getpid(),
                now=self.repair.clock(),
            )
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        mended = sum(step.left is None for step in self.steps)
        left = len(self.steps) - mended
        outcome = "failed" if kind else "warning" if left else "ok"
        with self.repair.database.transaction(self.repair.origin) as tx:
            operator_runs.end(
                tx,
                self.number,
                outcome,
                f"{mended} mended, {left} left",
                {"steps": [step.as_json() for step in self.steps]},
                now=self.repair.clock(),
            )


def _violation(step: Step) -> Violation:
    return Violation(step.subject, step.evidence)
