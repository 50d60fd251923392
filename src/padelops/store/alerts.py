"""Alerts as rows: what each rule has come to, who was told, what is silenced."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from psycopg.rows import class_row

from padelops.store.queries import statements

if TYPE_CHECKING:
    from datetime import datetime

    from padelops.store.engine import Tx

_SQL = statements("alerts")


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """One alert: a rule, and the labels of what it is about as JSON. See `ops.alert_states`."""

    rule: str
    labels: str
    state: str
    since: datetime
    active_at: datetime | None
    fired_at: datetime | None
    quiet_at: datetime | None
    value: float | None
    problem: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleRecord:
    """
    What is kept of one rule.

    Attributes:
        told: whether people have been told that it fires.
        fired_at: when it last began to fire.
        proved_at: when it was last seen to fire on its fault and to resolve, and by what.
    """

    name: str
    told: bool = False
    told_at: datetime | None = None
    fired_at: datetime | None = None
    checked_at: datetime | None = None
    proved_at: datetime | None = None
    proved_by: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Silence:
    """Nobody is told of a rule until `ends_at`, or until it was ended."""

    id: int
    rule: str
    starts_at: datetime
    ends_at: datetime
    reason: str
    actor: str
    ended_at: datetime | None
    ended_by: str | None

    def in_force(self, now: datetime) -> bool:
        return self.ended_at is None and self.starts_at <= now < self.ends_at

    def as_json(self) -> dict[str, Any]:
        return {
            name: value.isoformat() if name.endswith("_at") and value is not None else value
            for name in self.__slots__
            for value in [getattr(self, name)]
        }


def alerts(tx: Tx) -> list[Alert]:
    """Every alert that is something."""
    with tx.cursor(row_factory=class_row(Alert)) as cursor:
        return cursor.execute(_SQL["alerts"]).fetchall()


def keep(tx: Tx, rule: str, **values: Any) -> None:
    """Write down what an alert has come to."""
    tx.execute(_SQL["keep_alert"], {"rule": rule, **values})


def forget(tx: Tx, rule: str, labels: str) -> None:
    """An alert that is nothing any more."""
    tx.execute(_SQL["forget_alert"], {"rule": rule, "labels": labels})


def rules(tx: Tx) -> dict[str, RuleRecord]:
    """What is kept of each rule, by name."""
    with tx.cursor(row_factory=class_row(RuleRecord)) as cursor:
        return {found.name: found for found in cursor.execute(_SQL["alert_rules"]).fetchall()}


def keep_rule(tx: Tx, record: RuleRecord, *, level: int, severity: str) -> None:
    """Write down whether people were told; a proof is left as it is."""
    tx.execute(
        _SQL["keep_rule"],
        {
            "name": record.name,
            "level": level,
            "severity": severity,
            "told": record.told,
            "told_at": record.told_at,
            "fired_at": record.fired_at,
            "checked_at": record.checked_at,
        },
    )


def keep_proof(
    tx: Tx, name: str, *, level: int, severity: str, proved_by: str, now: datetime
) -> None:
    """Write down that a rule was seen to fire on its fault, and by which experiment."""
    tx.execute(
        _SQL["keep_proof"],
        {
            "name": name,
            "level": level,
            "severity": severity,
            "proved_at": now,
            "proved_by": proved_by,
        },
    )


def silence(tx: Tx, rule: str, *, starts_at: datetime, ends_at: datetime, reason: str) -> int:
    """Tell nobody of a rule for a while; the silence's number."""
    row = tx.execute(
        _SQL["silence"],
        {"rule": rule, "starts_at": starts_at, "ends_at": ends_at, "reason": reason},
    ).fetchone()
    assert row is not None  # noqa: S101 - for the type checker: RETURNING of one inserted row
    return int(row[0])


def end_silence(tx: Tx, number: int, *, now: datetime) -> Silence | None:
    """End a silence now; None where none of that number is in force."""
    with tx.cursor(row_factory=class_row(Silence)) as cursor:
        return cursor.execute(_SQL["end_silence"], {"id": number, "now": now}).fetchone()


def silences(tx: Tx, *, since: datetime) -> list[Silence]:
    """Those in force, and those that ended since, newest first."""
    with tx.cursor(row_factory=class_row(Silence)) as cursor:
        return cursor.execute(_SQL["silences"], {"since": since}).fetchall()


def rules_unknown(tx: Tx, *, now: datetime) -> int:
    """How many rules nobody could judge for five minutes."""
    row = tx.execute(_SQL["rules_unknown"], {"now": now}).fetchone()
    return int(row[0]) if row else 0


def outages(tx: Tx, *, now: datetime) -> list[tuple[int, float]]:
    """By level, for how many seconds a critical alert has been firing."""
    return [(int(level), float(age)) for level, age in tx.execute(_SQL["outages"], {"now": now})]


# --- what people are told ---------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class NoticeRow:
    """
    What people are to be told.

    Attributes:
        action: `page` or `resolve`.
        channels: how they are to be told; `sent` by which they have been.
    """

    id: int
    rule: str
    dedup_key: str
    action: str
    level: int
    severity: str
    channels: list[str]
    line: str
    body: str
    at: datetime
    sent: list[str]
    attempts: int


def write_notice(tx: Tx, **values: Any) -> None:
    """Write down what people are to be told; it is due at once."""
    tx.execute(_SQL["write_notice"], values)


def claim_notices(tx: Tx, *, now: datetime, next_at: datetime, limit: int) -> list[NoticeRow]:
    """Take what is due, the most urgent first; nobody else takes it before `next_at`."""
    with tx.cursor(row_factory=class_row(NoticeRow)) as cursor:
        found = cursor.execute(
            _SQL["claim_notices"], {"now": now, "next_at": next_at, "limit": limit}
        ).fetchall()
    return sorted(found, key=lambda row: (row.level, row.id))


def note_sending(
    tx: Tx,
    number: int,
    *,
    sent: list[str],
    problem: str | None,
    done_at: datetime | None,
    next_at: datetime,
) -> None:
    """Write down which channels took it, and what kept the others."""
    tx.execute(
        _SQL["note_sending"],
        {
            "id": number,
            "sent": sent,
            "problem": problem,
            "done_at": done_at,
            "next_at": next_at,
        },
    )


def last_look(tx: Tx) -> datetime | None:
    """When the rules were judged last."""
    row = tx.execute(_SQL["last_look"]).fetchone()
    return None if row is None else row[0]
