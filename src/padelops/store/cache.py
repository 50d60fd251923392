"""The cache on the database itself, as a table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from psycopg.rows import class_row

from padelops.store.queries import statements

if TYPE_CHECKING:
    from padelops.store.engine import Tx

_SQL = statements("cache")
_GET = _SQL["get"]


def get(tx: Tx, key: str) -> tuple[str, str] | None:
    """The (stamp, value) under a key, or None."""
    row = tx.run(_GET, {"key": key}).fetchone()
    return None if row is None else (row[0], row[1])


def put(tx: Tx, key: str, stamp: str, value: str, *, ttl_s: int) -> None:
    """Keep a value with the stamp of the rows it was computed from."""
    tx.execute(_SQL["put"], {"key": key, "stamp": stamp, "value": value, "ttl_s": ttl_s})


def count(tx: Tx, pattern: str) -> int:
    """How many keys a `*` pattern matches."""
    row = tx.execute(_SQL["count_like"], {"pattern": like(pattern)}).fetchone()
    return 0 if row is None else int(row[0])


def keys(tx: Tx, pattern: str, *, limit: int) -> list[str]:
    """Keys that a `*` pattern matches, those kept last first."""
    rows = tx.execute(_SQL["keys_like"], {"pattern": like(pattern), "limit": limit}).fetchall()
    return [row[0] for row in rows]


def purge(tx: Tx, pattern: str, *, batch: int) -> int:
    """Delete up to `batch` keys that match; how many were deleted."""
    return tx.execute(_SQL["purge_like"], {"pattern": like(pattern), "batch": batch}).rowcount


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """Entries whose keys begin alike; ages in seconds, sizes of keys and values."""

    kind: str
    entries: int
    size_bytes: int
    oldest_s: float
    newest_s: float


def contents(tx: Tx, *, ttl_s: int, most: int) -> list[Kind]:
    """What is kept and has not run out, by kind; looks at `most` entries at the most."""
    with tx.cursor(row_factory=class_row(Kind)) as cursor:
        return cursor.execute(_SQL["contents"], {"ttl_s": ttl_s, "most": most}).fetchall()


def sweep(tx: Tx) -> int:
    """Delete what has run out of time; how many entries that was."""
    return tx.execute(_SQL["sweep"]).rowcount


def like(pattern: str) -> str:
    r"""A `*` pattern as SQL LIKE: `reservation_*` becomes `reservation\_%`."""
    escaped = pattern.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return escaped.replace("*", "%")
