"""Clubs, their courts, and the terms they sell under, as stored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from padelops.store.queries import statements

if TYPE_CHECKING:
    from datetime import datetime

    from padelops.store.engine import Tx

_SQL = statements("clubs")


@dataclass(frozen=True, slots=True, kw_only=True)
class ClubRow:
    """A club with its current terms. The JSON members are validated by booking/clubs.py."""

    id: int
    slug: str
    name: str
    time_zone: str
    currency: str
    revision: int
    state: str
    config: dict[str, Any]
    tariff_id: int | None
    tariff: dict[str, Any] | None
    policy_id: int | None
    policy: dict[str, Any] | None
    courts: list[dict[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClubSummary:
    """A club in one line."""

    slug: str
    name: str
    time_zone: str
    currency: str
    revision: int
    courts: int
    in_service: int

    def as_json(self) -> dict[str, Any]:
        return {
            "club": self.slug,
            "name": self.name,
            "time_zone": self.time_zone,
            "currency": self.currency,
            "revision": self.revision,
            "courts": self.courts,
            "in_service": self.in_service,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class CourtRow:
    """A court, locked against claims by whoever read it with `lock_courts`."""

    id: int
    name: str
    in_service: bool
    attributes: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockRow:
    """One court's piece of a block that still keeps the court."""

    id: int
    court_id: int
    starts_at: datetime
    ends_at: datetime
    reason: str
    external_ref: str | None


def by_slug(tx: Tx, slug: str) -> ClubRow | None:
    """A club with its courts and current terms, in one read."""
    with tx.cursor(row_factory=class_row(ClubRow)) as cursor:
        return cursor.execute(_SQL["by_slug"], {"slug": slug}).fetchone()


def state_of(tx: Tx, slug: str) -> str | None:
    """What a cached club is checked against; differs after any change to it or to its courts."""
    row = tx.execute(_SQL["state_of"], {"slug": slug}).fetchone()
    return None if row is None else str(row[0])


def slugs(tx: Tx, *, limit: int = 10) -> list[str]:
    """Some slugs that exist, for a refusal that helps."""
    return [row[0] for row in tx.execute(_SQL["slugs"], {"limit": limit}).fetchall()]


def summaries(tx: Tx) -> list[ClubSummary]:
    """Every club in one line, by slug."""
    with tx.cursor(row_factory=class_row(ClubSummary)) as cursor:
        return cursor.execute(_SQL["summaries"]).fetchall()


def lock(tx: Tx, slug: str) -> tuple[int, int] | None:
    """Lock a club against other changes of it; its id and revision."""
    row = tx.execute(_SQL["lock_club"], {"slug": slug}).fetchone()
    return None if row is None else (row[0], row[1])


def lock_courts(tx: Tx, club_id: int) -> list[CourtRow]:
    """Lock a club's courts against claims, in id order."""
    with tx.cursor(row_factory=class_row(CourtRow)) as cursor:
        return cursor.execute(_SQL["lock_courts"], {"club_id": club_id}).fetchall()


def insert(
    tx: Tx,
    *,
    slug: str,
    name: str,
    time_zone: str,
    currency: str,
    config: dict[str, Any],
    external_ref: str | None = None,
) -> bool:
    """Make a club without courts or terms; False when the slug is taken."""
    row = tx.execute(
        _SQL["insert_club"],
        {
            "slug": slug,
            "name": name,
            "time_zone": time_zone,
            "currency": currency,
            "config": Jsonb(config),
            "external_ref": external_ref,
        },
    ).fetchone()
    return row is not None


def freeze_tariff(tx: Tx, club_id: int, digest: str, terms: dict[str, Any]) -> int:
    """The id of these terms, stored now if they were not before."""
    return _freeze(tx, "tariff", club_id, digest, terms)


def freeze_policy(tx: Tx, club_id: int, digest: str, terms: dict[str, Any]) -> int:
    """The id of this policy, stored now if it was not before."""
    return _freeze(tx, "policy", club_id, digest, terms)


def _freeze(tx: Tx, noun: str, club_id: int, digest: str, terms: dict[str, Any]) -> int:
    values = {"club_id": club_id, "digest": digest}
    tx.execute(_SQL[f"insert_{noun}"], values | {"terms": Jsonb(terms)})
    row = tx.execute(_SQL[f"{noun}_by_digest"], values).fetchone()
    if row is None:
        raise LookupError(f"{noun} {digest} vanished right after it was stored")
    return int(row[0])


def set_terms(
    tx: Tx,
    club_id: int,
    *,
    name: str,
    time_zone: str,
    currency: str,
    config: dict[str, Any],
    tariff_id: int,
    policy_id: int,
    revision: int,
) -> None:
    """Put new terms into force under a new revision; the courts must get the same revision."""
    tx.execute(
        _SQL["set_terms"],
        {
            "club_id": club_id,
            "name": name,
            "time_zone": time_zone,
            "currency": currency,
            "config": Jsonb(config),
            "tariff_id": tariff_id,
            "policy_id": policy_id,
            "revision": revision,
        },
    )


def insert_court(
    tx: Tx,
    club_id: int,
    *,
    name: str,
    in_service: bool,
    attributes: dict[str, Any],
    revision: int,
    external_ref: str | None = None,
) -> None:
    """Add a court to a club."""
    tx.execute(
        _SQL["insert_court"],
        {
            "club_id": club_id,
            "name": name,
            "in_service": in_service,
            "attributes": Jsonb(attributes),
            "revision": revision,
            "external_ref": external_ref,
        },
    )


def update_court(
    tx: Tx, court_id: int, *, in_service: bool, attributes: dict[str, Any], revision: int
) -> None:
    """Change a court's service and put it under the club's revision."""
    tx.execute(
        _SQL["update_court"],
        {
            "court_id": court_id,
            "in_service": in_service,
            "attributes": Jsonb(attributes),
            "revision": revision,
        },
    )


def blocks_of(tx: Tx, club_id: int, *, now: datetime) -> list[BlockRow]:
    """The blocks of a club that are not over."""
    with tx.cursor(row_factory=class_row(BlockRow)) as cursor:
        return cursor.execute(_SQL["blocks_of"], {"club_id": club_id, "now": now}).fetchall()


def with_past_reservations(tx: Tx, *, now: datetime) -> list[int]:
    """Clubs with confirmed reservations whose time is over."""
    return [row[0] for row in tx.execute(_SQL["with_past_reservations"], {"now": now}).fetchall()]


def live_outside_service(tx: Tx, club_id: int, *, now: datetime) -> list[int]:
    """Reservations still to be played on courts that are out of service."""
    rows = tx.execute(_SQL["live_outside_service"], {"club_id": club_id, "now": now}).fetchall()
    return [row[0] for row in rows]
