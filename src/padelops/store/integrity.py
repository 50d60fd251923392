"""The invariants as questions to the tables: what violates them, with evidence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from psycopg.rows import class_row

from padelops.store.queries import statements

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime
    from decimal import Decimal

    from padelops.store.engine import Tx

_SQL = statements("integrity")


@dataclass(frozen=True, slots=True)
class Violation:
    """One thing that breaks an invariant: what to look at, and the evidence as JSON."""

    subject: str
    evidence: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class PricedReservation:
    """What a reservation's price was computed from."""

    id: int
    court: str
    starts_at: datetime
    ends_at: datetime
    member_tier: str | None
    total: Decimal
    lines: list[dict[str, Any]]
    price_source: str
    tariff_id: int | None


def begin_snapshot(tx: Tx) -> None:
    """Everything asked from here on is answered from one moment, and nothing can be written."""
    tx.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")


def violations(tx: Tx, check: str, *, now: datetime, limit: int) -> list[Violation]:
    """The rows that one named check of `sql/integrity.sql` finds."""
    rows = tx.execute(_SQL[check], {"now": now, "limit": limit}).fetchall()
    return [Violation(row[0], row[1]) for row in rows]


def counts(tx: Tx) -> tuple[int, int]:
    """How many reservations and blocks there are."""
    row = tx.execute(_SQL["counts"]).fetchone()
    return (0, 0) if row is None else (row[0], row[1])


def priced_reservations(tx: Tx, *, batch: int = 5000) -> Iterator[PricedReservation]:
    """Every reservation whose price can be computed again, in batches by id."""
    after = 0
    while True:
        with tx.cursor(row_factory=class_row(PricedReservation)) as cursor:
            rows = cursor.execute(
                _SQL["priced_reservations"], {"after": after, "limit": batch}
            ).fetchall()
        yield from rows
        if len(rows) < batch:
            return
        after = rows[-1].id


def tariff_terms(tx: Tx, tariff_id: int) -> dict[str, Any] | None:
    """A tariff's frozen document."""
    row = tx.execute(_SQL["tariff_terms"], {"tariff_id": tariff_id}).fetchone()
    return None if row is None else row[0]
