"""Indicators that are asked of the tables: rows of labels and a value."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from psycopg.rows import dict_row

from padelops.store.queries import statements

if TYPE_CHECKING:
    from datetime import datetime

    from padelops.store.engine import Tx

_SQL = statements("indicators")

STATEMENTS = frozenset(_SQL) - {"answer_survey"}
"""What can be asked, by name."""


def ask(tx: Tx, name: str, *, now: datetime) -> list[tuple[dict[str, str], Any]]:
    """The answers of one statement: labels, and a value that may be None."""
    with tx.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(_SQL[name], {"now": now}).fetchall()
    return [
        ({label: str(value) for label, value in row.items() if label != "value"}, row["value"])
        for row in rows
    ]


def answer_survey(tx: Tx, reservation_id: int, score: int, *, now: datetime) -> bool:
    """Record what a player said of a reservation; False if there is no such reservation."""
    values = {"claim_id": reservation_id, "score": score, "now": now}
    return tx.execute(_SQL["answer_survey"], values).fetchone() is not None
