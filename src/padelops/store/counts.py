"""
What processes counted, as rows by the minute, and in all since the server's timeline began.

Lock order: the process's own batch, then operations, operation_totals, counters, counter_totals,
each in key order.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from psycopg.types.json import Jsonb

from padelops.store.queries import statements

if TYPE_CHECKING:
    from collections.abc import Sequence

    from padelops.store.engine import Tx

_SQL = statements("counts")

Counter = tuple[datetime, str, int]
"""Minute, name, how many."""


@dataclass(frozen=True, slots=True)
class Operations:
    """Operations of one minute that ended alike."""

    minute: datetime
    path: str
    outcome: str
    code: str
    calls: int
    seconds: float
    buckets: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Ended:
    """Operations of some stretch of time that ended alike."""

    path: str
    outcome: str
    code: str
    calls: int
    seconds: float
    buckets: tuple[int, ...]


def add(
    tx: Tx,
    *,
    process: str,
    batch: int,
    operations: Sequence[Operations],
    counters: Sequence[Counter],
) -> bool:
    """Add a process's batch, inside a transaction; False if it has been counted before."""
    first = tx.execute(_SQL["begin_batch"], {"process": process, "batch": batch}).fetchone()
    if first is None:
        return False
    if operations:
        rows = Jsonb([{**asdict(row), "minute": row.minute.isoformat()} for row in operations])
        tx.execute(_SQL["add_operations"], {"rows": rows})
        tx.execute(_SQL["add_operation_totals"], {"rows": rows})
    if counters:
        rows = Jsonb(
            [{"minute": minute.isoformat(), "name": name, "n": n} for minute, name, n in counters]
        )
        tx.execute(_SQL["add_counters"], {"rows": rows})
        tx.execute(_SQL["add_counter_totals"], {"rows": rows})
    return True


def operations_within(tx: Tx, lengths_s: Sequence[int], *, now: datetime) -> dict[int, list[Ended]]:
    """What ended in the last so many seconds, for each length: whole minutes and the one begun."""
    found: dict[int, list[Ended]] = {length: [] for length in lengths_s}
    # The longest once more, as a bound that the planner can weigh.
    since = now - timedelta(seconds=max(found, default=0), minutes=1)
    values = {"lengths": list(found), "now": now, "since": since}
    for length, *row in tx.execute(_SQL["operations_within"], values).fetchall():
        found[length].append(_ended(row))
    return found


def operations_by_step(
    tx: Tx, length_s: int, step_s: int, *, now: datetime
) -> list[tuple[int, Ended]]:
    """What ended in the last so many seconds, by steps of equal length, the oldest first."""
    values = {"length": length_s, "step": step_s, "now": now}
    return [
        (step, _ended((path, outcome, "", *rest)))
        for path, outcome, step, *rest in tx.execute(_SQL["operations_by_step"], values).fetchall()
    ]


def counters_within(
    tx: Tx, lengths_s: Sequence[int], *, now: datetime
) -> dict[int, dict[str, int]]:
    """The same of what is counted by name."""
    found: dict[int, dict[str, int]] = {length: {} for length in lengths_s}
    # The longest once more, as a bound that the planner can weigh.
    since = now - timedelta(seconds=max(found, default=0), minutes=1)
    values = {"lengths": list(found), "now": now, "since": since}
    for length, name, n in tx.execute(_SQL["counters_within"], values).fetchall():
        found[length][name] = n
    return found


def operation_totals(tx: Tx) -> list[Ended]:
    """All operations that this timeline has counted; never less than it was."""
    return [_ended(row) for row in tx.execute(_SQL["operation_totals"]).fetchall()]


def counter_totals(tx: Tx) -> dict[str, int]:
    """All that this timeline has counted by name; never less than it was."""
    return dict(tx.execute(_SQL["counter_totals"]).fetchall())


def roll_up(tx: Tx, *, before: datetime) -> int:
    """Join minutes before the beginning of an hour into hours; how many rows of hours."""
    return tx.execute(_SQL["roll_up"], {"before": before}).rowcount


def forget(tx: Tx, *, before: datetime, batches_before: datetime) -> int:
    """Drop up to a day's minutes, and what no counter needs any more; how many rows of minutes."""
    done = tx.execute(_SQL["forget_operations"], {"before": before}).rowcount
    done += tx.execute(_SQL["forget_counters"], {"before": before}).rowcount
    tx.execute(_SQL["forget_batches"], {"before": batches_before})
    tx.execute(_SQL["forget_operation_epochs"])
    tx.execute(_SQL["forget_counter_epochs"])
    return done


def _ended(row: Sequence[Any]) -> Ended:
    path, outcome, code, calls, seconds, buckets = row
    return Ended(path, outcome, code, calls, seconds, tuple(buckets))
