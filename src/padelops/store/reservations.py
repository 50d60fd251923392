"""Reservations as people ask for them: by id, by party, and page by page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from psycopg.rows import class_row

from padelops.model import round_to_currency
from padelops.store import tables
from padelops.store.queries import statements

if TYPE_CHECKING:
    from datetime import datetime
    from decimal import Decimal

    from padelops.model import Scope
    from padelops.store.engine import Tx

_SQL = statements("reservations")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reservation:
    """One row of the view `reservations`. Amounts are in `currency`; times are aware UTC."""

    id: int
    club_id: int
    club: str
    time_zone: str
    court_id: int
    court: str
    status: str
    starts_at: datetime
    ends_at: datetime
    hold_until: datetime | None
    party_id: int | None
    idempotency_key: str | None
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
    captured: Decimal
    refund_due: Decimal
    refunded: Decimal
    reason: str | None
    external_ref: str | None
    created_at: datetime
    ended_at: datetime | None
    version: int

    @property
    def address(self) -> str:
        """How people name the court, as in `centro/2`."""
        return f"{self.club}/{self.court}"

    def as_json(self) -> dict[str, Any]:
        """JSON-ready: amounts as text, times with the club's offset."""
        zone = ZoneInfo(self.time_zone)

        def local(moment: datetime | None) -> str | None:
            return None if moment is None else moment.astimezone(zone).isoformat()

        def money(amount: Decimal) -> str:
            return f"{round_to_currency(amount, self.currency):f}"

        return {
            "id": self.id,
            "status": self.status,
            "club": self.club,
            "court": self.address,
            "starts_at": local(self.starts_at),
            "ends_at": local(self.ends_at),
            "time_zone": self.time_zone,
            "minutes": int((self.ends_at - self.starts_at).total_seconds()) // 60,
            "player": {
                "name": self.player_name,
                "email": self.player_email,
                "phone": self.player_phone,
                "count": self.player_count,
            },
            "notes": self.notes,
            "member_tier": self.member_tier,
            "total": money(self.total),
            "currency": self.currency,
            "lines": self.lines,
            "fallback": self.price_source == "fallback",
            "price_source": self.price_source,
            "payment_method": self.payment_method,
            "payment_status": self.payment_status,
            "captured": money(self.captured),
            "refund_due": money(self.refund_due),
            "refunded": money(self.refunded),
            "hold_until": local(self.hold_until),
            "reason": self.reason,
            "party_id": self.party_id,
            "external_ref": self.external_ref,
            "created_at": local(self.created_at),
            "ended_at": local(self.ended_at),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Criteria:
    """What to search for; everything left None does not narrow. Times are aware UTC, half-open."""

    club_id: int | None = None
    court: str | None = None
    statuses: tuple[str, ...] = ()
    payment_statuses: tuple[str, ...] = ()
    starts_from: datetime | None = None
    starts_before: datetime | None = None
    email: str | None = None
    phone: str | None = None
    name_contains: str | None = None


def by_id(tx: Tx, reservation_id: int) -> Reservation | None:
    """One reservation, or None."""
    with tx.cursor(row_factory=class_row(Reservation)) as cursor:
        return cursor.execute(_SQL["by_id"], {"id": reservation_id}).fetchone()


def by_id_within(tx: Tx, reservation_id: int, scope: Scope) -> Reservation | None:
    """One reservation, or None when there is none or it lies outside the scope."""
    with tx.cursor(row_factory=class_row(Reservation)) as cursor:
        return cursor.execute(
            _SQL["by_id_within"],
            {"id": reservation_id, "club": scope.club, "email": scope.email},
        ).fetchone()


def by_party(tx: Tx, party_id: int) -> list[Reservation]:
    """The reservations that were made as one, by id."""
    with tx.cursor(row_factory=class_row(Reservation)) as cursor:
        return cursor.execute(_SQL["by_party"], {"party_id": party_id}).fetchall()


def lock(tx: Tx, reservation_id: int) -> Reservation | None:
    """Lock one reservation until the transaction ends, and read what it then is."""
    with tx.cursor(row_factory=class_row(Reservation)) as cursor:
        return cursor.execute(_SQL["lock"], {"id": reservation_id}).fetchone()


def page(
    tx: Tx,
    dialect: sa.Dialect,
    criteria: Criteria,
    *,
    after: tuple[datetime, int] | None,
    limit: int,
) -> list[Reservation]:
    """
    The next `limit` reservations in (starts_at, id) order.

    Args:
        after: where the page before ended; rows inserted meanwhile are neither repeated nor
            make others be skipped, because the order never depends on a count.
    """
    view = tables.reservations
    query = (
        sa.select(*(view.c[name] for name in Reservation.__slots__))
        .where(*_conditions(criteria))
        .order_by(view.c.starts_at, view.c.id)
        .limit(limit)
    )
    if after is not None:
        query = query.where(sa.tuple_(view.c.starts_at, view.c.id) > sa.tuple_(*after))
    compiled = query.compile(dialect=dialect)
    parameters = compiled.construct_params()
    with tx.cursor(row_factory=class_row(Reservation)) as cursor:
        return cursor.execute(str(compiled).encode(), parameters).fetchall()


def _conditions(criteria: Criteria) -> list[sa.ColumnElement[bool]]:
    view = tables.reservations.c
    found: list[sa.ColumnElement[bool]] = []
    if criteria.club_id is not None:
        found.append(view.club_id == criteria.club_id)
    if criteria.court is not None:
        found.append(view.court == criteria.court)
    if criteria.statuses:
        found.append(view.status == sa.any_(sa.literal(list(criteria.statuses), _TEXTS)))
    if criteria.payment_statuses:
        found.append(
            view.payment_status == sa.any_(sa.literal(list(criteria.payment_statuses), _TEXTS))
        )
    if criteria.starts_from is not None:
        found.append(view.starts_at >= criteria.starts_from)
    if criteria.starts_before is not None:
        found.append(view.starts_at < criteria.starts_before)
    if criteria.email is not None:
        found.append(sa.func.lower(view.player_email) == criteria.email.lower())
    if criteria.phone is not None:
        found.append(view.player_phone == criteria.phone)
    if criteria.name_contains is not None:
        found.append(view.player_name.icontains(criteria.name_contains, autoescape=True))
    return found


_TEXTS: sa.ARRAY[str] = sa.ARRAY(sa.Text)


def insert_payment_event(
    tx: Tx,
    reservation: Reservation,
    *,
    kind: str,
    amount: Decimal,
    gateway: str,
    event_key: str,
    gateway_ref: str | None = None,
) -> bool:
    """Record money that changed hands; False when this very event was recorded before."""
    row = tx.execute(
        _SQL["insert_payment_event"],
        {
            "club_id": reservation.club_id,
            "claim_id": reservation.id,
            "kind": kind,
            "amount": amount,
            "gateway": gateway,
            "gateway_ref": gateway_ref,
            "event_key": event_key,
        },
    ).fetchone()
    return row is not None


def policy_terms(tx: Tx, policy_id: int) -> dict[str, Any]:
    """The cancellation policy that was frozen under this id."""
    row = tx.execute(_SQL["policy_of"], {"policy_id": policy_id}).fetchone()
    if row is None:
        raise LookupError(f"policy {policy_id} is missing, though a foreign key guards it")
    terms: dict[str, Any] = row[0]
    return terms
