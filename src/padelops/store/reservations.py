"""Reservations as people ask for them: by id, by party, and page by page."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
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
    values: dict[str, Any] = {
        name: value
        for name in Criteria.__slots__
        if (value := getattr(criteria, name)) not in (None, ())
    }
    query = _query(dialect, frozenset(values), after is not None)
    for name in _LISTS & values.keys():
        values[name] = list(values[name])
    if "email" in values:
        values["email"] = values["email"].lower()
    if "name_contains" in values:
        values["name_contains"] = _literally(values["name_contains"])
    values["most"] = limit
    if after is not None:
        values["after_start"], values["after_id"] = after
    with tx.cursor(row_factory=class_row(Reservation)) as cursor:
        return cursor.execute(query, values).fetchall()


@lru_cache(maxsize=256)
def _query(dialect: sa.Dialect, given: frozenset[str], after: bool) -> bytes:
    """
    The statement for criteria of this shape; composing it costs more than the rest of a search.
    """
    view = tables.reservations.c
    conditions = _conditions()
    query = (
        sa.select(*(view[name] for name in Reservation.__slots__))
        .where(*(condition for name, condition in conditions.items() if name in given))
        .order_by(view.starts_at, view.id)
        .limit(sa.bindparam("most", type_=sa.Integer))
    )
    if after:
        query = query.where(
            sa.tuple_(view.starts_at, view.id)
            > sa.tuple_(
                sa.bindparam("after_start", type_=view.starts_at.type),
                sa.bindparam("after_id", type_=view.id.type),
            )
        )
    return str(query.compile(dialect=dialect)).encode()


def _conditions() -> dict[str, sa.ColumnElement[bool]]:
    """What each criterion asks for, with a parameter of its name."""
    view = tables.reservations.c
    texts = {name: sa.bindparam(name, type_=_TEXTS) for name in _LISTS}
    return {
        "club_id": view.club_id == sa.bindparam("club_id"),
        "court": view.court == sa.bindparam("court"),
        "statuses": view.status == sa.any_(texts["statuses"]),
        "payment_statuses": view.payment_status == sa.any_(texts["payment_statuses"]),
        "starts_from": view.starts_at >= sa.bindparam("starts_from"),
        "starts_before": view.starts_at < sa.bindparam("starts_before"),
        "email": sa.func.lower(view.player_email) == sa.bindparam("email", type_=sa.Text),
        "phone": view.player_phone == sa.bindparam("phone"),
        "name_contains": view.player_name.icontains(sa.bindparam("name_contains"), escape="/"),
    }


def _literally(text: str) -> str:
    """The text as a pattern that matches nothing else."""
    return text.replace("/", "//").replace("%", "/%").replace("_", "/_")


_LISTS = frozenset({"statuses", "payment_statuses"})
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
