"""Indexes: what the catalogue says of them, and rebuilding one while others go on working."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import psycopg
from psycopg import sql
from psycopg.rows import class_row

from padelops.store.queries import statements

if TYPE_CHECKING:
    from datetime import datetime

    from padelops.store.engine import Tx

_SQL = statements("indexes")

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Index:
    """
    One index.

    Attributes:
        oid: the server's number for it; a rebuilt one has a new number under the old name.
        exclusion: it upholds an exclusion constraint, and cannot be rebuilt concurrently.
        leftover: what a rebuild that was broken off left behind.
    """

    table: str
    name: str
    oid: int
    size_bytes: int
    valid: bool
    exclusion: bool
    leftover: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class TableStats:
    """One table; `rows` and `bloat_bytes` are estimates, None where there are no statistics."""

    table: str
    rows: int | None
    table_bytes: int
    index_bytes: int
    dead_rows: int
    vacuumed_at: datetime | None
    bloat_bytes: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class UnusedIndex:
    table: str
    name: str
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MissingIndex:
    """A foreign key that no index begins with."""

    table: str
    name: str
    columns: list[str]
    refers_to: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SlowStatement:
    statement: str
    calls: int
    mean_ms: float
    max_ms: float
    total_ms: float


def be_patient(tx: Tx, *, lock_s: int) -> None:
    """Let this connection's statements take their time, and wait so long for each lock."""
    tx.execute(_SQL["patience"], {"lock": f"{lock_s}s"})


def act_as(tx: Tx, actor: str, door: str) -> None:
    """Have the server know who works on this connection."""
    tx.execute(_SQL["act_as"], {"actor": actor, "door": door})


def indexes(tx: Tx) -> list[Index]:
    return _rows(tx, Index, "indexes")


def rebuild(tx: Tx, name: str, *, concurrently: bool) -> None:
    """Build an index anew: others go on reading and writing, or wait where not concurrently."""
    how = "REINDEX INDEX CONCURRENTLY {}" if concurrently else "REINDEX INDEX {}"
    tx.execute(sql.SQL(how).format(sql.Identifier(name)))


def drop(tx: Tx, name: str) -> None:
    """Remove a leftover, without stopping anybody."""
    tx.execute(sql.SQL("DROP INDEX CONCURRENTLY IF EXISTS {}").format(sql.Identifier(name)))


def tables(tx: Tx) -> list[TableStats]:
    return _rows(tx, TableStats, "tables")


def unused(tx: Tx) -> list[UnusedIndex]:
    return _rows(tx, UnusedIndex, "unused")


def missing(tx: Tx) -> list[MissingIndex]:
    return _rows(tx, MissingIndex, "missing")


def statistics_began(tx: Tx) -> datetime | None:
    """Since when reads are counted; None means since the database was made."""
    row = tx.execute(_SQL["statistics_began"]).fetchone()
    return None if row is None else row[0]


def slow_statements(tx: Tx, *, limit: int) -> list[SlowStatement] | None:
    """What took the longest in all; None where pg_stat_statements is not to be had."""
    row = tx.execute(_SQL["has_statements"]).fetchone()
    if row is None or not row[0]:
        return None
    try:
        return _rows(tx, SlowStatement, "slow_statements", {"limit": limit})
    except psycopg.errors.ObjectNotInPrerequisiteState:  # created, and not loaded by the server
        return None


def _rows(tx: Tx, kind: type[T], name: str, values: dict[str, Any] | None = None) -> list[T]:
    with tx.cursor(row_factory=class_row(kind)) as cursor:
        return cursor.execute(_SQL[name], values).fetchall()
