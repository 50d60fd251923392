"""
Critical path 1 (level 1): two live claims never share a court.

    request -> claim the slot -> the database decides -> confirmed, or refused with what is free

What is locked is the slot, not the court: the exclusion constraint decides between any two claims,
and `ON CONFLICT DO NOTHING` waits for a rival and then says who won, in one round trip. Locking the
court row first and then looking gives the same guarantee at half to a quarter of the speed, and
looking without the constraint gives none: a waiter's snapshot is older than its lock.

Source: CRITICAL_PATHS.md, path 1; DESIGN.md sections 4.1 and 8.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypeVar

from padelops.booking.operations import Aside
from padelops.errors import CourtBusy, CourtOutOfService, CourtTaken, KeyReused
from padelops.store import claims

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from padelops.booking.clubs import Club, Court
    from padelops.model import Origin
    from padelops.store.claims import Claimed, NewReservation
    from padelops.store.deadline import Deadline
    from padelops.store.engine import Database, Tx

T = TypeVar("T")


class TermsChanged(Aside):
    """The club changed between pricing and claiming."""


class Replayed(Aside):
    """This very request was carried out before."""

    def __init__(self, reservation_id: int) -> None:
        super().__init__(reservation_id)
        self.reservation_id = reservation_id


def claim_slot(
    database: Database,
    club: Club,
    court: Court,
    new: NewReservation,
    *,
    origin: Origin,
    now: datetime,
    deadline: Deadline,
) -> Claimed:
    """
    Claim one court for one slot: one statement when nothing is in the way.

    Raises:
        CourtTaken: a live claim overlaps. Replayed: the key's reservation exists already.
        KeyReused: the key belongs to another request. TermsChanged: price it again.
        CourtOutOfService: it was closed meanwhile. CourtBusy: a rival did not finish in time.
        OutcomeUnknown: lost while the database decided; ask again with the same key.
    """
    with database.deciding() as tx:
        claimed = claims.insert_reservation(
            tx, court.id, club.revision, new, origin, deadline=deadline
        )
    if claimed is not None:
        return claimed
    with database.transaction(origin, deadline=deadline) as tx:
        return claim_within(tx, club, court, new, origin=origin, now=now, deadline=deadline)


def claim_within(
    tx: Tx,
    club: Club,
    court: Court,
    new: NewReservation,
    *,
    origin: Origin,
    now: datetime,
    deadline: Deadline,
) -> Claimed:
    """
    Claim inside an open transaction, retiring expired holds that stand in the way.

    Raises:
        As `claim_slot`, but losing the connection inside a transaction means nothing happened.
    """
    claimed = claims.insert_reservation(tx, court.id, club.revision, new, origin, deadline=deadline)
    if claimed is not None:
        return claimed

    if new.idempotency_key is not None:
        holder = claims.by_key(tx, club.id, new.idempotency_key)
        if holder is not None:
            if holder.request_digest != new.request_digest:
                raise KeyReused(fix="Use a new --key for a new booking.", reservation_id=holder.id)
            raise Replayed(holder.id)

    revision, in_service = claims.court_state(tx, court.id) or (None, False)
    if revision != club.revision:
        raise TermsChanged
    if not in_service:
        raise CourtOutOfService(f"Court {court.address} is out of service.")

    if claims.retire_expired(tx, court.id, new.starts_at, new.free_at, now=now, deadline=deadline):
        claimed = claims.insert_reservation(
            tx, court.id, club.revision, new, origin, deadline=deadline
        )
        if claimed is not None:
            return claimed
    raise CourtTaken(f"Court {court.address} is taken at that time.", court=court.address)


def within(deadline: Deadline, attempt: Callable[[], T]) -> T:
    """
    Run again what lost against a rival (deadlock, serialization, lock timeout) while time is left.

    Raises:
        CourtBusy: it is spent.
    """
    while True:
        started = time.monotonic()
        try:
            return attempt()
        except CourtBusy:
            # Another attempt that takes as long as this one must still fit.
            if not deadline.allows(time.monotonic() - started):
                raise
