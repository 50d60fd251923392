"""What operators ran: each piece of work with its outcome and its evidence, kept and forgotten."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from padelops.store.queries import statements

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    from padelops.store.engine import Tx

_SQL = statements("operators")


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorRun:
    """
    One piece of work of one invocation.

    Attributes:
        run_id: shared by the pieces of one invocation.
        action: `maintenance`, `reindex` ...: what the lock is named.
        task: what was worked on.
        outcome: `ok`, `warning`, `critical`, `unknown`, `failed`, `abandoned`; None while it runs.
        evidence: what was found, as JSON.
    """

    id: int
    run_id: UUID
    action: str
    task: str
    started_at: datetime
    ended_at: datetime | None
    outcome: str | None
    summary: str | None
    actor: str
    host: str
    pid: int
    evidence: dict[str, Any]

    def as_json(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__} | {
            "run_id": str(self.run_id),
            "started_at": self.started_at.isoformat(),
            "ended_at": None if self.ended_at is None else self.ended_at.isoformat(),
        }


def begin(
    tx: Tx, run_id: UUID, action: str, task: str, *, host: str, pid: int, now: datetime
) -> int:
    """Write down that a piece of work starts; its number."""
    row = tx.execute(
        _SQL["begin_run"],
        {
            "run_id": run_id,
            "action": action,
            "task": task,
            "started_at": now,
            "host": host,
            "pid": pid,
        },
    ).fetchone()
    assert row is not None  # noqa: S101 - for the type checker: RETURNING of one inserted row
    return int(row[0])


def end(
    tx: Tx, number: int, outcome: str, summary: str, evidence: Mapping[str, Any], *, now: datetime
) -> bool:
    """Write down what came of it; False where somebody else has closed it meanwhile."""
    ended = tx.execute(
        _SQL["end_run"],
        {
            "id": number,
            "outcome": outcome,
            "summary": summary,
            "evidence": Jsonb(evidence),
            "ended_at": now,
        },
    )
    return ended.rowcount == 1


def abandon(tx: Tx, action: str, *, now: datetime) -> list[OperatorRun]:
    """Close what processes that died left open. Hold the action's lock: else it may be alive."""
    with tx.cursor(row_factory=class_row(OperatorRun)) as cursor:
        return cursor.execute(_SQL["abandon_runs"], {"action": action, "now": now}).fetchall()


def runs(
    tx: Tx,
    action: str,
    *,
    run_id: UUID | None = None,
    tasks: Sequence[str] | None = None,
    limit: int,
) -> list[OperatorRun]:
    """The newest pieces of work, newest first: of all tasks, or of these."""
    with tx.cursor(row_factory=class_row(OperatorRun)) as cursor:
        return cursor.execute(
            _SQL["runs"], {"action": action, "run_id": run_id, "tasks": tasks, "limit": limit}
        ).fetchall()


def last_runs(tx: Tx, action: str, outcomes: Sequence[str]) -> dict[str, OperatorRun]:
    """By task, its last run that ended in one of these ways; without the evidence."""
    with tx.cursor(row_factory=class_row(OperatorRun)) as cursor:
        found = cursor.execute(
            _SQL["last_runs"], {"action": action, "outcomes": list(outcomes)}
        ).fetchall()
    return {run.task: run for run in found}


def forget(tx: Tx, *, before: datetime) -> int:
    """Delete runs that ended before; the last of each task and outcome stays. How many it was."""
    return tx.execute(_SQL["forget_runs"], {"before": before}).rowcount
