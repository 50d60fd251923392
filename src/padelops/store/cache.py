"""The cache on the database itself, as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

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


def sweep(tx: Tx) -> int:
    """Delete what has run out of time; how many entries that was."""
    return tx.execute(_SQL["sweep"]).rowcount


def like(pattern: str) -> str:
    r"""A `*` pattern as SQL LIKE: `reservation_*` becomes `reservation\_%`."""
    escaped = pattern.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return escaped.replace("*", "%")
