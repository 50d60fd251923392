"""Pages as stored: calls to people, written with their cause, taken by lease and settled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from psycopg.rows import class_row

from padelops.store.queries import statements

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime, timedelta

    from padelops.store.engine import Tx

_SQL = statements("pages")


@dataclass(frozen=True, slots=True, kw_only=True)
class PageRow:
    """A page in hand."""

    id: int
    incident_id: int | None
    role: str
    action: str
    severity: str
    alarm: str
    channels: list[str]
    line: str
    body: str
    at: datetime
    sent: list[str]
    attempts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PageState:
    """What became of a page so far."""

    id: int
    role: str
    action: str
    channels: list[str]
    line: str
    at: datetime
    sent: list[str]
    attempts: int
    next_at: datetime
    problem: str | None
    state: str

    def as_json(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}


def write(
    tx: Tx,
    *,
    dedupe_key: str,
    incident_id: int | None,
    role: str,
    action: str,
    severity: str,
    alarm: str,
    channels: Sequence[str],
    line: str,
    body: str,
    at: datetime,
) -> int | None:
    """Queue a page; None where one has that key."""
    row = tx.execute(
        _SQL["write"],
        {
            "dedupe_key": dedupe_key,
            "incident_id": incident_id,
            "role": role,
            "action": action,
            "severity": severity,
            "alarm": alarm,
            "channels": list(channels),
            "line": line[:1000],
            "body": body[:15_000],
            "at": at,
        },
    ).fetchone()
    return None if row is None else int(row[0])


def claim(
    tx: Tx, *, now: datetime, lease: timedelta, incident_id: int | None = None
) -> PageRow | None:
    """Take the most urgent page that is due, of all or of one incident."""
    values = {"now": now, "lease": lease, "incident_id": incident_id}
    with tx.cursor(row_factory=class_row(PageRow)) as cursor:
        return cursor.execute(_SQL["claim"], values).fetchone()


def settle(
    tx: Tx,
    number: int,
    *,
    state: str,
    sent: Sequence[str],
    problem: str | None,
    next_at: datetime,
    now: datetime,
) -> None:
    """Say what became of the page in hand."""
    tx.execute(
        _SQL["settle"],
        {
            "id": number,
            "state": state,
            "sent": list(sent),
            "problem": problem,
            "next_at": next_at,
            "now": now,
        },
    )


def of_incident(tx: Tx, incident_id: int) -> list[PageState]:
    """The pages of an incident, first to last."""
    with tx.cursor(row_factory=class_row(PageState)) as cursor:
        return cursor.execute(_SQL["of_incident"], {"incident_id": incident_id}).fetchall()


def roles_paged(tx: Tx, incident_id: int) -> list[tuple[str, str]]:
    """Who was called about an incident, as `(role, alarm)`."""
    rows = tx.execute(_SQL["roles_paged"], {"incident_id": incident_id}).fetchall()
    return [(row[0], row[1]) for row in rows]


def drop_waiting(tx: Tx, incident_id: int, *, problem: str, now: datetime) -> int:
    """Call off what has not gone out; how many pages it was."""
    values = {"incident_id": incident_id, "problem": problem, "now": now}
    return tx.execute(_SQL["drop_waiting"], values).rowcount
