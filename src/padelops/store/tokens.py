"""Tokens for the HTTP door, as rows; the secret of none of them is here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from psycopg.rows import class_row

from padelops.store.queries import statements

if TYPE_CHECKING:
    from datetime import datetime

    from padelops.store.engine import Tx

_SQL = statements("tokens")


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRow:
    """One token; `digest` is the SHA-256 of its secret."""

    id: int
    handle: str
    digest: bytes
    name: str
    role: str
    status: str
    club: str | None
    player_email: str | None
    member_tier: str | None
    bookings_per_minute: int | None
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None


def insert(
    tx: Tx,
    *,
    handle: str,
    digest: bytes,
    name: str,
    role: str,
    club: str | None,
    player_email: str | None,
    member_tier: str | None,
    bookings_per_minute: int | None,
    expires_at: datetime | None,
) -> None:
    """Write a token down; its club must exist."""
    tx.execute(
        _SQL["insert"],
        {
            "handle": handle,
            "digest": digest,
            "name": name,
            "role": role,
            "club": club,
            "player_email": player_email,
            "member_tier": member_tier,
            "bookings_per_minute": bookings_per_minute,
            "expires_at": expires_at,
        },
    )


def by_handle(tx: Tx, handle: str) -> TokenRow | None:
    """The token of that handle, whatever its status, or None."""
    with tx.cursor(row_factory=class_row(TokenRow)) as cursor:
        return cursor.execute(_SQL["by_handle"], {"handle": handle}).fetchone()


def listing(tx: Tx, *, revoked: bool, limit: int) -> list[TokenRow]:
    """The newest tokens first; those that were revoked only if asked for."""
    with tx.cursor(row_factory=class_row(TokenRow)) as cursor:
        return cursor.execute(_SQL["listing"], {"revoked": revoked, "limit": limit}).fetchall()


def revoke(tx: Tx, handle: str, *, now: datetime) -> bool:
    """End a token; False when there is no active one of that handle."""
    return tx.execute(_SQL["revoke"], {"handle": handle, "now": now}).fetchone() is not None
