"""
The circuit breakers' shared state as rows: one for each breaker, and each process's reports.

A record goes in and comes out as the JSON object that `circuit_breakers.BreakerRecord` writes and
reads; the table has a column for each of its members, so that people and metrics can ask in SQL.
Members that only a newer padelops knows are passed over on both sides.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from padelops.store.queries import statements

if TYPE_CHECKING:
    from datetime import datetime

    from padelops.store.engine import Tx

_SQL = statements("breakers")


def bound(tx: Tx, *, statement_ms: int, lock_ms: int) -> None:
    """Make this connection one whose statements are short or fail."""
    tx.execute(_SQL["bound"], {"statement_ms": f"{statement_ms}ms", "lock_ms": f"{lock_ms}ms"})


def exchange(
    tx: Tx,
    breaker: str,
    *,
    process: str,
    generation: int,
    at: datetime,
    calls: int,
    failures: int,
    slow: int,
    since: datetime,
) -> tuple[str | None, int, int, int]:
    """
    Leave a process's report in place of its last one.

    Returns:
        The record that stands, None where nothing was ever stored; then calls, failures and slow
        calls of the other processes since `since` in the generation that stands.
    """
    row = tx.execute(
        _SQL["exchange"],
        {
            "breaker": breaker,
            "process": process,
            "generation": generation,
            "at": at,
            "calls": calls,
            "failures": failures,
            "slow": slow,
            "since": since,
        },
    ).fetchone()
    return (None, 0, 0, 0) if row is None else (row[0], row[1], row[2], row[3])


def swap(tx: Tx, breaker: str, record: str, *, expected: str, actor: str, door: str) -> str | None:
    """
    Store a record in place of the one stamped `expected`, or as the first where that is empty.

    Args:
        actor, door: whom the audit trail names; the entry is committed with the change.

    Returns:
        The record that stands now, whoever stored it; None where there is still none.
    """
    values = {
        "breaker": breaker,
        "record": record,
        "expected": expected,
        "actor": actor,
        "door": door,
    }
    row = tx.execute(_SQL["replace" if expected else "insert"], values).fetchone()
    if row is None:
        # The statement's own snapshot is older than the rival it waited for, so ask anew.
        row = tx.execute(_SQL["standing"], values).fetchone()
    return None if row is None else str(row[0])
