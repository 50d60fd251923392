"""
The outbox as stored: one message in a worker's hand at a time, and what became of it.

Taking commits before anything is sent, settling is a commit of its own, so no transaction is open
while a mail server thinks. `Taken.lease` is the proof of holding: it changes with each taking.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from psycopg.rows import class_row, kwargs_row

from padelops.store.queries import statements

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime, timedelta
    from decimal import Decimal

    from padelops.store.engine import Tx

_SQL = statements("messages")
_STEP = _SQL["step"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """
    A message in hand, with its reservation as it is now. What is joined may be missing.

    Attributes:
        attempts: tries so far, this one included.
        doubts: tries of which nobody knows whether they were delivered.
    """

    id: int
    club_id: int
    claim_id: int
    kind: str
    dedupe_key: str
    lease: int
    attempts: int
    doubts: int
    created_at: datetime
    club: str
    club_name: str
    time_zone: str
    language: str | None
    reminders: Any
    court: str | None
    claim_club_id: int | None
    claim_kind: str | None
    status: str | None
    starts_at: datetime
    ends_at: datetime
    player_name: str | None
    player_email: str | None
    player_phone: str | None
    currency: str
    total: Decimal
    captured: Decimal
    refund_due: Decimal
    refunded: Decimal
    payment_method: str | None
    payment_status: str | None
    reason: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """
    What became of a message in hand.

    Attributes:
        state: `queued` again, or `delivered`, `failed`, `skipped` for good.
        given_back: it was not tried after all, so the try does not count.
        doubt: nobody knows whether it was delivered.
        detail: a line for people, without personal data.
    """

    state: str
    given_back: bool = False
    doubt: bool = False
    next_attempt_at: datetime | None = None
    delivered_at: datetime | None = None
    channel: str | None = None
    language: str | None = None
    receipt: str | None = None
    reason: str | None = None
    detail: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReminderClub:
    """A club as far as reminders go; `reminders` is validated by booking/reminders.py."""

    id: int
    slug: str
    time_zone: str
    reminders: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreminded:
    """A confirmed reservation without a reminder."""

    id: int
    starts_at: datetime
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """A message as operators see it; `address` is whole here and masked before it is shown."""

    id: int
    club: str
    reservation: int
    kind: str
    state: str
    dedupe_key: str
    attempts: int
    doubts: int
    due_at: datetime
    next_attempt_at: datetime
    attempted_at: datetime | None
    delivered_at: datetime | None
    claimed_by: str | None
    channel: str | None
    receipt: str | None
    reason: str | None
    detail: str | None
    address: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """What became of one kind's messages; `average_s` and `p95_s` from due to delivered."""

    kind: str
    delivered: int
    failed: int
    late: int
    waiting: int
    skipped: int
    average_s: float | None
    p95_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """Why so many messages of a kind were not delivered; `example` is one message's id."""

    kind: str
    state: str
    reason: str
    n: int
    example: int


def take(tx: Tx, *, now: datetime, worker: str, claimed_until: datetime) -> Taken | None:
    """Take the next due message into hand; None when nothing is due."""
    values = _NOTHING_SETTLED | {"now": now, "worker": worker, "claimed_until": claimed_until}
    return _step(tx, values | {"more": True})[1]


def settle(tx: Tx, taken: Taken, became: Settlement) -> bool:
    """Say what became of a message in hand; False when it is not in this hand any more."""
    return _step(tx, _NOTHING_TAKEN | _settled(taken, became))[0]


def hand_over(
    tx: Tx,
    taken: Taken,
    became: Settlement,
    *,
    now: datetime,
    worker: str,
    claimed_until: datetime,
) -> tuple[bool, Taken | None]:
    """Settle the message in hand and take the next in one commit, if it is of the same club."""
    values = {"now": now, "worker": worker, "claimed_until": claimed_until}
    values |= {"more": True, "club_id": taken.club_id}
    return _step(tx, _settled(taken, became) | values)


_NOTHING_SETTLED: dict[str, Any] = {
    "id": None,
    "lease": None,
    "state": None,
    "given_back": False,
    "doubt": False,
    "next_attempt_at": None,
    "delivered_at": None,
    "channel": None,
    "language": None,
    "receipt": None,
    "reason": None,
    "detail": None,
    "club_id": None,
}
_NOTHING_TAKEN: dict[str, Any] = {
    "more": False,
    "now": None,
    "worker": None,
    "claimed_until": None,
    "club_id": None,
}


def _settled(taken: Taken, became: Settlement) -> dict[str, Any]:
    said = {name: getattr(became, name) for name in Settlement.__slots__}
    return {"id": taken.id, "lease": taken.lease} | said


def _step(tx: Tx, values: dict[str, Any]) -> tuple[bool, Taken | None]:
    with tx.cursor(row_factory=kwargs_row(_stepped)) as cursor:
        return cursor.execute(_STEP, values).fetchone() or (False, None)


def _stepped(*, settled: bool, **facts: Any) -> tuple[bool, Taken | None]:
    return settled, None if facts["id"] is None else Taken(**facts)


def insert(tx: Tx, claim_id: int, kind: str, dedupe_key: str, *, due_at: datetime) -> int | None:
    """Queue a message with the change that caused it; None when its key is there already."""
    row = tx.execute(
        _SQL["insert"],
        {"claim_id": claim_id, "kind": kind, "dedupe_key": dedupe_key, "due_at": due_at},
    ).fetchone()
    return None if row is None else int(row[0])


def reminder_clubs(tx: Tx) -> list[ReminderClub]:
    """Every club, with its rules for reminders as stored."""
    with tx.cursor(row_factory=class_row(ReminderClub)) as cursor:
        return cursor.execute(_SQL["reminder_clubs"]).fetchall()


def unreminded(
    tx: Tx,
    club_id: int,
    *,
    after: datetime,
    until: datetime,
    notice: timedelta,
    beyond: Unreminded | None,
    limit: int,
) -> list[Unreminded]:
    """The next confirmed reservations in `(after, until]` that have no reminder, by start."""
    with tx.cursor(row_factory=class_row(Unreminded)) as cursor:
        return cursor.execute(
            _SQL["unreminded"],
            {
                "club_id": club_id,
                "after": after,
                "until": until,
                "notice": notice,
                "after_start": after if beyond is None else beyond.starts_at,
                "after_id": 0 if beyond is None else beyond.id,
                "limit": limit,
            },
        ).fetchall()


def insert_reminders(
    tx: Tx, club_id: int, claim_ids: Sequence[int], due_ats: Sequence[datetime]
) -> int:
    """Queue reminders of one club's reservations, each once; how many are new."""
    return tx.execute(
        _SQL["insert_reminders"],
        {"club_id": club_id, "claim_ids": list(claim_ids), "due_ats": list(due_ats)},
    ).rowcount


def listing(
    tx: Tx, *, state: str | None, kind: str | None, reservation: int | None, limit: int
) -> list[Listed]:
    """The newest messages, newest first."""
    with tx.cursor(row_factory=class_row(Listed)) as cursor:
        return cursor.execute(
            _SQL["listing"],
            {"state": state, "kind": kind, "reservation": reservation, "limit": limit},
        ).fetchall()


def states_of(tx: Tx, ids: Sequence[int], *, now: datetime) -> dict[int, tuple[str, bool]]:
    """The state of each of these messages that exists, and whether a worker has it in hand."""
    rows = tx.execute(_SQL["states_of"], {"ids": list(ids), "now": now}).fetchall()
    return {row[0]: (row[1], row[2]) for row in rows}


def by_club(tx: Tx, ids: Sequence[int] | None) -> list[tuple[int, list[int]]]:
    """These messages, or all failed ones, as `(club id, message ids)`."""
    if ids is None:
        return [(row[0], row[1]) for row in tx.execute(_SQL["failed"]).fetchall()]
    rows = tx.execute(_SQL["clubs_of"], {"ids": list(ids)}).fetchall()
    return [(row[0], row[1]) for row in rows]


def requeue(tx: Tx, club_id: int, ids: Sequence[int], *, now: datetime) -> list[int]:
    """Make one club's messages due now; the ids of those that were failed or waiting."""
    rows = tx.execute(_SQL["requeue"], {"club_id": club_id, "ids": list(ids), "now": now})
    return sorted(row[0] for row in rows.fetchall())


def rates(tx: Tx, *, since: datetime, until: datetime, late_before: datetime) -> list[Rates]:
    """What became of the messages that fell due in `[since, until)`, by kind."""
    values = {"since": since, "until": until, "late_before": late_before}
    with tx.cursor(row_factory=class_row(Rates)) as cursor:
        return cursor.execute(_SQL["rates"], values).fetchall()


def reasons(
    tx: Tx, *, since: datetime, until: datetime, late_before: datetime, limit: int
) -> list[Reason]:
    """Why messages of that time were not delivered, the most frequent first."""
    values = {"since": since, "until": until, "late_before": late_before, "limit": limit}
    with tx.cursor(row_factory=class_row(Reason)) as cursor:
        return cursor.execute(_SQL["reasons"], values).fetchall()
