"""
The sandbox gateway's books as stored: payments, refunds, idempotency keys, faults and events.

They stand for another company's database. No function here is called with a transaction that the
core has written in.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from padelops.store.queries import statements

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from decimal import Decimal

    from padelops.store.engine import Tx

T = TypeVar("T")

_SQL = statements("sandbox")


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentRow:
    """What happened on a card."""

    id: int
    reference: str
    status: str
    currency: str
    amount: Decimal
    captured: Decimal
    refunded: Decimal
    card: str
    decline_code: str | None
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundRow:
    """What was given back, or was to be."""

    id: int
    payment_id: int
    reference: str
    amount: Decimal
    failed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultRow:
    """What is to go wrong with an operation; `remaining` is None until it is cleared."""

    id: int
    operation: str
    kind: str
    latency_ms: int | None
    remaining: int | None
    fired: int

    def as_json(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True, kw_only=True)
class EventRow:
    """What happened to a payment, to be told by webhook; `sent` counts the tellings."""

    id: int
    kind: str
    payment_id: int
    reference: str
    created_at: datetime
    sent: int


# --- idempotency keys ----------------------------------------------------------------------


def begin_request(tx: Tx, key: str, digest: str, *, now: datetime) -> bool:
    """Whether the key is new; waits for a rival that is at work under the same key."""
    made = tx.execute(_SQL["begin_request"], {"key": key, "digest": digest, "now": now})
    return made.rowcount == 1


def request(tx: Tx, key: str) -> tuple[str, dict[str, Any] | None]:
    """A known key's digest and answer."""
    row = tx.execute(_SQL["request"], {"key": key}).fetchone()
    return ("", None) if row is None else (row[0], row[1])


def answer_request(tx: Tx, key: str, answer: dict[str, Any]) -> None:
    """Write down what this key is answered, now and for ever."""
    tx.execute(_SQL["answer_request"], {"key": key, "answer": Jsonb(answer)})


# --- payments and refunds ------------------------------------------------------------------


def insert_payment(
    tx: Tx,
    *,
    reference: str,
    status: str,
    currency: str,
    amount: Decimal,
    card: str,
    decline_code: str | None,
    now: datetime,
) -> PaymentRow:
    with tx.cursor(row_factory=class_row(PaymentRow)) as cursor:
        cursor.execute(
            _SQL["insert_payment"],
            {
                "reference": reference,
                "status": status,
                "currency": currency,
                "amount": amount,
                "card": card,
                "decline_code": decline_code,
                "now": now,
            },
        )
        return _the(cursor.fetchone())


def lock_payment(tx: Tx, payment_id: int) -> PaymentRow | None:
    """The payment, which stays as it is until the transaction ends."""
    with tx.cursor(row_factory=class_row(PaymentRow)) as cursor:
        return cursor.execute(_SQL["lock_payment"], {"id": payment_id}).fetchone()


def move_payment(
    tx: Tx, payment_id: int, status: str, *, decline_code: str | None = None
) -> PaymentRow:
    """Give a payment its next status; `captured` takes all of it."""
    with tx.cursor(row_factory=class_row(PaymentRow)) as cursor:
        cursor.execute(
            _SQL["move_payment"],
            {"id": payment_id, "status": status, "decline_code": decline_code},
        )
        return _the(cursor.fetchone())


def insert_refund(
    tx: Tx, payment_id: int, *, reference: str, amount: Decimal, failed: bool, now: datetime
) -> RefundRow:
    """Write a refund down; one that failed gave nothing back."""
    values = {"reference": reference, "amount": amount, "failed": failed, "now": now}
    with tx.cursor(row_factory=class_row(RefundRow)) as cursor:
        cursor.execute(_SQL["insert_refund"], {"payment_id": payment_id, **values})
        made = _the(cursor.fetchone())
    if not failed:
        tx.execute(_SQL["add_refunded"], {"id": payment_id, "amount": amount})
    return made


def payments_under(tx: Tx, reference: str) -> list[PaymentRow]:
    """Every payment with this reference of the customer's, first to last."""
    with tx.cursor(row_factory=class_row(PaymentRow)) as cursor:
        return cursor.execute(_SQL["payments_under"], {"reference": reference}).fetchall()


def payments_after(tx: Tx, after: int, *, limit: int) -> list[PaymentRow]:
    """The next payments by id."""
    with tx.cursor(row_factory=class_row(PaymentRow)) as cursor:
        return cursor.execute(_SQL["payments_after"], {"after": after, "limit": limit}).fetchall()


def refunds_of(tx: Tx, payment_ids: Sequence[int]) -> list[RefundRow]:
    """The refunds of these payments, first to last."""
    with tx.cursor(row_factory=class_row(RefundRow)) as cursor:
        return cursor.execute(_SQL["refunds_of"], {"payment_ids": list(payment_ids)}).fetchall()


# --- events --------------------------------------------------------------------------------


def insert_event(tx: Tx, kind: str, payment_id: int, *, now: datetime) -> None:
    tx.execute(_SQL["insert_event"], {"kind": kind, "payment_id": payment_id, "now": now})


def events(tx: Tx, *, sent_too: bool, limit: int) -> list[EventRow]:
    """What is to be told, first to last; what was told already as well, if asked for."""
    with tx.cursor(row_factory=class_row(EventRow)) as cursor:
        return cursor.execute(_SQL["events"], {"sent_too": sent_too, "limit": limit}).fetchall()


def count_sent(tx: Tx, event_id: int) -> None:
    tx.execute(_SQL["count_sent"], {"id": event_id})


# --- faults --------------------------------------------------------------------------------


def set_fault(
    tx: Tx,
    operation: str,
    kind: str,
    *,
    latency_ms: int | None,
    remaining: int | None,
    now: datetime,
) -> FaultRow:
    values = {"latency_ms": latency_ms, "remaining": remaining, "now": now}
    with tx.cursor(row_factory=class_row(FaultRow)) as cursor:
        cursor.execute(_SQL["set_fault"], {"operation": operation, "kind": kind, **values})
        return _the(cursor.fetchone())


def faults(tx: Tx) -> list[FaultRow]:
    """Every fault that was not cleared, spent ones as well."""
    with tx.cursor(row_factory=class_row(FaultRow)) as cursor:
        return cursor.execute(_SQL["faults"]).fetchall()


def clear_faults(tx: Tx, operation: str | None) -> int:
    """Clear the faults of one operation, or all; how many that were."""
    return tx.execute(_SQL["clear_faults"], {"operation": operation}).rowcount


def take_fault(tx: Tx, operation: str) -> FaultRow | None:
    """The fault that happens to this operation now; it counts as having happened."""
    with tx.cursor(row_factory=class_row(FaultRow)) as cursor:
        return cursor.execute(_SQL["take_fault"], {"operation": operation}).fetchone()


def outage(tx: Tx) -> bool:
    """Whether an outage is set."""
    row = tx.execute(_SQL["outage"]).fetchone()
    return bool(row and row[0])


def _the(row: T | None) -> T:
    """The row that a statement with RETURNING always gives."""
    if row is None:
        raise LookupError("the statement returned no row")
    return row
