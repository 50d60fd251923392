"""Quarantine: rows of an import that would break an invariant, kept whole until they fit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from psycopg.rows import class_row

from padelops.store.queries import statements

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from padelops.store.engine import Tx

_SQL = statements("quarantine")

PAGE = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Quarantined:
    """
    A row that waits. It shows no personal data; the record itself stays in the table.

    Attributes:
        clashes_with: what keeps its court, each with kind, id, external_ref, starts_at, ends_at.
    """

    id: int
    source: str
    model: str
    external_ref: str
    reason: str
    detail: str
    clashes_with: list[dict[str, Any]]
    created_at: datetime

    def as_json(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "reason": self.reason,
            "model": self.model,
            "ref": self.external_ref,
            "detail": self.detail,
            "clashes_with": self.clashes_with,
            "source": self.source,
            "since": self.created_at.isoformat(),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class QuarantinedRecord:
    """A waiting row as it came, with what is needed to read it again."""

    id: int
    source: str
    model: str
    record: str
    context: dict[str, Any]


def put_batch(tx: Tx, number: int, *, now: datetime) -> None:
    """Put the bad rows of a batch in, and close the entries of those that are in by now."""
    tx.execute(_SQL["put_batch"], {"batch": number})
    tx.execute(_SQL["resolve_batch"], {"batch": number, "now": now})


def put(
    tx: Tx,
    *,
    source: str,
    model: str,
    scope: str,
    ref: str,
    record: str,
    context: str,
    reason: str,
    detail: str,
) -> None:
    """Put one row in."""
    tx.execute(
        _SQL["put"],
        {
            "source": source,
            "model": model,
            "scope": scope,
            "external_ref": ref,
            "record": record,
            "context": context,
            "reason": reason,
            "detail": detail,
        },
    )


def resolve(tx: Tx, *, model: str, scope: str, ref: str, now: datetime) -> None:
    """Close the entry of a row that is in by now."""
    tx.execute(_SQL["resolve"], {"model": model, "scope": scope, "external_ref": ref, "now": now})


def open_rows(tx: Tx, *, limit: int) -> list[Quarantined]:
    """What waits, oldest first."""
    with tx.cursor(row_factory=class_row(Quarantined)) as cursor:
        return cursor.execute(_SQL["open_rows"], {"limit": limit}).fetchall()


def open_records(tx: Tx) -> Iterator[QuarantinedRecord]:
    """Everything that waits now, page by page, as it came."""
    _, newest = count_open(tx)
    after = 0
    while True:
        with tx.cursor(row_factory=class_row(QuarantinedRecord)) as cursor:
            page = cursor.execute(
                _SQL["open_records"], {"after": after, "upto": newest, "limit": PAGE}
            ).fetchall()
        yield from page
        if len(page) < PAGE:
            return
        after = page[-1].id


def count_open(tx: Tx) -> tuple[int, int]:
    """How many rows wait, and the newest one's id."""
    row = tx.execute(_SQL["count_open"]).fetchone()
    return (0, 0) if row is None else (row[0], row[1])
