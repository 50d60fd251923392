"""What maintenance asks of the database, as rows ready for JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from psycopg.rows import dict_row

from padelops.store.queries import statements

if TYPE_CHECKING:
    from datetime import datetime

    from padelops.store.engine import Tx

_SQL = statements("maintenance")


def first_use(tx: Tx) -> datetime | None:
    """When this database began to be used: the time of its first audit entry."""
    row = tx.execute(_SQL["first_use"]).fetchone()
    return None if row is None else row[0]


def troubles(tx: Tx) -> dict[str, int]:
    """What the server has counted against this database; only ever grows, until it is reset."""
    found = _rows(tx, "troubles")
    return found[0] if found else {}


def failed_messages(tx: Tx, *, since: datetime, limit: int) -> list[dict[str, Any]]:
    """Messages given up since, by kind and reason."""
    return _rows(tx, "failed_messages", since=since, limit=limit)


def breaker_changes(tx: Tx, *, since: datetime, limit: int) -> list[dict[str, Any]]:
    """Each time a breaker opened, closed or was forced, newest first."""
    return [
        row | {"at": row["at"].isoformat()}
        for row in _rows(tx, "breaker_changes", since=since, limit=limit)
    ]


def table_sizes(tx: Tx, *, limit: int) -> list[dict[str, Any]]:
    """The largest tables with their indexes; rows as the server estimates them."""
    return _rows(tx, "table_sizes", limit=limit)


def bookings_by_month(tx: Tx, *, since: datetime) -> list[dict[str, Any]]:
    return _rows(tx, "bookings_by_month", since=since)


def role_rights(tx: Tx) -> dict[str, Any]:
    """What the role that padelops works as may do beyond its job."""
    return _rows(tx, "role_rights")[0]


def _rows(tx: Tx, statement: str, **values: Any) -> list[dict[str, Any]]:
    with tx.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(_SQL[statement], values).fetchall()
