"""
The invariants as questions to the tables: what violates them, with evidence.

Answers are streamed, so that a million violations take no more memory than one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from psycopg import sql
from psycopg.rows import class_row

from padelops.store.queries import statements

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime
    from decimal import Decimal

    from padelops.store.engine import Tx

_SQL = {
    name: text
    for noun in ("rows", "money", "messages", "trail", "clubs")
    for name, text in statements(f"integrity_{noun}").items()
}
_SHAPE = statements("schema_shape")
_AUDIT = statements("audit")

EACH_FETCH = 500
"""Rows that one answer of the server brings."""

ROOM = "64MB"
"""For one sort or hash: what a million rows need; the usual 4 MB send them to the disk."""


@dataclass(frozen=True, slots=True)
class Violation:
    """One thing that breaks an invariant: what to look at, and the evidence as JSON."""

    subject: str
    evidence: dict[str, Any]

    def as_json(self) -> dict[str, Any]:
        return {"subject": self.subject, "evidence": self.evidence}


@dataclass(frozen=True, slots=True)
class ClubRows:
    """How much there is to look at in one club; `slug` is None for a club that is not there."""

    id: int
    slug: str | None
    reservations: int
    blocks: int


@dataclass(frozen=True, slots=True)
class Server:
    """Who asks whom; `identity` tells one database from another, also after a restart."""

    role: str
    standby: bool
    identity: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PricedReservation:
    """What a reservation's price was computed from; `court` is None where it is missing."""

    id: int
    court: str | None
    starts_at: datetime
    ends_at: datetime
    member_tier: str | None
    total: Decimal
    lines: list[dict[str, Any]]
    tariff_id: int | None


def begin_snapshot(tx: Tx, snapshot: str | None = None) -> None:
    """
    Everything asked from here on is answered from one moment, and nothing can be written.

    Args:
        snapshot: the moment of another connection, from `export_snapshot`.
    """
    tx.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
    if snapshot is not None:
        tx.execute(sql.SQL("SET TRANSACTION SNAPSHOT {}").format(snapshot))


def export_snapshot(tx: Tx) -> str:
    """The moment that this transaction sees, for others; valid as long as it lives."""
    row = tx.execute(_SQL["export_snapshot"]).fetchone()
    return "" if row is None else str(row[0])


def make_room(tx: Tx) -> None:
    """Let this transaction sort a million rows and wait for its sisters; compile no plans."""
    for name, value in (
        ("work_mem", ROOM),
        ("hash_mem_multiplier", "2"),
        ("jit", "off"),
        ("idle_in_transaction_session_timeout", "0"),
    ):
        tx.execute(sql.SQL("SET LOCAL {} = {}").format(sql.Identifier(name), value))


def server(tx: Tx) -> Server:
    """Who asks, and which database this is."""
    row = tx.execute(_SQL["who"]).fetchone()
    return Server("", False, "") if row is None else Server(*row)


def unreadable(tx: Tx, relations: Sequence[str]) -> list[str]:
    """Which of these tables the role may not read."""
    rows = tx.execute(_SQL["readable"], {"relations": list(relations)}).fetchall()
    return [row[0] for row in rows]


def grant(relations: Sequence[str], role: str) -> str:
    """The statement that lets a role read these tables."""
    names = sql.SQL(", ").join(map(sql.Identifier, relations))
    return sql.SQL("GRANT SELECT ON {} TO {}").format(names, sql.Identifier(role)).as_string(None)


def clubs(tx: Tx) -> list[ClubRows]:
    """Every club that has rows or terms, by id."""
    with tx.cursor(row_factory=class_row(ClubRows)) as cursor:
        return cursor.execute(_SQL["pieces"]).fetchall()


def violations(
    tx: Tx, statement: str, *, now: datetime, clubs: Sequence[int] | None
) -> Iterator[tuple[str, Violation]]:
    """
    What one named statement finds: the check that it breaks, and the violation.

    Args:
        clubs: ids to look at; None for everything.
    """
    values = {"now": now, "clubs": None if clubs is None else list(clubs)}
    # Streamed and not by a cursor of the server: that would plan without parallel workers.
    with tx.cursor() as cursor:
        for check, subject, evidence in cursor.stream(_SQL[statement], values, size=EACH_FETCH):
            yield check, Violation(subject, evidence)


def sequences_behind(tx: Tx) -> Iterator[tuple[str, Violation]]:
    """Sequences that would hand out an id that is taken; as `violations`."""
    for (question,) in tx.execute(_SQL["sequences"], {}).fetchall():
        for check, subject, evidence in tx.execute(question):
            yield check, Violation(subject, evidence)


def move_sequence(tx: Tx, relation: str, column: str) -> None:
    """Let the sequence of this column go on after its highest number."""
    statement = sql.SQL(_SQL["move_sequence"].decode()).format(
        name=sql.Literal(relation),
        column_name=sql.Literal(column),
        column=sql.Identifier(column),
        relation=sql.Identifier(relation),
    )
    tx.execute(statement)


def priced_reservations(
    tx: Tx, *, clubs: Sequence[int] | None, sample: int | None, seed: int
) -> Iterator[PricedReservation]:
    """Reservations whose price can be computed again: so many drawn by lot, or all."""
    statement = _SQL["priced_all" if sample is None else "priced_sample"]
    values = {
        "clubs": None if clubs is None else list(clubs), "sample": sample, "seed": seed,
    }  # fmt: skip
    with tx.cursor(row_factory=class_row(PricedReservation)) as cursor:
        yield from cursor.stream(statement, values, size=EACH_FETCH)


def tariffs(tx: Tx) -> list[tuple[int, Any]]:
    """Every tariff's number and frozen document."""
    return [(row[0], row[1]) for row in tx.execute(_SQL["tariff_terms"])]


def pasteable(statement: str, check: str | None, *, now: datetime) -> str:
    """
    A statement as a person can run it in psql: its parameters are filled in.

    Args:
        check: only the rows of this check, where the statement answers several.
    """
    values = {
        "now": sql.Literal(now.isoformat()), "clubs": sql.SQL("NULL"),
        "sample": sql.Literal(1000), "seed": sql.Literal(1), "limit": sql.Literal(1000),
    }  # fmt: skip
    text = {**_SQL, **_SHAPE, **_AUDIT}[statement].decode()
    for name, value in values.items():
        text = text.replace(f"%({name})s", value.as_string(None))
    text = text.replace("%%", "%")
    if statement == "sequences":
        return f"{text}\n\\gexec"
    if check is None or f"'{check}'" not in text or text.count('AS "check"') == 0:
        return f"{text};"
    one_check = sql.SQL(_SQL["of_one_check"].decode())
    found = one_check.format(sql.SQL(text), sql.Literal(check))
    return f"{found.as_string(None)};"
