"""Rows written and read past the library, as an engineer in psql would."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from psycopg import sql
from psycopg.types.json import Jsonb

if TYPE_CHECKING:
    import psycopg

    Psql = psycopg.Connection[Any]

EVENING = datetime(2026, 12, 1, 17, 0, tzinfo=UTC)
"""18:00 on a Tuesday at centro."""


def court_of(psql: Psql, address: str) -> tuple[int, int]:
    """The ids of a court and of its club."""
    slug, name = address.split("/")
    row = psql.execute(
        "SELECT courts.id, clubs.id FROM courts JOIN clubs ON clubs.id = courts.club_id"
        " WHERE clubs.slug = %s AND courts.name = %s",
        (slug, name),
    ).fetchone()
    assert row is not None, address
    return row[0], row[1]


def reservation_row(psql: Psql, address: str = "centro/2", **changes: Any) -> dict[str, Any]:
    """A whole reservation that the database accepts, changed as told; `...` leaves a column out."""
    court_id, club_id = court_of(psql, address)
    starts_at = changes.get("starts_at", EVENING)
    usual_end = starts_at + timedelta(hours=1) if isinstance(starts_at, datetime) else starts_at
    ends_at = changes.get("ends_at", usual_end)
    row = {
        "club_id": club_id,
        "court_id": court_id,
        "kind": "reservation",
        "status": "confirmed",
        "starts_at": starts_at,
        "ends_at": ends_at,
        "free_at": ends_at,
        "player_name": "Eva Gil",
        "currency": "EUR",
        "total": Decimal("20.00"),
        "lines": Jsonb([{"kind": "time", "label": "base", "amount": "20.00"}]),
        "price_source": "imported",
        "payment_method": "desk",
        "payment_status": "due",
    } | changes
    return {name: value for name, value in row.items() if value is not ...}


def block_row(psql: Psql, address: str = "centro/2", **changes: Any) -> dict[str, Any]:
    """A whole block that the database accepts, changed as told."""
    court_id, club_id = court_of(psql, address)
    row = {
        "club_id": club_id,
        "court_id": court_id,
        "kind": "block",
        "status": "confirmed",
        "starts_at": EVENING,
        "ends_at": EVENING + timedelta(hours=1),
        "free_at": EVENING + timedelta(hours=1),
        "reason": "resurfacing",
    }
    return row | changes


def insert(psql: Psql, table: str, row: dict[str, Any]) -> int:
    """Insert one row and return its id."""
    statement = sql.SQL("INSERT INTO {} ({}) VALUES ({}) RETURNING id").format(
        sql.Identifier(table),
        sql.SQL(", ").join(map(sql.Identifier, row)),
        sql.SQL(", ").join(map(sql.Placeholder, row)),
    )
    found = psql.execute(statement, row).fetchone()
    assert found is not None
    return int(found[0])


def insert_hold(psql: Psql, address: str, starts_at: datetime, until: datetime, **more: Any) -> int:
    """A hold on a court until a deadline, as an unpaid booking leaves it."""
    return insert(
        psql,
        "claims",
        reservation_row(
            psql,
            address,
            starts_at=starts_at,
            **(
                {
                    "status": "pending",
                    "hold_until": until,
                    "payment_method": "card",
                    "payment_status": "pending",
                    "price_source": "tariff",
                }
                | more
            ),
        ),
    )


def one(psql: Psql, query: str, *values: Any) -> Any:
    """The single value that a query yields."""
    row = psql.execute(query.encode(), values or None).fetchone()
    assert row is not None
    return row[0]


def column(psql: Psql, query: str, *values: Any) -> list[Any]:
    """The first column of what a query yields."""
    return [row[0] for row in psql.execute(query.encode(), values or None).fetchall()]


def status_of(psql: Psql, claim_id: int) -> str:
    return str(one(psql, "SELECT status FROM claims WHERE id = %s", claim_id))


def without_triggers(psql: Psql, query: str, *values: Any) -> None:
    """Do what a superuser can do when the guards are off, and switch them on again."""
    psql.execute("SET session_replication_role = replica")
    try:
        psql.execute(query.encode(), values or None)
    finally:
        psql.execute("RESET session_replication_role")
