"""
Rebuild indexes while bookings go on: one after the other, each verified, resumed where it ended.

PostgreSQL rebuilds an index concurrently beside the old one and then swaps them. What it cannot
rebuild so (tried on 15 and 18) is the index of an exclusion constraint, and ours decides between
two bookings. It is left alone, and said so; who asks for it has it rebuilt while bookings wait.

A rebuild that is broken off leaves an invalid index behind, which costs every write and serves no
read. Those are removed first, and looked for at the end.

Source: CRITICAL_PATHS.md, "Performance Optimization" (`REINDEX TABLE`).
"""

from __future__ import annotations

import os
import re
import socket
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import psycopg

from padelops.errors import ConstraintBroken, CourtBusy, NotFound, PartlyDone, Unavailable
from padelops.ops.locks import operator_lock
from padelops.store import indexes as rows
from padelops.store import operator_runs
from padelops.store.driver_errors import explain
from padelops.store.engine import explained

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import datetime
    from uuid import UUID

    from padelops.model import Origin
    from padelops.store.engine import Database, Tx
    from padelops.store.indexes import Index

ACTION = "reindex"

LOCK_S = 30
"""How long a rebuild waits for a transaction that is older than it."""

BLOCKING_LOCK_S = 2
"""The same where bookings queue behind the wait."""

RESUMED_WITHIN = timedelta(hours=24)
"""An older run that was broken off is begun anew."""

MOST_RUNS = 10_000

REBUILT, DONE_BEFORE, LEFT_ALONE, FAILED = "rebuilt", "done before", "left alone", "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one index; sizes in bytes, `after` None where it was not rebuilt."""

    table: str
    index: str
    what: str
    before: int
    after: int | None = None
    why: str = ""

    def as_json(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reindexed:
    """
    A whole run.

    Attributes:
        removed: leftovers of rebuilds that were broken off.
        invalid: indexes that are invalid afterwards; there should be none.
    """

    outcomes: tuple[Outcome, ...]
    removed: tuple[str, ...]
    invalid: tuple[str, ...]
    dry_run: bool = False

    @property
    def failed(self) -> list[str]:
        return [one.index for one in self.outcomes if one.what == FAILED]

    def as_json(self) -> dict[str, Any]:
        return {
            "dry_run": self.dry_run,
            "indexes": [one.as_json() for one in self.outcomes],
            "leftovers_removed": list(self.removed),
            "invalid": list(self.invalid),
        }


@dataclass(frozen=True, slots=True)
class Reindexer:
    """Rebuilds the indexes of one database, one operator at a time."""

    database: Database
    origin: Origin
    clock: Callable[[], datetime]

    def plan(self, tables: Sequence[str]) -> list[Index]:
        """
        The indexes that would be rebuilt, leftovers among them.

        Raises:
            NotFound: one of the tables is not there, or has no index.
        """
        tx = self.database.connect()
        try:
            with explained():
                return self._wanted(tx, tables)
        finally:
            tx.close()

    def run(
        self,
        tables: Sequence[str] = (),
        *,
        block_bookings: bool = False,
        told: Callable[[Outcome], None] = lambda _: None,
    ) -> Reindexed:
        """
        Rebuild every index, or those of some tables.

        Args:
            block_bookings: also rebuild what nobody can write beside.
            told: called after each index.

        Raises:
            LockHeld: somebody else is at it. NotFound: no such table.
        """
        scope = "all" if not tables else "tables/" + _plain("-".join(sorted(tables)))
        with operator_lock(self.database, ACTION, purpose=scope, origin=self.origin) as lock:
            tx = self.database.connect()
            try:
                with explained():
                    rows.act_as(tx, self.origin.actor, self.origin.door.value)
                    rows.be_patient(tx, lock_s=LOCK_S)
                    wanted = self._wanted(tx, tables)
                    operator_runs.abandon(tx, ACTION, now=self.clock())
                    run_id, done = self._resumed(tx, scope)
                    whole = self._begin(tx, run_id, scope)
                    removed = _without_leftovers(tx, wanted)
                outcomes: list[Outcome] = []
                for index in wanted:
                    if index.leftover:
                        continue
                    with _partly(outcomes):
                        lock.still()
                        outcomes.append(self._one(tx, run_id, index, done, block_bookings))
                    told(outcomes[-1])
                with explained():
                    invalid = tuple(one.name for one in self._wanted(tx, tables) if not one.valid)
                    result = Reindexed(
                        outcomes=tuple(outcomes), removed=tuple(removed), invalid=invalid
                    )
                    well = not (result.failed or invalid)
                    self._end(tx, whole, "ok" if well else "failed", result.as_json())
                return result
            finally:
                tx.close()

    def _wanted(self, tx: Tx, tables: Sequence[str]) -> list[Index]:
        found = rows.indexes(tx)
        if unknown := set(tables) - {index.table for index in found}:
            raise NotFound(
                f"There is no table {min(unknown)[:63]!r} with indexes.",
                fix="padelops db stats lists them.",
            )
        return [index for index in found if not tables or index.table in tables]

    def _resumed(self, tx: Tx, scope: str) -> tuple[UUID, set[str]]:
        """The run that was broken off last, and what it had done; a new one where none was."""
        last = operator_runs.runs(tx, ACTION, tasks=[scope], limit=1)
        if not last or last[0].outcome == "ok":
            return uuid4(), set()
        if self.clock() - last[0].started_at > RESUMED_WITHIN:
            return uuid4(), set()
        done = operator_runs.runs(tx, ACTION, run_id=last[0].run_id, limit=MOST_RUNS)
        return last[0].run_id, {run.task for run in done if run.outcome == "ok"}

    def _one(
        self, tx: Tx, run_id: UUID, index: Index, done: set[str], block_bookings: bool
    ) -> Outcome:
        of = partial(Outcome, table=index.table, index=index.name, before=index.size_bytes)
        if index.exclusion and not block_bookings:
            why = "PostgreSQL cannot rebuild an exclusion constraint's index beside bookings."
            return of(what=LEFT_ALONE, why=why)
        task = _task(index.name)
        if task in done and index.valid:
            return of(what=DONE_BEFORE)
        number = self._begin(tx, run_id, task)
        try:
            with explained():
                after = _rebuilt(tx, index)
        except (CourtBusy, ConstraintBroken, PartlyDone) as exc:
            why = exc.message
            if isinstance(exc, CourtBusy):
                why = "A transaction that is older than the rebuild did not end in time."
            _without_leftovers(tx, rows.indexes(tx))
            self._end(tx, number, "failed", {"why": why})
            return of(what=FAILED, why=why)
        self._end(tx, number, "ok", {"before": index.size_bytes, "after": after})
        return of(what=REBUILT, after=after)

    def _begin(self, tx: Tx, run_id: UUID, task: str) -> int:
        return operator_runs.begin(
            tx, run_id, ACTION, task, host=socket.gethostname(), pid=os.getpid(), now=self.clock()
        )

    def _end(self, tx: Tx, number: int, outcome: str, evidence: dict[str, Any]) -> None:
        operator_runs.end(tx, number, outcome, outcome, evidence, now=self.clock())


def _rebuilt(tx: Tx, index: Index) -> int:
    """
    Rebuild one index and make sure of it; its size afterwards.

    Raises:
        CourtBusy: somebody was in the way. PartlyDone: it is there, and not valid.
    """
    if index.exclusion:
        rows.be_patient(tx, lock_s=BLOCKING_LOCK_S)
    try:
        rows.rebuild(tx, index.name, concurrently=not index.exclusion)
    finally:
        if index.exclusion and not tx.closed:
            rows.be_patient(tx, lock_s=LOCK_S)
    found = next((one for one in rows.indexes(tx) if one.name == index.name), None)
    if found is None or not found.valid:
        raise PartlyDone("It was rebuilt, and is not valid afterwards.")
    return found.size_bytes


@contextmanager
def _partly(outcomes: Sequence[Outcome]) -> Iterator[None]:
    """What was rebuilt stays rebuilt: losing the server after that is no "nothing was changed"."""
    try:
        yield
    except Unavailable as exc:
        rebuilt = sum(one.what == REBUILT for one in outcomes)
        if not rebuilt:
            raise
        raise PartlyDone(
            f"{rebuilt} indexes were rebuilt, then: {exc.message}",
            fix="Run it again: it goes on from there.",
        ) from exc


def _without_leftovers(tx: Tx, found: Sequence[Index]) -> list[str]:
    """Remove what broken-off rebuilds left; the names of what was removed."""
    removed = []
    for index in found:
        if index.leftover:
            try:
                rows.drop(tx, index.name)
            except psycopg.Error as exc:
                error = explain(exc)
                if not isinstance(error, CourtBusy):
                    raise (error or exc) from exc
                continue  # somebody is building it at this moment; told as invalid at the end
            removed.append(index.name)
    return removed


def _task(index: str) -> str:
    return "index/" + _plain(index)


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9_./-]", "_", name.lower())[:150]


def raise_if_partly(result: Reindexed) -> None:
    """
    Raises:
        PartlyDone: something failed, or is invalid.
    """
    if result.failed or result.invalid:
        names = sorted({*result.failed, *result.invalid})
        raise PartlyDone(
            f"Not rebuilt: {', '.join(names)}.",
            fix="Run it again: it goes on from there.",
            indexes=names,
        )
