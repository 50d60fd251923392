"""
Card payments as stored: attempts, refunds, events and leases.

Lock order: the claim's row, then its attempt, then its refund. A lease says which worker is at a
step; it is taken before and given back after, outside of these transactions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.rows import class_row, dict_row

from padelops.store.queries import statements

if TYPE_CHECKING:
    from datetime import datetime
    from decimal import Decimal

    from padelops.store.engine import Tx

_SQL = statements("payments")

LEASE_S = 60
"""Seconds a worker has for one step: longer than a gateway may take to answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One question to the gateway about one reservation's money."""

    id: int
    club_id: int
    claim_id: int
    reference: str
    gateway: str
    gateway_ref: str | None
    card: str
    currency: str
    amount: Decimal
    state: str
    next_step: str | None
    next_step_at: datetime | None
    review_of: str | None
    tries: int
    last_error: str | None
    asked_at: datetime
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Refund:
    """Money on its way back."""

    id: int
    club_id: int
    claim_id: int
    attempt_id: int
    reference: str
    amount: Decimal
    state: str
    gateway_ref: str | None
    due_at: datetime
    tries: int
    last_error: str | None


def insert_attempt(
    tx: Tx,
    claim_id: int,
    *,
    reference: str,
    gateway: str,
    card: str,
    asked_at: datetime,
    next_step_at: datetime,
) -> int | None:
    """
    Write down what is about to be asked, for the claim's whole total.

    Returns:
        The attempt's id. None when the hold does not stand any more, or somebody else is asking.

    Args:
        next_step_at: when it is reconciled, if nothing more is heard of it.
    """
    row = tx.execute(
        _SQL["insert_attempt"],
        {
            "claim_id": claim_id,
            "reference": reference,
            "gateway": gateway,
            "card": card,
            "asked_at": asked_at,
            "next_step_at": next_step_at,
        },
    ).fetchone()
    return None if row is None else int(row[0])


def attempt(tx: Tx, attempt_id: int, *, lock: bool = False) -> Attempt:
    """One attempt, locked until the transaction ends where asked for."""
    if lock:
        tx.execute(_SQL["lock_attempt"], {"id": attempt_id})
    found = _attempt(tx, "attempt", id=attempt_id)
    if found is None:
        raise LookupError(f"payment attempt {attempt_id} vanished, though rows are never deleted")
    return found


def attempt_by_reference(tx: Tx, reference: str) -> Attempt | None:
    """The attempt that the gateway knows under this reference."""
    return _attempt(tx, "attempt_by_reference", reference=reference)


def last_attempt(tx: Tx, claim_id: int) -> Attempt | None:
    """A reservation's newest attempt."""
    return _attempt(tx, "last_attempt", claim_id=claim_id)


def _attempt(tx: Tx, statement: str, **values: Any) -> Attempt | None:
    with tx.cursor(row_factory=class_row(Attempt)) as cursor:
        return cursor.execute(_SQL[statement], values).fetchone()


def move_attempt(
    tx: Tx,
    attempt_id: int,
    state: str,
    *,
    next_step: str | None = None,
    next_step_at: datetime | None = None,
    review_of: str | None = None,
    gateway_ref: str | None = None,
    tries: int = 0,
    last_error: str | None = None,
    asked_at: datetime | None = None,
) -> None:
    """
    Write down where an attempt stands, and what comes next.

    Args:
        review_of: for the step `review`: the step that a person's word lets go on.
    """
    tx.execute(
        _SQL["move_attempt"],
        {
            "id": attempt_id,
            "state": state,
            "next_step": next_step,
            "next_step_at": next_step_at,
            "review_of": review_of,
            "gateway_ref": gateway_ref,
            "tries": tries,
            "last_error": None if last_error is None else last_error[:1000],
            "asked_at": asked_at,
        },
    )


def wake_attempt(tx: Tx, attempt_id: int, *, now: datetime) -> bool:
    """Have an attempt looked at again now; False where all is known about it."""
    return tx.execute(_SQL["wake_attempt"], {"id": attempt_id, "now": now}).fetchone() is not None


def due_attempts(tx: Tx, *, now: datetime, limit: int) -> list[int]:
    """Attempts with a step due that nobody is at."""
    rows = tx.execute(_SQL["due_attempts"], {"now": now, "limit": limit}).fetchall()
    return [row[0] for row in rows]


def due_refunds(tx: Tx, *, now: datetime, limit: int) -> list[int]:
    """Refunds due, of payments that were captured, that nobody is at."""
    rows = tx.execute(_SQL["due_refunds"], {"now": now, "limit": limit}).fetchall()
    return [row[0] for row in rows]


def lease(tx: Tx, kind: str, subject_id: int, *, holder: str) -> bool:
    """Take a step for this worker; False when another one is at it."""
    row = tx.execute(
        _SQL["lease"],
        {"kind": kind, "subject_id": subject_id, "holder": holder, "seconds": LEASE_S},
    ).fetchone()
    return row is not None


def release_lease(tx: Tx, kind: str, subject_id: int, *, holder: str) -> None:
    """Give a step back."""
    tx.execute(_SQL["release_lease"], {"kind": kind, "subject_id": subject_id, "holder": holder})


def insert_refund(
    tx: Tx, attempt_id: int, *, reference: str, amount: Decimal, now: datetime
) -> bool:
    """Owe money back, once for each reservation; False when it was owed before."""
    row = tx.execute(
        _SQL["insert_refund"],
        {"attempt_id": attempt_id, "reference": reference, "amount": amount, "now": now},
    ).fetchone()
    return row is not None


def refund(tx: Tx, refund_id: int) -> Refund:
    """One refund."""
    with tx.cursor(row_factory=class_row(Refund)) as cursor:
        found = cursor.execute(_SQL["refund"], {"id": refund_id}).fetchone()
    if found is None:
        raise LookupError(f"refund {refund_id} vanished, though rows are never deleted")
    return found


def refund_of_claim(tx: Tx, claim_id: int) -> Refund | None:
    """A reservation's refund, if one is owed."""
    with tx.cursor(row_factory=class_row(Refund)) as cursor:
        return cursor.execute(_SQL["refund_of_claim"], {"claim_id": claim_id}).fetchone()


def move_refund(
    tx: Tx,
    refund_id: int,
    state: str,
    *,
    due_at: datetime,
    gateway_ref: str | None = None,
    reference: str | None = None,
    tries: int = 0,
    last_error: str | None = None,
) -> bool:
    """
    Write down where a refund stands; False when it was done before.

    Args:
        reference: a new one, for a refund that failed under its old one for good.
    """
    row = tx.execute(
        _SQL["move_refund"],
        {
            "id": refund_id,
            "state": state,
            "due_at": due_at,
            "gateway_ref": gateway_ref,
            "reference": reference,
            "tries": tries,
            "last_error": None if last_error is None else last_error[:1000],
        },
    ).fetchone()
    return row is not None


def drop_refund(tx: Tx, claim_id: int) -> None:
    """Owe nothing back any more, because nothing was taken."""
    tx.execute(_SQL["drop_refund"], {"claim_id": claim_id})


def confirm(tx: Tx, claim_id: int) -> bool:
    """
    Make a hold a booking. False when it was ended in another way, or when it had expired and its
    court, or its key, went to another booking: the constraints decide, and only this is undone.
    """
    try:
        with tx.transaction():
            return tx.execute(_SQL["confirm"], {"id": claim_id}).fetchone() is not None
    except (psycopg.errors.ExclusionViolation, psycopg.errors.UniqueViolation):
        return False


def release_hold(tx: Tx, claim_id: int, *, reason: str, now: datetime) -> bool:
    """End a hold that comes to nothing; False when it is no hold any more."""
    row = tx.execute(
        _SQL["release_hold"], {"id": claim_id, "reason": reason, "now": now}
    ).fetchone()
    return row is not None


def extend_hold(tx: Tx, claim_id: int, *, until: datetime) -> None:
    """Keep a hold for longer, but never beyond its own start."""
    tx.execute(_SQL["extend_hold"], {"id": claim_id, "until": until})


def set_payment_status(tx: Tx, claim_id: int, payment_status: str) -> None:
    """Say where a payment stands, for moves that are no event of money."""
    tx.execute(_SQL["set_payment_status"], {"id": claim_id, "payment_status": payment_status})


def expired_holds(tx: Tx, *, now: datetime, limit: int) -> list[int]:
    """Holds past their deadline with no payment under way."""
    rows = tx.execute(_SQL["expired_holds"], {"now": now, "limit": limit}).fetchall()
    return [row[0] for row in rows]


def lapse_orphans(tx: Tx) -> int:
    """Drop the attempts that wait for a person although a rival took their hold; how many."""
    return tx.execute(_SQL["lapse_orphans"]).rowcount


def lapse_queued(tx: Tx, claim_id: int) -> None:
    """Drop an attempt that was waiting for a person, now that its hold is gone."""
    tx.execute(_SQL["lapse_queued"], {"claim_id": claim_id})


def insert_event(tx: Tx, *, gateway: str, event_id: str, kind: str, reference: str | None) -> bool:
    """Take in a webhook's event; False when it was taken in before."""
    row = tx.execute(
        _SQL["insert_event"],
        {"gateway": gateway, "event_id": event_id, "kind": kind, "reference": reference},
    ).fetchone()
    return row is not None


def attention(tx: Tx, *, everything: bool, limit: int) -> list[dict[str, Any]]:
    """What a person should look at, newest first."""
    with tx.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(_SQL["attention"], {"all": everything, "limit": limit}).fetchall()


def heartbeat(tx: Tx, worker: str, *, done: int, now: datetime) -> None:
    """A worker is alive and did so much since the last time."""
    tx.execute(_SQL["heartbeat"], {"worker": worker, "now": now, "done": done})


def forget_heartbeats(tx: Tx, *, before: datetime) -> None:
    """Drop workers that have long been gone."""
    tx.execute(_SQL["forget_heartbeats"], {"before": before})


def queue_message(tx: Tx, claim_id: int, attempt_id: int, kind: str) -> None:
    """Tell the customer what became of a payment, once for each attempt."""
    tx.execute(
        _SQL["queue_message"], {"claim_id": claim_id, "attempt_id": attempt_id, "kind": kind}
    )
