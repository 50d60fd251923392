"""
Claims on court time: the rows that the exclusion constraint guards.

Lock order, for everything that takes more than one lock: court rows in id order, then claims in
id order. A booking takes one court's key-share lock and one place in the constraint.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from padelops.store.queries import statements

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from decimal import Decimal

    from padelops.model import Origin, Slot
    from padelops.store.deadline import Deadline
    from padelops.store.engine import Tx

_SQL = statements("claims")
_INSERT_RESERVATION = _SQL["insert_reservation"]
_OF_COURTS = _SQL["of_courts"]
_STAMP_OF_COURTS = _SQL["stamp_of_courts"]


@dataclass(frozen=True, slots=True, kw_only=True)
class NewReservation:
    """Everything a reservation is made of, decided before the court is claimed."""

    status: str
    starts_at: datetime
    ends_at: datetime
    free_at: datetime
    hold_until: datetime | None
    idempotency_key: str | None
    request_digest: str | None
    player_name: str
    player_email: str | None
    player_phone: str | None
    player_count: int | None
    notes: str | None
    member_tier: str | None
    currency: str
    total: Decimal
    lines: list[dict[str, Any]]
    price_source: str
    tariff_id: int | None
    policy_id: int | None
    payment_method: str
    payment_status: str
    party_id: int | None = None


@dataclass(frozen=True, slots=True)
class Claimed:
    """What the database adds to a reservation that it accepted."""

    id: int
    created_at: datetime
    version: int


class LiveClaim(NamedTuple):
    """
    A claim that keeps a court, until `expires_at` if it is a hold that can run out.

    `overdue` says that by the database's clock it has.
    """

    court_id: int
    starts_at: datetime
    free_at: datetime
    expires_at: datetime | None
    overdue: bool

    def keeps(self, now: datetime) -> bool:
        """Whether the court is kept: as for a booking, both clocks must agree that a hold ended."""
        return self.expires_at is None or not self.overdue or self.expires_at > now


@dataclass(frozen=True, slots=True)
class KeyHolder:
    """The reservation an idempotency key already stands for."""

    id: int
    request_digest: str


def insert_reservation(
    tx: Tx,
    court_id: int,
    revision: int,
    new: NewReservation,
    origin: Origin,
    *,
    deadline: Deadline,
) -> Claimed | None:
    """
    Claim the court, or None when anything stands in the way; then ask the functions below why.

    Args:
        revision: of the terms that the reservation was priced under; a court that has moved on is
            not claimed.
        deadline: until which a rival is waited for.
    """
    values = {name: getattr(new, name) for name in NewReservation.__slots__}
    values |= {
        "lines": Jsonb(new.lines),
        "court_id": court_id,
        "revision": revision,
        "actor": origin.actor,
        "door": origin.door.value,
        "request_id": origin.request_id,
        "lock_timeout": f"{deadline.lock_ms}ms",
    }
    row = tx.run(_INSERT_RESERVATION, values).fetchone()
    return None if row is None else Claimed(*row)


def insert_block(
    tx: Tx,
    court_id: int,
    slot: Slot,
    *,
    reason: str,
    external_ref: str | None,
    party_id: int | None = None,
) -> int | None:
    """Claim the court for the club itself; None when a live claim overlaps."""
    row = tx.execute(
        _SQL["insert_block"],
        {
            "court_id": court_id,
            "starts_at": slot.starts_at,
            "ends_at": slot.ends_at,
            "reason": reason,
            "external_ref": external_ref,
            "party_id": party_id,
        },
    ).fetchone()
    return None if row is None else int(row[0])


def retire_expired(
    tx: Tx,
    court_id: int,
    starts_at: datetime,
    free_at: datetime,
    *,
    now: datetime,
    deadline: Deadline | None = None,
) -> list[int]:
    """
    End the holds in the way whose time has passed; their ids.

    Args:
        deadline: until which whoever has locked such a hold is waited for; else as the connection
            waits.
    """
    rows = tx.execute(
        _SQL["retire_expired"],
        {
            "court_id": court_id,
            "starts_at": starts_at,
            "free_at": free_at,
            "now": now,
            "lock_timeout": None if deadline is None else f"{deadline.lock_ms}ms",
        },
    ).fetchall()
    return [row[0] for row in rows]


def by_key(tx: Tx, club_id: int, key: str) -> KeyHolder | None:
    """Which reservation an idempotency key stands for."""
    with tx.cursor(row_factory=class_row(KeyHolder)) as cursor:
        return cursor.execute(
            _SQL["by_key"], {"club_id": club_id, "idempotency_key": key}
        ).fetchone()


def court_state(tx: Tx, court_id: int) -> tuple[int, bool] | None:
    """A court's revision of terms, and whether it is in service."""
    row = tx.execute(_SQL["court_state"], {"court_id": court_id}).fetchone()
    return None if row is None else (row[0], row[1])


def of_courts(
    tx: Tx, club_id: int, court_ids: Sequence[int], window_start: datetime, window_end: datetime
) -> tuple[str | None, list[LiveClaim]]:
    """The club's state, and the live claims that touch a window, by court and start."""
    rows = tx.run(
        _OF_COURTS,
        {
            "club_id": club_id,
            "court_ids": list(court_ids),
            "window_start": window_start,
            "window_end": window_end,
        },
    ).fetchall()
    if not rows:
        return None, []
    return rows[0][0], [LiveClaim._make(row[1:]) for row in rows if row[1] is not None]


def stamp_of_courts(
    tx: Tx, club_id: int, court_ids: Sequence[int], window_start: datetime, window_end: datetime
) -> tuple[str | None, str]:
    """The club's state, and a text that differs after any change to it or the window's claims."""
    row = tx.run(
        _STAMP_OF_COURTS,
        {
            "club_id": club_id,
            "court_ids": list(court_ids),
            "window_start": window_start,
            "window_end": window_end,
        },
    ).fetchone()
    return (None, "-") if row is None else (row[0], f"{row[0]}.{row[1]}.{row[2]}")


def end_reservation(
    tx: Tx,
    reservation_id: int,
    *,
    reason: str,
    refund_due: Decimal,
    payment_status: str,
    now: datetime,
) -> bool:
    """Cancel a live reservation; False when somebody else ended it first."""
    return (
        tx.execute(
            _SQL["end_reservation"],
            {
                "id": reservation_id,
                "reason": reason,
                "refund_due": refund_due,
                "payment_status": payment_status,
                "now": now,
            },
        ).fetchone()
        is not None
    )


def end_block(tx: Tx, block_id: int, *, now: datetime) -> bool:
    """Lift a block; False when it was lifted already."""
    return tx.execute(_SQL["end_block"], {"id": block_id, "now": now}).fetchone() is not None


def complete_past(tx: Tx, club_id: int, *, now: datetime, limit: int = 1000) -> list[int]:
    """Mark confirmed reservations whose time is over as used; their ids."""
    rows = tx.execute(
        _SQL["complete_past"], {"club_id": club_id, "now": now, "limit": limit}
    ).fetchall()
    return [row[0] for row in rows]
